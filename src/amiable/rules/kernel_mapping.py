"""Which kernel or ramdisk of another cloud or region stands for the one that a bundle names.

    the target has that very id                                    it stays
    it is a PV-GRUB, by its old id, its place or its kind          the target's PV-GRUB of the same root device and architecture
    the source describes it                                        the target's of the same owner, type and S3 key (bucket left out)
    anything else                                                  none: the user names one, or has none

The first two need no source: the clouds that knew an old id may be gone.  Source: ec2-migrate-manifest, without its faults (its owner
filter did nothing).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.kernel import KernelKind
from amiable.rules.pv_grub_ids import PV_GRUB_IDS, PvGrub

_ID: Final = re.compile(r"[ae][kr]i-[0-9a-fA-F]{8,17}")
_PV_GRUB_NAME: Final = re.compile(r"pv-grub-(hd00?)[_-]")


@dataclass(frozen=True, slots=True)
class BootImage:
    """A kernel or ramdisk as its cloud describes it; ``kind`` where the cloud is an Amiable, and knows it."""

    id: str
    image_type: str
    owner_id: str
    location: str
    architecture: str
    kind: str | None = None
    is_approved: bool = True

    @property
    def key(self) -> str:
        """The S3 key of its manifest: its location without the bucket."""
        return self.location.lstrip("/").partition("/")[2]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What stands for a kernel or ramdisk at the target, and why, in words."""

    id: str
    why: str


def is_boot_image_id(text: str | None) -> bool:
    """Whether a manifest's ``kernel_id`` names an image: euca2ools also write ``true`` there, in a kernel's own bundle."""
    return text is not None and _ID.fullmatch(text) is not None


def pv_grub_of(image: BootImage) -> PvGrub | None:
    """Which PV-GRUB the kernel is, if it is one: by its kind, else by its name in S3, else by its id."""
    if image.image_type != "kernel":
        return None
    if image.kind in (KernelKind.PV_GRUB_HD0, KernelKind.PV_GRUB_HD00):
        return PvGrub(KernelKind(image.kind), image.architecture)
    if named := _PV_GRUB_NAME.search(image.key):
        return PvGrub(KernelKind(f"pv-grub-{named[1]}"), image.architecture)
    return PV_GRUB_IDS.get(image.id)


def map_boot_image(wanted: str, source: Sequence[BootImage], target: Sequence[BootImage]) -> Mapped | None:
    """What stands for the id ``wanted`` at the target; ``None`` where nothing does."""
    image_type = "ramdisk" if wanted[1:2] == "r" else "kernel"
    candidates = [image for image in target if image.image_type == image_type]
    if any(image.id == wanted for image in candidates):
        return Mapped(wanted, f"{wanted} is there")
    known = next((image for image in source if image.id == wanted), None)
    pv_grub = PV_GRUB_IDS.get(wanted) if known is None else pv_grub_of(known)
    if pv_grub is not None and image_type == "kernel":
        found = _best([image for image in candidates if pv_grub_of(image) == pv_grub])
        if found is not None:
            return Mapped(found.id, f"{wanted} is {pv_grub.kind} for {pv_grub.architecture}, and so is {found.id}")
    if known is not None and known.key:
        alike = [image for image in candidates if (image.owner_id, image.key) == (known.owner_id, known.key)]
        found = _best(alike)
        if found is not None:
            return Mapped(found.id, f"{wanted} and {found.id} are {known.key} of {known.owner_id}")
    return None


def _best(images: list[BootImage]) -> BootImage | None:
    """The approved before the others, then the highest version that the key tells, then the first id."""
    ordered = sorted(images, key=lambda image: image.id)
    return max(ordered, key=lambda image: (image.is_approved, _version(image.key)), default=None)


def _version(key: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", key.rpartition("/")[2])[:8])
