"""The filters of DescribeParameters and GetParametersByPath, as one predicate.

    key        options                          where
    Name       Equals, BeginsWith, Contains     describe
    Path       Recursive, OneLevel              describe
    Type       Equals                           both
    KeyId      Equals, BeginsWith               both
    Label      Equals                           both: no parameter has labels here
    Tier       Equals                           describe
    DataType   Equals                           describe
    tag:KEY    Equals                           describe

Filters are joined by and, their values by or.  Source: Systems Manager API, ParameterStringFilter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.parameter import Parameter, ParameterType
from amiable.model.parameter_errors import SsmRefusal
from amiable.rules.parameters import check_path, is_below

EQUALS: Final = "Equals"
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Name": (EQUALS, "BeginsWith", "Contains"),
    "Path": ("OneLevel", "Recursive"),
    "Type": (EQUALS,),
    "KeyId": (EQUALS, "BeginsWith"),
    "Label": (EQUALS,),
    "Tier": (EQUALS,),
    "DataType": (EQUALS,),
}
"""Options by key, the default first; ``tag:KEY`` has Equals."""
BY_PATH: Final = ("Type", "KeyId", "Label")
"""The keys that GetParametersByPath knows."""
DESCRIBE: Final = ("Path", "Name", "Type", "KeyId", "Tier", "DataType", "Label")

_MATCHES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    EQUALS: lambda text, value: text == value,
    "BeginsWith": lambda text, value: text.startswith(value),
    "Contains": lambda text, value: value in text,
    "OneLevel": lambda text, value: is_below(text, value, recursive=False),
    "Recursive": lambda text, value: is_below(text, value, recursive=True),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a request; no values: whatever has the tag."""

    key: str
    option: str
    values: tuple[str, ...]


def check_filter(key: str, option: str | None, values: Sequence[str] | None, *, keys: Sequence[str]) -> Filter:
    """The filter that a request gives; refuses keys, options and values that it cannot have."""
    is_tag = key.startswith("tag:") and keys is DESCRIBE
    if key not in keys and not is_tag:
        raise SsmRefusal(
            "InvalidFilterKey",
            f"The following filter key is not valid: {key}. Valid filter keys include: [{', '.join(keys)}].",
        )
    options = (EQUALS,) if is_tag else OPTIONS[key]
    chosen = option or options[0]
    if chosen not in options:
        raise SsmRefusal(
            "InvalidFilterOption",
            f"The following filter option is not valid: {chosen}. Valid options include: [{', '.join(options)}].",
        )
    if not values and not is_tag:
        raise SsmRefusal("InvalidFilterValue", f"The following filter values are missing : null for filter key {key}.")
    if key == "Type":
        _check_types(values or ())
    if key == "Path":
        values = [check_path(value) for value in values or ()]
    return Filter(key, chosen, tuple(values or ()))


def check_once(filters: Sequence[Filter]) -> None:
    """Refuses a key that is given twice."""
    keys = [each.key for each in filters]
    for key in keys:
        if keys.count(key) > 1:
            raise SsmRefusal(
                "InvalidFilterKey",
                f"The following filter is duplicated in the request: {key}. A request can contain only one occurrence of a "
                "specific filter.",
            )


def matches(parameter: Parameter, tags: Mapping[str, str], filters: Sequence[Filter]) -> bool:
    """Whether the parameter, whose tags these are, passes every filter."""
    return all(_passes(parameter, tags, each) for each in filters)


def _passes(parameter: Parameter, tags: Mapping[str, str], each: Filter) -> bool:
    if each.key.startswith("tag:"):
        value = tags.get(each.key.removeprefix("tag:"))
        return value is not None and (not each.values or value in each.values)
    text = {
        "Name": parameter.name,
        "Path": parameter.name,
        "Type": parameter.type.value,
        "KeyId": parameter.key_id,
        "Label": None,
        "Tier": parameter.tier.value,
        "DataType": parameter.data_type,
    }[each.key]
    return text is not None and any(_MATCHES[each.option](text, value) for value in each.values)


def _check_types(values: Sequence[str]) -> None:
    for value in values:
        if value not in list(ParameterType):
            raise SsmRefusal(
                "InvalidFilterValue",
                f"The following filter value is not valid: {value}. Valid values include: "
                f"[{', '.join(sorted(ParameterType))}].",
            )
