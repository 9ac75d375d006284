"""Another kernel or ramdisk for a stopped paravirtual instance, approved as at a launch; it boots with it at its next start.

Another kernel may need another hardware profile, so the profile is chosen again, by the rules of a launch and the instance's tag.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from amiable.database import images
from amiable.database import tags as tag_rows
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, NotFound
from amiable.model.image import Image
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.rules import hardware_profile
from amiable.rules.kernel_choice import PARAVIRTUAL, BootImages, choose_boot_images
from amiable.services import Services
from amiable.services.hypervisor import check_pv32


@dataclass(frozen=True, slots=True)
class KernelChange:
    """What a request changes; None: left as it is, ``""`` of a ramdisk: none from now on."""

    kernel_id: str | None = None
    ramdisk_id: str | None = None


def change_kernel(
    c: Connection, services: Services, principal: Principal, instance: Instance, change: KernelChange
) -> dict[str, Any]:
    """The columns that the change gives the instance."""
    if instance.virtualization_type != PARAVIRTUAL:
        raise InvalidParameterCombination(
            f"The instance '{instance.id}' is {instance.virtualization_type}: it boots its own kernel."
        )
    if change.kernel_id == "":
        raise InvalidParameterValue(parameter="Kernel", value="", why="A paravirtual instance needs one.")
    image = _as_launched(c, instance, change)
    boot = choose_boot_images(
        image,
        kernel_id=change.kernel_id,
        ramdisk_id=change.ramdisk_id or None,
        known=_known(c, principal, image, change),
        account_id=principal.account_id,
    )
    choice = hardware_profile.choose(image, boot, tag_of(c, instance))
    assert boot.kernel is not None
    if choice.needs_pv32:
        check_pv32(services, boot.kernel.id)
    return {
        "kernel_id": boot.kernel.id,
        "ramdisk_id": boot.ramdisk.id if boot.ramdisk else None,
        "hardware_profile": choice.profile.value,
        "hardware_profile_why": choice.why[:255],
    }


def change_flags(c: Connection, instance: Instance) -> dict[str, Any]:
    """The columns of an HVM instance's hardware profile, chosen again for its flags as they are now; none where its image is gone."""
    image = images.get(c, instance.region, instance.image_id, viewer=instance.account_id)
    if image is None:
        return {}
    as_now = replace(image, ena_support=instance.ena_support, sriov_net_support=instance.sriov_net_support)
    choice = hardware_profile.choose(as_now, BootImages(), tag_of(c, instance), boot_mode=instance.boot_mode)
    return {"hardware_profile": choice.profile.value, "hardware_profile_why": choice.why[:255]}


def images_own(c: Connection, instance: Instance, attribute: str) -> KernelChange:
    """The change back to what the instance's image says of ``kernel`` or ``ramdisk``."""
    image = images.get(c, instance.region, instance.image_id, viewer=instance.account_id)
    if image is None:
        raise NotFound("image", [instance.image_id])
    if attribute == "kernel":
        return KernelChange(kernel_id=image.kernel_id)
    return KernelChange(ramdisk_id=image.ramdisk_id or "")


def tag_of(c: Connection, instance: Instance) -> str | None:
    """The instance's hardware profile tag."""
    tags = tag_rows.tags_of(c, instance.account_id, [instance.id]).get(instance.id, {})
    return tags.get(hardware_profile.TAG)


def _as_launched(c: Connection, instance: Instance, change: KernelChange) -> Image:
    """The instance's image with the instance's own kernel and ramdisk: what the change is measured against."""
    image = images.get(c, instance.region, instance.image_id, viewer=instance.account_id)
    if image is None:
        raise NotFound("image", [instance.image_id])
    ramdisk_id = None if change.ramdisk_id == "" else instance.ramdisk_id
    return replace(image, kernel_id=instance.kernel_id, ramdisk_id=ramdisk_id)


def _known(c: Connection, principal: Principal, image: Image, change: KernelChange) -> dict[str, Image]:
    wanted = {change.kernel_id or image.kernel_id, change.ramdisk_id or image.ramdisk_id}
    found = [images.get(c, principal.region, each, viewer=principal.account_id) for each in wanted if each]
    return {each.id: each for each in found if each is not None}
