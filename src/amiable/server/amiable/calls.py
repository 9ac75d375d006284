"""What the calls of Amiable's own API have in common: a handler's shape, and how a body is read."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from amiable.model.errors import InvalidParameterValue
from amiable.server.contracts import Authenticated
from amiable.services import Services

T = TypeVar("T")
Answer = dict[str, Any]
Handler = Callable[[Services, Authenticated, str, bytes], Answer]
"""(services, request, id in the path or "", body) → the answer's document."""
Routes = dict[tuple[str, str], Handler]
"""(method, path below /amiable/v1/ with ``{}`` for the id) → handler."""


def read_body(body: bytes, shape: type[T]) -> T:
    """The body as ``shape``; refuses other fields, other types and what is no JSON."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameterValue(f"The request's body is not what this call takes: {error}.") from None


def instant(moment: datetime) -> str:
    """The moment as the API spells it: ISO 8601, UTC, milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
