"""What may be a tag, and how many a resource may have."""

from collections.abc import Mapping, Sequence
from typing import Final

from amiable.model.errors import InvalidParameterValue, InvalidTagKeyMalformed, TagLimitExceeded
from amiable.model.tags import KEY_LENGTH_MAX, RESERVED_PREFIX, TAGS_PER_RESOURCE_MAX, VALUE_LENGTH_MAX, Tag
from amiable.rules import filters
from amiable.rules.filters import Filter, Predicate

FIELDS: Final[Mapping[str, filters.Field[Tag]]] = {
    "key": lambda tag: (tag.key,),
    "resource-id": lambda tag: (tag.resource_id,),
    "resource-type": lambda tag: (tag.resource_type,),
    "value": lambda tag: (tag.value,),
}
"""The filters of DescribeTags, beside ``tag:<key>`` and ``tag-key``; ``database/tags`` says them in SQL, and a law holds the two equal."""


def predicate(wanted: Sequence[Filter]) -> Predicate[Tag]:
    """Whether a tag passes all the filters; refuses a filter that tags do not have."""
    return filters.predicate(wanted, FIELDS, tags=lambda tag: {tag.key: tag.value})


def check_tag(key: str, value: str) -> None:
    """Refuses a key or a value that cannot be a tag's."""
    if not 1 <= len(key) <= KEY_LENGTH_MAX:
        raise InvalidTagKeyMalformed(
            f"Tag keys must be between 1 and {KEY_LENGTH_MAX} characters long; got {len(key)}."
        )
    if key.lower().startswith(RESERVED_PREFIX):
        raise InvalidParameterValue(
            f"Value ( {key} ) for parameter key is invalid. Tag keys starting with '{RESERVED_PREFIX}' are reserved for internal use"
        )
    if len(value) > VALUE_LENGTH_MAX:
        raise InvalidParameterValue(
            f"Tag value exceeds the maximum length of {VALUE_LENGTH_MAX} characters; the value of '{key}' has {len(value)}."
        )


def merge(present: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """The tags of one resource after ``added`` is put over ``present``; refuses more than a resource may have, the service's not counted."""
    after = {**present, **added}
    if sum(not key.startswith(RESERVED_PREFIX) for key in after) > TAGS_PER_RESOURCE_MAX:
        raise TagLimitExceeded()
    return after
