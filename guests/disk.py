"""A GPT disk that BIOS and UEFI start: a BIOS boot partition, an EFI system partition, and root last, so that it can grow.

0        MBR: GRUB's boot sector + protective table       partition 14   1 MiB   BIOS boot   (as Debian's cloud images
2048     BIOS boot, 3 MiB                                 partition 15   4 MiB   EFI          number them)
8192     EFI system, 16 MiB                               partition 1   20 MiB   root
40960    root … to 1 MiB before the end
"""

from __future__ import annotations

import uuid
from pathlib import Path

from amiable.vm.appliance.programs import run
from guests.ext4 import NAMESPACE
from guests.grub import SECTOR_BYTES, core_image, embed_bios, write_efi_partition

BIOS_START, BIOS_SECTORS = 2048, 6144
EFI_START, EFI_SECTORS = 8192, 32768
ROOT_START = EFI_START + EFI_SECTORS
ROOT_OFFSET_BYTES = ROOT_START * SECTOR_BYTES
TAIL_BYTES = 1 << 20
"""After root: the second partition table, rounded up to what sfdisk aligns to."""

BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX_ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"

MBR_OFFSET_BYTES = 1 << 20


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
    bios = core_image("i386-pc", root_label=root_label)
    embed_bios(disk, core=bios, partition_start=BIOS_START, partition_sectors=BIOS_SECTORS)
    efi = core_image("x86_64-efi", root_label=root_label)
    write_efi_partition(disk, core=efi, partition_start=EFI_START, partition_sectors=EFI_SECTORS)
