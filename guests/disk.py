"""A guest's disk: the package's GPT layout (``amiable.bundle.volume.disk``), with UUIDs that follow from a name."""

from __future__ import annotations

import uuid
from pathlib import Path

from amiable.bundle.volume.disk import BIOS_BOOT, EFI_SYSTEM, LINUX_ROOT, PLANS, SECTOR_BYTES
from amiable.vm.appliance.programs import run
from guests import grub
from guests.ext4 import NAMESPACE

PLAN = PLANS["gpt"]
assert PLAN.core is not None and PLAN.efi is not None
BIOS_START, BIOS_SECTORS = PLAN.core.start, PLAN.core.sectors
EFI_START, EFI_SECTORS = PLAN.efi.start, PLAN.efi.sectors
ROOT_START = PLAN.root_start
ROOT_OFFSET_BYTES = PLAN.root_offset_bytes
MBR_OFFSET_BYTES = 1 << 20
TAIL_BYTES = PLAN.tail_bytes
"""After root: the second partition table, rounded up to what sfdisk aligns to."""


def partition(disk: Path, *, name: str, root_bytes: int) -> None:
    """Makes ``disk`` a sparse file with the table above; its UUIDs follow from ``name``."""
    with disk.open("wb") as file:
        file.truncate(ROOT_OFFSET_BYTES + root_bytes + TAIL_BYTES)
    lines = [
        "label: gpt",
        f"label-id: {uuid.uuid5(NAMESPACE, name)}",
        f"{disk}14 : start={BIOS_START}, size={BIOS_SECTORS}, type={BIOS_BOOT}, uuid={uuid.uuid5(NAMESPACE, name + '14')}",
        f"{disk}15 : start={EFI_START}, size={EFI_SECTORS}, type={EFI_SYSTEM}, uuid={uuid.uuid5(NAMESPACE, name + '15')}",
        f"{disk}1 : start={ROOT_START}, size={root_bytes // SECTOR_BYTES}, type={LINUX_ROOT}, "
        f"uuid={uuid.uuid5(NAMESPACE, name + '1')}",
    ]
    run(["sfdisk", "--quiet", str(disk)], input_text="\n".join(lines) + "\n")


def partition_mbr(path: Path, *, root_bytes: int) -> int:
    """Makes ``path`` an MBR disk with one partition of ``root_bytes``; where that begins, in bytes."""
    with path.open("wb") as file:
        file.truncate(MBR_OFFSET_BYTES + root_bytes)
    layout = f"label: dos\nlabel-id: 0x41414d49\nstart={MBR_OFFSET_BYTES // SECTOR_BYTES}, size={root_bytes // SECTOR_BYTES}, type=83, bootable\n"
    run(["sfdisk", "--quiet", str(path)], input_text=layout)
    return MBR_OFFSET_BYTES


def make_bootable(disk: Path, *, root_label: str) -> None:
    """Puts GRUB onto ``disk`` for BIOS and for UEFI."""
    grub.install(disk, PLAN, root_label=root_label)
