"""DescribeInstanceAttribute, ModifyInstanceAttribute and ResetInstanceAttribute.

A request names one attribute, in its own member or as ``Attribute`` and ``Value``; kernel and ramdisk may come together, since a
kernel that needs a ramdisk, or bears none, could not be reached in two steps.  What an attribute may become, and when, is
``rules/instance_attributes``; kernels are ``instance_kernels``.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import views
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.instance_kernels import KernelChange, change_flags, change_kernel, images_own
from amiable.api.ec2.launch import volume_of
from amiable.api.ec2.product_codes import product_codes
from amiable.api.ec2.views import View
from amiable.database import images, instances, interfaces, network, volumes
from amiable.model import ids
from amiable.model.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    NotFound,
    UnsupportedOperation,
)
from amiable.model.instance import Instance
from amiable.model.instance_errors import (
    InvalidInstanceAttributeValue,
    InvalidInstanceID,
    InvalidUserDataMalformed,
    UnsupportedInstanceAttribute,
)
from amiable.model.instance_type import type_of
from amiable.model.local_disks import local_disks_of
from amiable.model.principal import Principal
from amiable.model.volume import Volume
from amiable.model.volume_errors import AttachmentLimitExceeded
from amiable.rules import instance_attributes as rules
from amiable.rules.devices import DISKS_MAX, PlannedDisk, local_disks_after
from amiable.rules.identifiers import check_form
from amiable.rules.instance_options import check_optimizable, choose_credits
from amiable.rules.instance_type_rule import check_type
from amiable.rules.launch import USER_DATA_BYTES_MAX
from amiable.services import Services
from amiable.wire.generated import ec2


def _text(value: str | None) -> ec2.AttributeValue:
    return ec2.AttributeValue(value=value)


def _flag(value: bool) -> ec2.AttributeBooleanValue:
    return ec2.AttributeBooleanValue(value=value)


def _user_data(it: Instance) -> ec2.AttributeValue:
    return _text(None if it.user_data is None else base64.b64encode(it.user_data).decode())


READERS: Final[Mapping[str, Callable[[View], dict[str, Any]]]] = {
    "blockDeviceMapping": lambda v: {"block_device_mappings": views.mappings(v)},
    "disableApiStop": lambda v: {"disable_api_stop": _flag(v.instance.disable_api_stop)},
    "disableApiTermination": lambda v: {"disable_api_termination": _flag(v.instance.disable_api_termination)},
    "ebsOptimized": lambda v: {"ebs_optimized": _flag(v.instance.ebs_optimized)},
    "enaSupport": lambda v: {"ena_support": _flag(v.instance.ena_support)},
    "enclaveOptions": lambda v: {"enclave_options": ec2.EnclaveOptions(enabled=False)},
    "groupSet": lambda v: {"groups": views.groups(v)},
    "instanceInitiatedShutdownBehavior": lambda v: {
        "instance_initiated_shutdown_behavior": _text(v.instance.shutdown_behavior)
    },
    "instanceType": lambda v: {"instance_type": _text(v.instance.instance_type)},
    "kernel": lambda v: {"kernel_id": _text(v.instance.kernel_id)},
    "productCodes": lambda v: {"product_codes": product_codes(v.instance.product_codes)},
    "ramdisk": lambda v: {"ramdisk_id": _text(v.instance.ramdisk_id)},
    "rootDeviceName": lambda v: {"root_device_name": _text(v.instance.root_device_name)},
    "sourceDestCheck": lambda v: {"source_dest_check": _flag(v.instance.source_dest_check)},
    "sriovNetSupport": lambda v: {"sriov_net_support": _text(v.instance.sriov_net_support)},
    "userData": lambda v: {"user_data": _user_data(v.instance)},
}
"""Attribute → its element of the answer."""


def describe_instance_attribute(
    services: Services, principal: Principal, request: ec2.DescribeInstanceAttributeRequest
) -> ec2.InstanceAttribute:
    """One attribute of one instance."""
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        (view,) = views.views_of(c, principal, [instance])
    reader = READERS.get(request.attribute)
    if reader is None:
        raise InvalidParameterValue(
            f"Value ({request.attribute}) for parameter attribute is invalid. Unknown attribute.",
            hint=f"known: {', '.join(READERS)}",
        )
    raise_if_dry_run(request)
    return ec2.InstanceAttribute(instance_id=instance.id, **reader(view))


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Changing:
    """What a change is asked of."""

    c: Connection
    services: Services
    principal: Principal
    instance: Instance


def _stop_protection(at: Changing, value: bool) -> dict[str, Any]:
    rules.check_stop_protection(at.instance, value)
    return {"disable_api_stop": value}


def _type(at: Changing, value: str) -> dict[str, Any]:
    it, found = at.instance, rules.choose_type(at.instance, value)
    image = images.get(at.c, it.region, it.image_id, viewer=it.account_id)
    if image is not None:
        check_type(image.instance_types, found.name, image_id=image.id)
    if it.ebs_optimized:
        check_optimizable(found)
    credits_ = choose_credits(found, it.cpu_credits) if found.is_burstable else it.cpu_credits
    return {
        "instance_type": found.name,
        "boot_mode": rules.choose_boot_mode(it, found),
        "cpu_credits": credits_,
    }


def _ena(at: Changing, value: bool) -> dict[str, Any]:
    rules.check_hvm(at.instance, "enaSupport")
    rules.check_ena(at.instance, type_of(at.instance.instance_type), has_ena=value)
    return {"ena_support": value, **change_flags(at.c, replace(at.instance, ena_support=value))}


def _optimized(at: Changing, value: bool) -> dict[str, Any]:
    if value:
        check_optimizable(type_of(at.instance.instance_type))
    return {"ebs_optimized": value}


def _data(at: Changing, value: bytes) -> dict[str, Any]:
    if len(value) > USER_DATA_BYTES_MAX:
        raise InvalidParameterValue(f"User data is limited to {USER_DATA_BYTES_MAX} bytes")
    return {"user_data": value or None}


def _enclave(at: Changing, value: bool) -> dict[str, Any]:
    if value:
        raise UnsupportedOperation("Enclaves are not supported by Amiable.")
    return {}


def _groups(at: Changing, value: list[str]) -> dict[str, Any]:
    check_form("security_group", ids.SECURITY_GROUP, value)
    mine = network.list_security_groups(at.c, at.principal.account_id, at.principal.region)
    known = [group.id for group in mine if group.vpc_id == at.instance.vpc_id]
    missing = [each for each in value if each not in known]
    if missing:
        raise NotFound("security_group", missing)
    return {"security_group_ids": rules.choose_groups(known, value)}


CHANGES: Final[Mapping[str, Callable[[Changing, Any], dict[str, Any]]]] = {
    "disableApiStop": _stop_protection,
    "disableApiTermination": lambda at, value: {"disable_api_termination": value},
    "ebsOptimized": _optimized,
    "enaSupport": _ena,
    "enclaveOptions": _enclave,
    "groupSet": _groups,
    "instanceInitiatedShutdownBehavior": lambda at, value: {
        "shutdown_behavior": rules.choose_behavior(at.instance, value)
    },
    "instanceType": _type,
    "sourceDestCheck": lambda at, value: {"source_dest_check": value},
    "sriovNetSupport": lambda at, value: {"sriov_net_support": rules.choose_sriov(at.instance, value)},
    "userData": _data,
}
"""Attribute → the columns that a value changes; kernel and ramdisk, and the mapping, are changed in ways of their own."""

MEMBERS: Final[Mapping[str, str]] = {
    "block_device_mappings": "blockDeviceMapping",
    "disable_api_stop": "disableApiStop",
    "disable_api_termination": "disableApiTermination",
    "ebs_optimized": "ebsOptimized",
    "ena_support": "enaSupport",
    "enclave_options": "enclaveOptions",
    "groups": "groupSet",
    "instance_initiated_shutdown_behavior": "instanceInitiatedShutdownBehavior",
    "instance_type": "instanceType",
    "kernel": "kernel",
    "ramdisk": "ramdisk",
    "source_dest_check": "sourceDestCheck",
    "sriov_net_support": "sriovNetSupport",
    "user_data": "userData",
}
"""The request's member → the attribute that it changes."""
FLAGS: Final = frozenset({"disableApiStop", "disableApiTermination", "ebsOptimized", "enaSupport", "sourceDestCheck"})
KERNELS: Final = frozenset({"kernel", "ramdisk"})


def modify_instance_attribute(
    services: Services, principal: Principal, request: ec2.ModifyInstanceAttributeRequest
) -> None:
    """Changes one attribute of one instance."""
    asked = _asked(request)
    with services.database.write_and_answer() as c:
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        for attribute in asked:
            rules.check_state(instance, attribute)
        at = Changing(c, services, principal, instance)
        if "blockDeviceMapping" in asked:
            chosen = _mapped(at, asked["blockDeviceMapping"])
            raise_if_dry_run(request)
            for volume_id, goes in chosen.items():
                volumes.set_delete_on_termination(c, volume_id, goes)
            return
        if asked.keys() <= KERNELS:
            change = KernelChange(asked.get("kernel"), asked.get("ramdisk"))
            facts = change_kernel(c, services, principal, instance, change)
        else:
            ((attribute, value),) = asked.items()
            facts = CHANGES[attribute](at, value)
        local = _local_disks(at, facts.get("instance_type"))
        raise_if_dry_run(request)
        _write(c, instance, facts)
        for volume in local[0]:
            volumes.delete_volume(c, volume.id)
        for disk in local[1]:
            volumes.insert_volume(c, volume_of(services.mint(ids.VOLUME), instance, disk, services.now()))


def _local_disks(at: Changing, type_name: str | None) -> tuple[list[Volume], list[PlannedDisk]]:
    """The local disks that go, and those that come, with another type."""
    if type_name is None:
        return [], []
    held = volumes.volumes_of(at.c, at.instance.id)
    image = images.get(at.c, at.instance.region, at.instance.image_id, viewer=at.instance.account_id)
    gone, made = local_disks_after(held, () if image is None else image.devices, local_disks_of(type_name))
    if len(held) - len(gone) + len(made) > DISKS_MAX:
        raise AttachmentLimitExceeded(instance_id=at.instance.id, disks_max=DISKS_MAX)
    return gone, made


def reset_instance_attribute(
    services: Services, principal: Principal, request: ec2.ResetInstanceAttributeRequest
) -> None:
    """Kernel and ramdisk become the image's again; the source/destination check is switched on."""
    attribute = request.attribute
    if attribute not in rules.RESETTABLE:
        raise InvalidParameterValue(
            f"Value ({attribute}) for parameter attribute is invalid. Only {', '.join(sorted(rules.RESETTABLE))} can be reset."
        )
    with services.database.write_and_answer() as c:
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        rules.check_state(instance, attribute)
        if attribute == "sourceDestCheck":
            facts: dict[str, Any] = {"source_dest_check": True}
        else:
            facts = change_kernel(c, services, principal, instance, images_own(c, instance, attribute))
        raise_if_dry_run(request)
        _write(c, instance, facts)


def _write(c: Connection, instance: Instance, facts: dict[str, Any]) -> None:
    """Records the columns; groups and check are the one interface's, too."""
    if not facts:
        return
    if facts.keys() & {"security_group_ids", "source_dest_check"}:
        held = interfaces.interfaces_of(c, [instance.id])[instance.id]
        if len(held) > 1:
            raise InvalidInstanceID(instance_id=instance.id)
        for interface in held:
            if "security_group_ids" in facts:
                interfaces.set_groups(c, interface, facts["security_group_ids"])
            else:
                interfaces.set_facts(c, interface.id, has_source_dest_check=facts["source_dest_check"])
    instances.change(c, instance.id, **facts)


def _asked(request: ec2.ModifyInstanceAttributeRequest) -> dict[str, Any]:
    """Attribute → its new value; refuses none, and several (but kernel with ramdisk)."""
    asked = {
        attribute: _value(attribute, member)
        for name, attribute in MEMBERS.items()
        if (member := getattr(request, name)) not in (None, [])
    }
    if request.attribute is not None and request.attribute in asked:  # named, with its value in its own member
        if request.value is not None:
            raise InvalidParameterCombination(f"The attribute {request.attribute} is given twice.")
    elif request.attribute is not None:
        asked[request.attribute] = _named_value(request.attribute, request.value)
    elif request.value is not None:
        raise MissingParameter(parameter="Attribute")
    if not asked:
        raise InvalidParameterCombination("No attributes specified.")
    if len(asked) > 1 and not asked.keys() <= KERNELS:
        raise InvalidParameterCombination(f"Fields for multiple attribute types specified: {', '.join(sorted(asked))}.")
    return asked


def _value(attribute: str, member: Any) -> Any:
    """What a member of the request says."""
    if isinstance(member, list):
        return member
    value = member.enabled if attribute == "enclaveOptions" else member.value
    if value is None:
        name = attribute[0].upper() + attribute[1:]
        raise MissingParameter(parameter=f"{name}.{'Enabled' if attribute == 'enclaveOptions' else 'Value'}")
    return value


def _named_value(attribute: str, text: str | None) -> Any:
    """What ``Value`` says of the attribute that ``Attribute`` names."""
    if attribute in ("groupSet", "blockDeviceMapping", "enclaveOptions"):
        raise InvalidParameterCombination(
            f"The attribute {attribute} cannot be given as Value.", hint="give GroupId or BlockDeviceMapping instead"
        )
    if attribute not in rules.ANY_TIME | rules.WHILE_STOPPED:
        raise UnsupportedInstanceAttribute(f"The attribute {attribute} of an instance cannot be changed.")
    if text is None:
        raise MissingParameter(parameter="Value")
    if attribute in FLAGS:
        return rules.read_boolean(attribute, text)
    if attribute != "userData":
        return text
    try:
        return base64.b64decode(text.translate({10: None, 13: None}), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidUserDataMalformed(why=f"{error}.") from None


def _mapped(at: Changing, entries: list[ec2.InstanceBlockDeviceMappingSpecification]) -> dict[str, bool]:
    """Volume → whether it shall end with the instance; without a word it shall, as on EC2."""
    held = volumes.volumes_of(at.c, at.instance.id)
    chosen: dict[str, bool] = {}
    for entry in entries:
        if entry.no_device is not None or entry.virtual_name is not None:
            raise UnsupportedOperation(
                "Only DeleteOnTermination of a mapping can be changed.",
                hint="NoDevice: detach the volume; VirtualName: say it at the launch",
            )
        volume_id = entry.ebs.volume_id if entry.ebs else None
        volume = rules.choose_volume(held, entry.device_name, volume_id)
        if volume.id in chosen:
            raise InvalidInstanceAttributeValue(
                f"The device '{volume.device_name}' is used in more than one block-device mapping"
            )
        goes = entry.ebs.delete_on_termination if entry.ebs else None
        chosen[volume.id] = True if goes is None else goes
    return chosen
