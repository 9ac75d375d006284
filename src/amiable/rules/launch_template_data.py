"""How a launch lies over the data of its template: what the request says wins, and what it leaves open is the template's.

    a structure            member by member: who sets one metadata option leaves the template's others as they are
    block device mapping   by DeviceName, and there member by member; a device that the template does not have is one more
    tags                   by resource type and key
    anything else          as a whole: other lists, and IamInstanceProfile, whose members name one thing in two ways

Values are plain, none of them None, with the members' names of ``wire``.  Source: EC2 API, RunInstances (LaunchTemplate),
FleetBlockDeviceMappingRequest, which says it of devices; that tags of both arrive is seen on instances of Auto Scaling groups.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Values = Mapping[str, Any]

NAMED_IN_TWO_WAYS: Final = "iam_instance_profile"
KINDS: Final = ("ebs", "virtual_name", "no_device")
"""What a block device mapping's entry is: one of them."""


def lay_over(template: Values, request: Values) -> dict[str, Any]:
    """The parameters of the launch."""
    return {**template, **{name: _laid(name, template.get(name), value) for name, value in request.items()}}


def _laid(name: str, below: Any, above: Any) -> Any:
    if isinstance(below, Mapping) and isinstance(above, Mapping) and name != NAMED_IN_TWO_WAYS:
        return lay_over(below, above)
    if name == "block_device_mappings" and below:
        return _entries(below, above, "device_name", _device)
    if name == "tag_specifications" and below:
        return _entries(below, above, "resource_type", _specification)
    if name == "tags" and below:
        return _entries(below, above, "key", lambda _, tag: tag)
    return above


def _entries(
    below: Sequence[Values], above: Sequence[Values], key: str, lay: Callable[[Values, Values], Values]
) -> list[Values]:
    """Those of ``below`` that ``above`` does not speak of, then those of ``above``; one that stands twice stays so, to be refused."""
    known = {each.get(key): each for each in below}
    spoken_of = {each.get(key) for each in above}
    left = [each for each in below if each.get(key) not in spoken_of]
    return left + [lay(known[each.get(key)], each) if each.get(key) in known else each for each in above]


def _device(below: Values, above: Values) -> Values:
    """One device; where the request makes something else of it, nothing of the template's is left."""
    if not any(kind in above for kind in KINDS):
        return {**below, **above}
    if "ebs" in above and "ebs" in below:
        return {**above, "ebs": lay_over(below["ebs"], above["ebs"])}
    return above


def _specification(below: Values, above: Values) -> Values:
    return {**above, "tags": _laid("tags", below.get("tags"), above.get("tags") or [])}
