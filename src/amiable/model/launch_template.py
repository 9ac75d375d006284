"""A launch template: a name, numbered versions that never change, and which of them a launch takes when it names none."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

NAME_LENGTH_MIN: Final = 3
NAME_LENGTH_MAX: Final = 128
DESCRIPTION_LENGTH_MAX: Final = 255
TEMPLATES_MAX: Final = 5000
"""Of an account in a region."""
VERSIONS_MAX: Final = 10_000
"""Of a template."""
VERSIONS_DELETED_MAX: Final = 200
"""In one call."""


@dataclass(frozen=True, slots=True)
class LaunchTemplate:
    """``latest_version`` is the newest that is there, ``last_number`` what was given last: no number is given twice."""

    id: str
    account_id: str
    region: str
    name: str
    default_version: int
    latest_version: int
    last_number: int
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Version:
    """``data`` is the request's LaunchTemplateData as JSON; ``image`` its ImageId: an id, or ``resolve:…``."""

    template_id: str
    number: int
    description: str | None
    data: bytes
    image: str | None
    created_at: datetime
    created_by: str
