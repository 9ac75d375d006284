"""Which kernel and ramdisk a paravirtual launch boots with, and which it may not.

    RunInstances KernelId, RamdiskId ─▶ the image's own (RegisterImage's, else its manifest's) ─▶ refused: there is no default

    each must be      else
    well-formed       InvalidKernelId.Malformed, InvalidRamDiskId.Malformed
    there, of type    InvalidAMIID.NotFound
    visible           AuthFailure
    registered        InvalidAMIID.Unavailable
    approved          AuthFailure, naming the list of approved kernels
    of the image's    InvalidParameterCombination
    architecture

PV-GRUB finds its ramdisk itself, so it takes none: a RamdiskId beside it is refused; the image's own ramdisk is left out when the
request chose a PV-GRUB kernel, since a request cannot say "none".  Sources: EC2 API, RunInstances; User Guide, "User provided
kernels".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, Malformed, NotFound
from amiable.model.image import Image, ImageType
from amiable.model.kernel import PV_GRUB
from amiable.rules.permission import check_approved, check_launch

PARAVIRTUAL: Final = "paravirtual"
PREFIXES: Final = {ImageType.KERNEL: ids.AKI, ImageType.RAMDISK: ids.ARI}


@dataclass(frozen=True, slots=True)
class BootImages:
    """What a launch boots with; both None for an HVM image."""

    kernel: Image | None = None
    ramdisk: Image | None = None


def choose_boot_images(
    image: Image, *, kernel_id: str | None, ramdisk_id: str | None, known: Mapping[str, Image], account_id: str
) -> BootImages:
    """The kernel and ramdisk of a launch of ``image``; the ids are the request's, ``known`` what they and the image's name."""
    if image.virtualization_type != PARAVIRTUAL:
        _refuse_any(image, kernel_id, ramdisk_id)
        return BootImages()
    wanted = kernel_id or image.kernel_id
    if wanted is None:
        raise InvalidParameterCombination(
            f"The image {image.id} is paravirtual and names no kernel.",
            hint="give KernelId, or register the image with one",
        )
    kernel = _usable(image, wanted, ImageType.KERNEL, known, account_id)
    wanted_ramdisk = ramdisk_id or image.ramdisk_id
    if kernel.kernel_kind in PV_GRUB:
        if ramdisk_id is None and kernel_id is not None:
            wanted_ramdisk = None
        check_no_ramdisk(kernel, wanted_ramdisk)
    if wanted_ramdisk is None:
        return BootImages(kernel)
    return BootImages(kernel, _usable(image, wanted_ramdisk, ImageType.RAMDISK, known, account_id))


def check_no_ramdisk(kernel: Image, ramdisk_id: str | None) -> None:
    """Refuses a ramdisk beside a PV-GRUB kernel."""
    if kernel.kernel_kind in PV_GRUB and ramdisk_id is not None:
        raise InvalidParameterCombination(
            f"The kernel {kernel.id} is PV-GRUB, which loads the ramdisk that the image's own menu names: it takes no {ramdisk_id}.",
            hint="leave RamdiskId out",
        )


def _refuse_any(image: Image, kernel_id: str | None, ramdisk_id: str | None) -> None:
    for parameter, value in (("KernelId", kernel_id), ("RamdiskId", ramdisk_id)):
        if value is not None:
            raise InvalidParameterCombination(
                f"{parameter} is for paravirtual images; {image.id} is {image.virtualization_type} and brings its own kernel."
            )


def _usable(image: Image, wanted: str, kind: ImageType, known: Mapping[str, Image], account_id: str) -> Image:
    if not ids.is_well_formed(PREFIXES[kind], wanted):
        raise Malformed(kind.value, wanted, PREFIXES[kind])
    found = known.get(wanted)
    if found is None or found.image_type is not kind:
        raise NotFound(kind.value, [wanted])
    check_launch(found, account_id)
    check_approved(found)
    if found.architecture != image.architecture:
        raise InvalidParameterCombination(
            f"The {kind.value} {wanted} is for {found.architecture}, the image {image.id} for {image.architecture}.",
            hint=f"choose a {kind.value} of {image.architecture}: amiable kernel list",
        )
    return found
