"""Every parameter of every action that is answered: some code that the action runs names it, or the table here says why none does.

What an action runs is its function and what that refers to, as far as ``api`` goes: what lies below it sees no request.  To name a parameter is to read an
attribute of its name, or to have it in a table; an action that refuses what its table has not (``refuse_others``) names all.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import CodeType, ModuleType
from typing import Any, Final

import pytest

from amiable.api.ec2.unsupported import refuse_others
from amiable.server.operations import EC2
from amiable.wire.generated import ec2
from amiable.wire.shape import Structure

WALKED: Final = ("amiable.api.",)
REFUSED: Final = "DetachNetworkInterface"
"""An instance has one interface, which does not come off: whatever is said beside its id changes nothing."""
CHANGES_NOTHING: Final[Mapping[str, str]] = {
    "include_managed_resources": "no service keeps resources of its own here that would be left out",
    "all_regions": "every region that there is may be used",
    "all_availability_zones": "every zone that there is may be used",
    "presigned_url": "a copy between regions is asked of one server, which checks the caller itself",
    "client_data": "told by nothing, on EC2 neither: when and how long the caller uploaded",
    "role_name": "the file is read by the rights of the account that asks, which has no role for that",
}
"""Parameters that are taken and change nothing, and why."""


def request_of(action: str) -> Structure:
    """The shape of the action's request."""
    shape = ec2.SHAPES[str(ec2.OPERATIONS[action].input)]
    assert isinstance(shape, Structure)
    return shape


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
    return {member.attribute for member in request_of(action).members} - named_by(functions)


@pytest.mark.parametrize("action", sorted(EC2.keys() - {REFUSED}))
def test_no_parameter_is_ignored_but_those_that_change_nothing(action: str) -> None:
    assert unnamed(action) <= CHANGES_NOTHING.keys()


def test_every_parameter_that_changes_nothing_is_one() -> None:
    assert {name for action in EC2.keys() - {REFUSED} for name in unnamed(action)} == CHANGES_NOTHING.keys()
