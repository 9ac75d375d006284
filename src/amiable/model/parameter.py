"""A parameter of Systems Manager's Parameter Store: a named value, kept in versions.

    PutParameter ═ version 1 ══ Overwrite ═ version 2 ══ … ══ DeleteParameter: all of them go

A name is a word, or a path whose parts are separated by slashes and that begins with one.  What lies below ``/aws/service/`` is public:
every account of the region reads it.  Of a parameter the newest 100 versions are kept.  Source: Systems Manager API, PutParameter.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

PUBLIC_PREFIX: Final = "/aws/service/"
"""Where public parameters lie: published by the administrator, and by public channels."""
VERSIONS_MAX: Final = 100
TEXT: Final = "text"
IMAGE: Final = "aws:ec2:image"


class ParameterType(StrEnum):
    STRING = "String"
    STRING_LIST = "StringList"
    SECURE_STRING = "SecureString"


class Tier(StrEnum):
    STANDARD = "Standard"
    ADVANCED = "Advanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One version of one parameter; the value of a SecureString is sealed, in base64."""

    account_id: str
    region: str
    name: str
    version: int
    type: ParameterType
    value: str
    data_type: str
    modified_at: datetime
    modified_by: str  # an ARN
    description: str | None = None
    allowed_pattern: str | None = None
    key_id: str | None = None  # SecureString
    tier: Tier = Tier.STANDARD
    channel: str | None = None  # the channel that this parameter shows

    @property
    def is_public(self) -> bool:
        return self.name.startswith(PUBLIC_PREFIX)

    @property
    def arn(self) -> str:
        """A public parameter's ARN has no account."""
        return arn_of(self.region, "" if self.is_public else self.account_id, self.name)


def arn_of(region: str, account_id: str, name: str) -> str:
    """The ARN of the parameter ``name``."""
    return f"arn:aws:ssm:{region}:{account_id}:parameter/{name.removeprefix('/')}"
