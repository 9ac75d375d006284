"""How a launch lies over the data of its template: what the request says wins, and what it leaves open is the template's.

    a structure            member by member: who sets one metadata option leaves the template's others as they are
    block device mapping   by DeviceName, and there member by member; a device that the template does not have is one more
    network interface      by DeviceIndex and NetworkCardIndex, and there member by member; another one is one more
    tags                   by resource type and key
    anything else          as a whole: other lists, and IamInstanceProfile, whose members name one thing in two ways

A new version lies over its source version parameter by parameter, and inherits no snapshot (:func:`inherit`).

Values are plain, none of them None, with the members' names of ``wire``.  Source: EC2 API, RunInstances (LaunchTemplate),
FleetBlockDeviceMappingRequest, which says it of devices; LaunchTemplateInstanceNetworkInterfaceSpecificationRequest (DeviceIndex): a
template of secondary interfaces gets its primary one at the launch; that tags of both arrive is seen on instances of Auto Scaling groups.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Values = Mapping[str, Any]

NAMED_IN_TWO_WAYS: Final = "iam_instance_profile"
KINDS: Final = ("ebs", "virtual_name", "no_device")
"""What a block device mapping's entry is: one of them."""
EXISTING: Final = "network_interface_id"
TWO_WAYS: Final = (("availability_zone", "availability_zone_id"), ("private_ip_address", "private_ip_addresses"))
"""Two ways to say one thing: who says it in one does not mean the template's word in the other."""


def inherit(source: Values) -> dict[str, Any]:
    """What a new version takes over from the version ``source``: all but the snapshots of its block device mapping.

    EC2 has them "ignored when creating a new version unless they are explicitly included" (CreateLaunchTemplateVersion, SourceVersion).
    """
    mappings = source.get("block_device_mappings")
    if mappings is None:
        return dict(source)
    return {**source, "block_device_mappings": [_without_snapshot(each) for each in mappings]}


def _without_snapshot(mapping: Values) -> Values:
    if "ebs" not in mapping:
        return mapping
    return {**mapping, "ebs": {name: value for name, value in mapping["ebs"].items() if name != "snapshot_id"}}


def lay_over(template: Values, request: Values) -> dict[str, Any]:
    """The parameters of the launch."""
    said_otherwise = {name for pair in TWO_WAYS if any(name in request for name in pair) for name in pair}
    kept = {name: value for name, value in template.items() if name not in said_otherwise}
    return {**kept, **{name: _laid(name, template.get(name), value) for name, value in request.items()}}


def _laid(name: str, below: Any, above: Any) -> Any:
    if isinstance(below, Mapping) and isinstance(above, Mapping) and name != NAMED_IN_TWO_WAYS:
        return lay_over(below, above)
    if name not in ENTRIES or not below:
        return above
    key, lay = ENTRIES[name]
    return _entries(below, above, key, lay)


def _entries(
    below: Sequence[Values],
    above: Sequence[Values],
    key: Callable[[Values], Any],
    lay: Callable[[Values, Values], Values],
) -> list[Values]:
    """Those of ``below`` that ``above`` does not speak of, then those of ``above``; one that stands twice stays so, to be refused."""
    known = {key(each): each for each in below}
    spoken_of = {key(each) for each in above}
    left = [each for each in below if key(each) not in spoken_of]
    return left + [lay(known[key(each)], each) if key(each) in known else each for each in above]


def _device(below: Values, above: Values) -> Values:
    """One device; where the request makes something else of it, nothing of the template's is left."""
    if not any(kind in above for kind in KINDS):
        return {**below, **above}
    if "ebs" in above and "ebs" in below:
        return {**above, "ebs": lay_over(below["ebs"], above["ebs"])}
    return above


def _specification(below: Values, above: Values) -> Values:
    return {**above, "tags": _laid("tags", below.get("tags"), above.get("tags") or [])}


def _interface(below: Values, above: Values) -> Values:
    """One interface; one that is there already, in either, has its subnet, groups and address of itself."""
    if EXISTING in below or EXISTING in above:
        return above
    return lay_over(below, above)


ENTRIES: Final[Mapping[str, tuple[Callable[[Values], Any], Callable[[Values, Values], Values]]]] = {
    "block_device_mappings": (lambda entry: entry.get("device_name"), _device),
    "network_interfaces": (lambda entry: (entry.get("device_index"), entry.get("network_card_index", 0)), _interface),
    "tag_specifications": (lambda entry: entry.get("resource_type"), _specification),
    "tags": (lambda entry: entry.get("key"), lambda _, tag: tag),
}
"""List → what tells its entries apart, and how one lies over another."""
