"""A guest's disk: the package's GPT layout (``amiable.bundle.volume.disk``), with UUIDs that follow from a name."""

from __future__ import annotations

from pathlib import Path

from amiable.bundle.volume import disk as layout
from amiable.bundle.volume.disk import PLANS, SECTOR_BYTES
from amiable.vm.appliance.programs import run
from guests import grub

PLAN = PLANS["gpt"]
ROOT_OFFSET_BYTES = PLAN.root_offset_bytes
MBR_OFFSET_BYTES = 1 << 20
TAIL_BYTES = PLAN.tail_bytes
"""After root: the second partition table, rounded up to what sfdisk aligns to."""


def partition(disk: Path, *, name: str, root_bytes: int) -> None:
    """Makes ``disk`` a sparse file with the package's GPT; its UUIDs follow from ``name``."""
    size_bytes = ROOT_OFFSET_BYTES + root_bytes + TAIL_BYTES
    with disk.open("wb") as file:
        file.truncate(size_bytes)
    layout.partition(disk, PLAN, size_bytes=size_bytes, name=name)


def partition_mbr(path: Path, *, root_bytes: int) -> int:
    """Makes ``path`` an MBR disk with one partition of ``root_bytes``; where that begins, in bytes."""
    with path.open("wb") as file:
        file.truncate(MBR_OFFSET_BYTES + root_bytes)
    table = f"label: dos\nlabel-id: 0x41414d49\nstart={MBR_OFFSET_BYTES // SECTOR_BYTES}, size={root_bytes // SECTOR_BYTES}, type=83, bootable\n"
    run(["sfdisk", "--quiet", str(path)], input_text=table)
    return MBR_OFFSET_BYTES


def make_bootable(disk: Path, *, root_label: str) -> None:
    """Puts GRUB onto ``disk`` for BIOS and for UEFI."""
    grub.install(disk, PLAN, root_label=root_label)
