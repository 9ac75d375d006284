"""A tag: a key and a value that an account puts on a resource that it can see.

Tags belong to the account that made them: whom an image is shared with sees none of its owner's tags and may put its own.
Source: EC2 User Guide, "Tag your Amazon EC2 resources".
"""

from dataclasses import dataclass
from typing import Final

TAGS_PER_RESOURCE_MAX: Final = 50
KEY_LENGTH_MAX: Final = 127
VALUE_LENGTH_MAX: Final = 256
RESOURCES_PER_CALL_MAX: Final = 1000
RESERVED_PREFIX: Final = "aws:"


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag on one resource, as its account sees it."""

    resource_id: str
    resource_type: str  # image, snapshot, instance, volume, key-pair, …
    key: str
    value: str
