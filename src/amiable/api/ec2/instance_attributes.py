"""DescribeInstanceAttribute, and ModifyInstanceAttribute of what can change: kernel and ramdisk of a stopped paravirtual instance.

Another kernel may need another hardware profile, so the profile is chosen again, by the rules of a launch and the instance's tag.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.product_codes import product_codes
from amiable.database import images, instances
from amiable.database import tags as tag_rows
from amiable.model.errors import (
    IncorrectInstanceState,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    NotFound,
    UnsupportedOperation,
)
from amiable.model.image import Image
from amiable.model.instance import Instance, State
from amiable.model.principal import Principal
from amiable.rules import hardware_profile
from amiable.rules.kernel_choice import PARAVIRTUAL, choose_boot_images
from amiable.services import Services
from amiable.services.hypervisor import check_pv32
from amiable.wire.generated import ec2

CHANGEABLE: Final = ("kernel", "ramdisk")
_ASIDE: Final = ("instance_id", "dry_run", "attribute", "value", *CHANGEABLE)


def _value(text: str | None) -> ec2.AttributeValue:
    return ec2.AttributeValue(value=text)


READERS: Final[Mapping[str, Callable[[Instance], dict[str, Any]]]] = {
    "instanceType": lambda it: {"instance_type": _value(it.instance_type)},
    "kernel": lambda it: {"kernel_id": _value(it.kernel_id)},
    "ramdisk": lambda it: {"ramdisk_id": _value(it.ramdisk_id)},
    "productCodes": lambda it: {"product_codes": product_codes(it.product_codes)},
    "rootDeviceName": lambda it: {"root_device_name": _value(it.root_device_name)},
    "instanceInitiatedShutdownBehavior": lambda it: {
        "instance_initiated_shutdown_behavior": _value(it.shutdown_behavior)
    },
    "userData": lambda it: {
        "user_data": _value(None if it.user_data is None else base64.b64encode(it.user_data).decode())
    },
}
"""Attribute → its element of the answer."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a request changes; None: left as it is, ``""`` of a ramdisk: none from now on."""

    kernel_id: str | None
    ramdisk_id: str | None


def describe_instance_attribute(
    services: Services, principal: Principal, request: ec2.DescribeInstanceAttributeRequest
) -> ec2.InstanceAttribute:
    """One attribute of one instance."""
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
    reader = READERS.get(request.attribute)
    if reader is None:
        raise UnsupportedOperation(f"The attribute {request.attribute} of instances is not implemented by Amiable.")
    raise_if_dry_run(request)
    return ec2.InstanceAttribute(instance_id=instance.id, **reader(instance))


def modify_instance_attribute(
    services: Services, principal: Principal, request: ec2.ModifyInstanceAttributeRequest
) -> None:
    """Gives a stopped instance another kernel or ramdisk, approved as at a launch; it boots with it at its next start."""
    change = _change(request)
    with services.database.write() as c:
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        if instance.state is not State.STOPPED:
            raise IncorrectInstanceState(
                f"The instance '{instance.id}' is not in the 'stopped' state: it is {instance.state}."
            )
        if instance.virtualization_type != PARAVIRTUAL:
            raise InvalidParameterCombination(
                f"The instance '{instance.id}' is {instance.virtualization_type}: it boots its own kernel."
            )
        image = _as_launched(c, instance, change)
        known = _known(c, principal, image, change)
        boot = choose_boot_images(
            image,
            kernel_id=change.kernel_id,
            ramdisk_id=change.ramdisk_id or None,
            known=known,
            account_id=principal.account_id,
        )
        tag = tag_rows.tags_of(c, principal.account_id, [instance.id]).get(instance.id, {}).get(hardware_profile.TAG)
        choice = hardware_profile.choose(image, boot, tag)
        assert boot.kernel is not None
        if choice.needs_pv32:
            check_pv32(services, boot.kernel.id)
        raise_if_dry_run(request)
        instances.set_kernel(
            c,
            instance.id,
            kernel_id=boot.kernel.id,
            ramdisk_id=boot.ramdisk.id if boot.ramdisk else None,
            hardware_profile=choice.profile.value,
            hardware_profile_why=choice.why[:255],
        )


def _change(request: ec2.ModifyInstanceAttributeRequest) -> Change:
    """The request's change; refuses other attributes, and none at all."""
    others = [name for name in request.__struct_fields__ if name not in _ASIDE and getattr(request, name) is not None]
    if request.attribute is not None and request.attribute not in CHANGEABLE:
        others.append(request.attribute)
    if others:
        raise UnsupportedOperation(
            f"Changing {', '.join(sorted(others))} of an instance is not implemented by Amiable."
        )
    given = {name: found.value for name in CHANGEABLE if (found := getattr(request, name)) is not None}
    if request.attribute is not None:
        if request.attribute in given:
            raise InvalidParameterCombination(f"The attribute {request.attribute} is given twice.")
        given[request.attribute] = request.value
    if not given:
        raise InvalidParameterCombination("No attributes specified.")
    for name, value in given.items():
        if value is None:
            raise MissingParameter(parameter=f"{name.capitalize()}.Value")
    if given.get("kernel") == "":
        raise InvalidParameterValue(parameter="Kernel", value="", why="A paravirtual instance needs one.")
    return Change(given.get("kernel"), given.get("ramdisk"))


def _as_launched(c: Connection, instance: Instance, change: Change) -> Image:
    """The instance's image with the instance's own kernel and ramdisk: what the change is measured against."""
    image = images.get(c, instance.region, instance.image_id, viewer=instance.account_id)
    if image is None:
        raise NotFound("image", [instance.image_id])
    ramdisk_id = None if change.ramdisk_id == "" else instance.ramdisk_id
    return replace(image, kernel_id=instance.kernel_id, ramdisk_id=ramdisk_id)


def _known(c: Connection, principal: Principal, image: Image, change: Change) -> dict[str, Image]:
    wanted = {change.kernel_id or image.kernel_id, change.ramdisk_id or image.ramdisk_id}
    found = [images.get(c, principal.region, each, viewer=principal.account_id) for each in wanted if each]
    return {each.id: each for each in found if each is not None}
