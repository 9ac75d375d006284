"""Parameters that ask for what Amiable does not have: harmless as they stand, or refused by name; none is ignored."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from amiable.model.errors import UnsupportedOperation
from amiable.wire.generated import ec2
from amiable.wire.shape import Structure

Check = Callable[[Any], bool]
VALUE_CHARACTERS_MAX: Final = 200


def anything(value: Any) -> bool:
    """Read by the operation, whatever it is."""
    return True


def only(*allowed: Any) -> Check:
    """One of the values that ask for nothing."""
    return lambda value: value in allowed


def struct(**checks: Check) -> Check:
    """A structure of which only these members are given, each harmless."""

    def is_harmless(value: msgspec.Struct) -> bool:
        given = {name: member for name, member in msgspec.structs.asdict(value).items() if member is not None}
        return all(name in checks and checks[name](member) for name, member in given.items())

    return is_harmless


def refuse_others(value: msgspec.Struct, checks: Mapping[str, Check], where: str = "") -> None:
    """Refuses the first member of ``value`` (called ``where`` in requests) that no check lets through."""
    names = wire_names(value)
    for name, member in msgspec.structs.asdict(value).items():
        if member is None or member == []:
            continue
        check = checks.get(name)
        if check is None:
            raise UnsupportedOperation(f"The parameter {where}{names[name]} is not supported by Amiable.")
        if not check(member):
            told = msgspec.json.encode(_as_sent(member)).decode()[:VALUE_CHARACTERS_MAX]
            raise UnsupportedOperation(
                f"The value {told} of the parameter {where}{names[name]} is not supported by Amiable."
            )


def _as_sent(value: Any) -> Any:
    """The value with the wire's names, and without what was not sent."""
    if isinstance(value, msgspec.Struct):
        names, members = wire_names(value), msgspec.structs.asdict(value).items()
        return {names[name]: _as_sent(member) for name, member in members if member is not None}
    return [_as_sent(item) for item in value] if isinstance(value, list) else value


def wire_names(value: msgspec.Struct) -> dict[str, str]:
    """Attribute → the name that requests give it."""
    shape = ec2.SHAPES[type(value).__name__]
    assert isinstance(shape, Structure)
    return {member.attribute: member.request for member in shape.members}
