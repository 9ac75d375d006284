"""Which resources may refer to an image, and how far a call is to look: a request's types and options, checked.

    type                          option           default
    ec2:Instance                  state-name       every state
    ec2:LaunchTemplate            version-depth    10 (1 to 10,000)
    ssm:Parameter                 none
    imagebuilder:ImageRecipe      none
    imagebuilder:ContainerRecipe  none

IncludeAllResourceTypes takes all five; the options of a type that is named besides override the defaults.
Source: EC2 API, DescribeImageReferences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from amiable.model.instance import State
from amiable.model.usage_report import (
    CONTAINER_RECIPE,
    IMAGE_RECIPE,
    INSTANCE,
    LAUNCH_TEMPLATE,
    PARAMETER,
    VERSION_DEPTH_MAX,
)

STATE_NAME: Final = "state-name"
VERSION_DEPTH: Final = "version-depth"
OPTION_OF: Final[Mapping[str, str | None]] = {
    INSTANCE: STATE_NAME,
    LAUNCH_TEMPLATE: VERSION_DEPTH,
    PARAMETER: None,
    IMAGE_RECIPE: None,
    CONTAINER_RECIPE: None,
}
VERSION_DEPTH_DEFAULT: Final = 10


@dataclass(frozen=True, slots=True)
class Named:
    """One ResourceType of a request, as it came: its options as (name, values)."""

    resource_type: str | None
    options: Sequence[tuple[str | None, Sequence[str]]] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """One type to look at; ``states`` of instances, ``version_depth`` of launch templates."""

    resource_type: str
    states: frozenset[State] = frozenset(State)
    version_depth: int = VERSION_DEPTH_DEFAULT


def wanted_types(named: Sequence[Named], *, include_all: bool) -> dict[str, Wanted]:
    """Type → how far to look at it."""
    if not named and not include_all:
        raise InvalidParameterCombination("Either IncludeAllResourceTypes or ResourceTypes must be specified.")
    found: dict[str, Wanted] = {name: Wanted(name) for name in OPTION_OF} if include_all else {}
    seen: set[str] = set()
    for number, each in enumerate(named, start=1):
        resource_type = check_type(each.resource_type, number, OPTION_OF)
        if resource_type in seen:
            raise InvalidParameterCombination(f"The resource type {resource_type} is given twice.")
        seen.add(resource_type)
        found[resource_type] = _with_options(resource_type, each.options)
    return found


def check_type(resource_type: str | None, number: int, known: Mapping[str, object]) -> str:
    """The type; refuses one that is missing or is none of ``known``."""
    if not resource_type:
        raise MissingParameter(parameter=f"ResourceType.{number}.ResourceType")
    if resource_type not in known:
        why = f"Valid values are {', '.join(known)}."
        raise InvalidParameterValue(parameter="ResourceType", value=resource_type, why=why)
    return resource_type


def _with_options(resource_type: str, options: Sequence[tuple[str | None, Sequence[str]]]) -> Wanted:
    states, depth = frozenset(State), VERSION_DEPTH_DEFAULT
    for name, values in options:
        if name is None or OPTION_OF[resource_type] != name:
            raise InvalidParameterCombination(f"The option {name} is not valid for the resource type {resource_type}.")
        if name == STATE_NAME:
            states = _states(values)
        else:
            depth = read_depth(values)
    return Wanted(resource_type, states, depth)


def _states(values: Sequence[str]) -> frozenset[State]:
    known = {state.value for state in State}
    for value in values:
        if value not in known:
            why = f"Valid values are {', '.join(state.value for state in State)}."
            raise InvalidParameterValue(parameter=STATE_NAME, value=value, why=why)
    return frozenset(State(value) for value in values) or frozenset(State)


def read_depth(values: Sequence[str]) -> int:
    """How many versions of a launch template to look at; refuses anything but one number from 1 to 10,000."""
    value = values[0] if len(values) == 1 else ",".join(values)
    if not (value.isascii() and value.isdigit() and len(value) <= 5 and 1 <= int(value) <= VERSION_DEPTH_MAX):
        why = f"It is one number from 1 to {VERSION_DEPTH_MAX}."
        raise InvalidParameterValue(parameter=VERSION_DEPTH, value=value, why=why)
    return int(value)
