"""Every parameter of every action that is answered, in its structures too: some code that the action runs names it, or the table here says why none does.

What an action runs is its function and what that refers to, as far as ``api`` goes: what lies below it sees no request.  To name a parameter is to read an
attribute of its name, or to have it in a table; an action that refuses what its table has not (``refuse_others``) names all.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cache
from types import CodeType, ModuleType
from typing import Any, Final

import pytest

from amiable.api.ec2.unsupported import refuse_others
from amiable.server.operations import EC2
from amiable.wire.generated import ec2
from amiable.wire.shape import ListOf, Structure
from tests.server.edge import Edge

WALKED: Final = ("amiable.api.",)
REFUSED: Final = "DetachNetworkInterface"
"""An instance has one interface, which does not come off: whatever is said beside its id changes nothing."""
CHANGES_NOTHING: Final[Mapping[str, str]] = {
    "include_managed_resources": "no service keeps resources of its own here that would be left out",
    "all_regions": "every region that there is may be used",
    "all_availability_zones": "every zone that there is may be used",
    "presigned_url": "a copy between regions is asked of one server, which checks the caller itself",
    "client_data": "told by nothing, on EC2 neither: when and how long the caller uploaded",
    "peering_status": "part of an answer's pair of a user and a group; there are no peering connections",
    "role_name": "the file is read by the rights of the account that asks, which has no role for that",
}
"""Parameters that are taken and change nothing, and why."""


def members_of(shape_name: str, met: frozenset[str] = frozenset()) -> set[str]:
    """The members of a structure and of the structures in it, but of those that change nothing."""
    shape = ec2.SHAPES[shape_name]
    if isinstance(shape, ListOf):
        return members_of(shape.item, met)
    if not isinstance(shape, Structure) or shape_name in met:
        return set()
    inner = (each.shape for each in shape.members if each.attribute not in CHANGES_NOTHING)
    below = (members_of(each, met | {shape_name}) for each in inner)
    return {each.attribute for each in shape.members}.union(*below)


def is_walked(value: object) -> bool:
    return str(getattr(value, "__module__", "")).startswith(WALKED)


def functions_in(value: object) -> Iterator[Callable[..., Any]]:
    """The functions that a global is, or holds."""
    if inspect.isfunction(value) and is_walked(value):
        yield value
    elif inspect.isclass(value) and is_walked(value):
        for each in vars(value).values():
            yield from functions_in(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from functions_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from functions_in(each)


def words_in(value: object) -> set[str]:
    """The names that a table holds."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return {word for each in (*value.keys(), *value.values()) for word in words_in(each)}
    if isinstance(value, list | tuple | set | frozenset):
        return {word for each in value for word in words_in(each)}
    return set()


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """The code, and that of the functions inside it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from codes_in(each)


def globals_of(function: Callable[..., Any]) -> Iterator[object]:
    """What the function refers to outside of itself: by its name, or by its name in a module."""
    names = {name for code in codes_in(function.__code__) for name in code.co_names}
    held = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [each for each in held if isinstance(each, ModuleType) and each.__name__.startswith(WALKED)]
    yield from held
    yield from (getattr(module, name) for module in modules for name in names if hasattr(module, name))


@cache
def run_by(function: Callable[..., Any]) -> frozenset[Callable[..., Any]]:
    """The functions that the function may run, itself among them."""
    met: set[Callable[..., Any]] = set()
    waiting = [function]
    while waiting:
        one = waiting.pop()
        if one not in met:
            met.add(one)
            waiting += (each for value in globals_of(one) for each in functions_in(value))
    return frozenset(met)


def named_by(functions: Iterable[Callable[..., Any]]) -> set[str]:
    """Every attribute in the functions, and every word of the tables that they refer to."""
    words: set[str] = set()
    for function in functions:
        for code in codes_in(function.__code__):
            words |= set(code.co_names) | words_in(code.co_consts)
        for value in globals_of(function):
            words |= words_in(value)
    return words


def refuses_the_rest(functions: Iterable[Callable[..., Any]]) -> bool:
    """Whether one of the functions gives the whole request to ``refuse_others``."""
    users = (each for each in functions if refuse_others.__name__ in each.__code__.co_names)
    return any(f"{refuse_others.__name__}(request, " in inspect.getsource(each) for each in users)


def unnamed(action: str) -> set[str]:
    """The parameters of the action that no code of it names."""
    functions = run_by(EC2[action])
    if refuses_the_rest(functions):
        return set()
    return members_of(str(ec2.OPERATIONS[action].input)) - named_by(functions)


@pytest.mark.parametrize("action", sorted(EC2.keys() - {REFUSED}))
def test_no_parameter_is_ignored_but_those_that_change_nothing(action: str) -> None:
    assert unnamed(action) <= CHANGES_NOTHING.keys()


def test_every_parameter_that_changes_nothing_is_one() -> None:
    assert {name for action in EC2.keys() - {REFUSED} for name in unnamed(action)} == CHANGES_NOTHING.keys()


@pytest.mark.parametrize(
    ("action", "parameter"),
    [
        *(
            (action, "IncludeManagedResources")
            for action in sorted(EC2)
            if "include_managed_resources" in members_of(str(ec2.OPERATIONS[action].input))
        ),
        ("DescribeRegions", "AllRegions"),
        ("DescribeAvailabilityZones", "AllAvailabilityZones"),
    ],
)
def test_what_changes_nothing_is_taken(edge: Edge, action: str, parameter: str) -> None:
    needed = {"Versions": ["$Latest"]} if action == "DescribeLaunchTemplateVersions" else {}
    with closing(edge.client("ec2")) as client:
        answers = [client._make_api_call(action, {**needed, **said}) for said in ({}, {parameter: True})]
    for answer in answers:
        del answer["ResponseMetadata"]
    assert answers[0] == answers[1]
