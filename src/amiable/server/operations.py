"""Which function answers which operation."""

from collections.abc import Callable
from typing import Any, Final

from amiable.api import sts as sts_operations
from amiable.model.principal import Principal
from amiable.services import Services

Operation = Callable[[Services, Principal, Any], Any]

EC2: Final[dict[str, Operation]] = {}

STS: Final[dict[str, Operation]] = {
    "GetCallerIdentity": sts_operations.get_caller_identity,
}
