"""How a disk can start, seen in its first sectors, and what that advises where the firmware found nothing to start.

    boot code in sector 0        a BIOS starts it; a sector of zeros hangs, and says nothing
    EFI system partition         UEFI starts /EFI/BOOT/BOOTX64.EFI in it; whether that file is there is not looked at
    ext at byte 1024, no table   a bare file system: paravirtual images have it, and no firmware starts it

Sources: UEFI 2.10 §3.5, §5.2; the classical MBR layout.
"""

from dataclasses import dataclass
from typing import Final

from amiable.rules.partition_table import SECTOR_BYTES, has_efi_system_partition, is_bare_ext

BOOT_CODE_BYTES: Final = 440
"""Of sector 0; the disk's signature and its partition table follow."""
UEFI: Final = "uefi"


@dataclass(frozen=True, slots=True)
class BootWays:
    """What of a disk a firmware looks for."""

    has_boot_code: bool
    has_efi_system: bool
    is_bare: bool


def ways_of(head: bytes) -> BootWays:
    """The ways of a disk that begins with ``head``, which has :data:`partition_table.HEAD_BYTES` where the disk has them."""
    has_code = head[510:SECTOR_BYTES] == b"\x55\xaa" and any(head[:BOOT_CODE_BYTES])
    return BootWays(has_code, has_efi_system_partition(head), not has_code and is_bare_ext(head))


def cannot_start(ways: BootWays, boot_mode: str) -> bool:
    """Whether it is certain that a disk does not start by ``boot_mode`` (uefi, else a BIOS); UEFI may have entries of its own."""
    return boot_mode != UEFI and not ways.has_boot_code


def advice(ways: BootWays, boot_mode: str) -> str:
    """What to tell the owner of an image of which firmware in ``boot_mode`` started nothing."""
    if ways.is_bare:
        return (
            "Its root is a bare file system, as paravirtual images have it: register it with "
            "VirtualizationType=paravirtual and a kernel."
        )
    if boot_mode != UEFI and ways.has_efi_system:
        code = "" if ways.has_boot_code else " and no BIOS boot code"
        return f"Its root has an EFI system partition{code}: register it with BootMode=uefi."
    if boot_mode == UEFI and ways.has_boot_code:
        where = (
            "no loader that UEFI found in its EFI system partition"
            if ways.has_efi_system
            else "no EFI system partition"
        )
        return f"Its root has BIOS boot code and {where}: register it with BootMode=legacy-bios."
    if boot_mode == UEFI and ways.has_efi_system:
        return "UEFI starts /EFI/BOOT/BOOTX64.EFI in its root's EFI system partition: put a boot loader there."
    if ways.has_boot_code:
        return ""
    return "Its root has neither BIOS boot code nor an EFI system partition: install a boot loader, and make the image again."


def remark(ways: BootWays, boot_mode: str | None) -> str | None:
    """What is odd about registering such a disk, as HVM, with ``boot_mode`` (None: the instance type's, a BIOS for most)."""
    if boot_mode in (None, "legacy-bios") and cannot_start(ways, "legacy-bios"):
        return advice(ways, "legacy-bios")
    if boot_mode == UEFI and ways.has_boot_code and not ways.has_efi_system:
        return advice(ways, UEFI)
    return None
