"""A launch template's data in its three forms: as a request brings it, as an answer shows it, as a launch takes it.

The three have the same members under the same names, but for the few in ``RENAMED``; so one is turned into another by its plain values,
and what the other has no place for is refused by name, never dropped.
"""

from typing import Any, Final, TypeVar

import msgspec

from amiable.model.errors import InvalidParameterValue, UnsupportedOperation
from amiable.rules.image_alias import read_alias
from amiable.rules.launch import decode_user_data
from amiable.rules.launch_template_data import lay_over
from amiable.wire.generated import ec2

T = TypeVar("T")
DATA_BYTES_MAX: Final = 128 * 1024
"""As it is kept: an account may keep many versions, and a Describe tells all of them."""
RENAMED: Final = {"ram_disk_id": "ramdisk_id"}
"""Members of a template that RunInstances calls otherwise."""


def values_of(data: ec2.RequestLaunchTemplateData) -> dict[str, Any]:
    """The request's data as plain values, none of them None."""
    found = _plain(data)
    assert isinstance(found, dict)
    return found


def write_data(data: dict[str, Any]) -> bytes:
    """Plain values as they are kept; refuses too many."""
    kept = msgspec.json.encode(data)
    if len(kept) > DATA_BYTES_MAX:
        raise InvalidParameterValue(f"The data of a launch template is limited to {DATA_BYTES_MAX} bytes.")
    return kept


def read_data(kept: bytes) -> dict[str, Any]:
    """What :func:`write_data` wrote: plain values, none of them None."""
    found = msgspec.json.decode(kept)
    assert isinstance(found, dict)
    return found


def response_of(data: dict[str, Any]) -> ec2.ResponseLaunchTemplateData:
    """The data as an answer shows it."""
    return _as(data, ec2.ResponseLaunchTemplateData)


def request_of(data: dict[str, Any], request: ec2.RunInstancesRequest) -> ec2.RunInstancesRequest:
    """The request with what it does not say itself taken from the template's data."""
    renamed = {RENAMED.get(name, name): value for name, value in data.items()}
    merged = lay_over(renamed, _plain(request))
    merged.pop("launch_template", None)
    return _as(merged, ec2.RunInstancesRequest)


def check_data(data: ec2.RequestLaunchTemplateData) -> None:
    """Refuses data that no launch could take, as far as that is told by its form."""
    if data.image_id is not None:
        read_alias(data.image_id)
    decode_user_data(data.user_data)
    write_data(values_of(data))
    request_of(_plain(data), ec2.RunInstancesRequest(min_count=1, max_count=1))


def _as(values: dict[str, Any], shape: type[T]) -> T:
    made = msgspec.convert(values, shape)
    lost = _lost(values, _plain(made))
    if lost:
        raise UnsupportedOperation(f"The parameter {lost} of a launch template is not supported by Amiable.")
    return made


def _lost(before: Any, after: Any, where: str = "") -> str:
    """The first member of ``before`` that ``after`` has not, spelled as requests do; empty where nothing is lost."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            spelled = f"{where}.{_spelled(name)}" if where else _spelled(name)
            if name not in after:
                return spelled
            if found := _lost(value, after[name], spelled):
                return found
    if isinstance(before, list) and isinstance(after, list):
        for number, (one, other) in enumerate(zip(before, after, strict=True), start=1):
            if found := _lost(one, other, f"{where}.{number}"):
                return found
    return ""


def _spelled(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _plain(value: Any) -> Any:
    """Structs as dicts without the members that are None."""
    return _without_none(msgspec.to_builtins(value))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_none(each) for each in value]
    return value
