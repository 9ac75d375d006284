"""GRUB on a disk, put there byte by byte: for BIOS into the boot sector and a BIOS boot partition, for UEFI into a FAT file system.

    sector 0                 boot.img; at 0x5c the sector of core.img; 0x1b8-0x1ff stay the disk's own (signature, partition table)
    BIOS boot partition      core.img; at 0x1f4 the block list of its rest: u64 sector, u16 sectors, u16 segment 0x820

``grub-install`` would need root and a loop device.  Source: grub-core/boot/i386/pc/{boot,diskboot}.S, include/grub/i386/pc/boot.h.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from amiable.vm.appliance.programs import BuildFailure, run
from guests.ext4 import EPOCH

SECTOR_BYTES = 512
GRUB_FOLDER = Path("/usr/lib/grub")
MODULES = (
    "part_gpt",
    "ext2",
    "normal",
    "configfile",
    "linux",
    "search",
    "search_label",
    "serial",
    "terminal",
    "echo",
    "test",
)
BIOS_MODULES = ("biosdisk",)
UEFI_MODULES = ("fat", "efi_gop")


def core_image(target: str, *, root_label: str) -> bytes:
    """GRUB for ``i386-pc`` or ``x86_64-efi`` that reads /boot/grub/grub.cfg of the file system ``root_label``."""
    more = BIOS_MODULES if target == "i386-pc" else UEFI_MODULES
    if not (GRUB_FOLDER / target).is_dir():
        raise BuildFailure(f"GRUB for {target} is not installed", hint="make setup")
    with tempfile.TemporaryDirectory(prefix="amiable-grub-") as folder:
        early, image = Path(folder) / "early.cfg", Path(folder) / "core"
        early.write_text(
            f"search --no-floppy --label {root_label} --set=root\n"
            "set prefix=($root)/boot/grub\n"
            "configfile $prefix/grub.cfg\n"
        )
        command = ["grub-mkimage", "-O", target, "-p", "/boot/grub", "-c", str(early), "-o", str(image)]
        run([*command, *MODULES, *more])
        return image.read_bytes()


def embed_bios(disk: Path, *, core: bytes, partition_start: int, partition_sectors: int) -> None:
    """Writes GRUB's two BIOS parts onto ``disk``; starts and counts are sectors of 512 bytes."""
    sectors = -(-len(core) // SECTOR_BYTES)
    if sectors > partition_sectors:
        raise BuildFailure(
            f"GRUB's core image needs {sectors} sectors; the BIOS boot partition has {partition_sectors}"
        )
    core_on_disk = bytearray(core.ljust(sectors * SECTOR_BYTES, b"\0"))
    struct.pack_into("<QHH", core_on_disk, 0x1F4, partition_start + 1, sectors - 1, 0x820)
    boot = bytearray((GRUB_FOLDER / "i386-pc/boot.img").read_bytes())
    struct.pack_into("<Q", boot, 0x5C, partition_start)
    boot[0x66:0x68] = b"\x90\x90"  # do not trust the BIOS's drive number less than our own
    with disk.open("r+b") as file:
        old = file.read(SECTOR_BYTES)
        boot[0x1B8:0x200] = old[0x1B8:0x200]
        file.seek(0)
        file.write(boot)
        file.seek(partition_start * SECTOR_BYTES)
        file.write(core_on_disk)


def write_efi_partition(disk: Path, *, core: bytes, partition_start: int, partition_sectors: int) -> None:
    """Makes the EFI system partition of ``disk`` with GRUB as the removable medium's loader."""
    environment = {"SOURCE_DATE_EPOCH": str(EPOCH), "MTOOLSRC": "/dev/null", "TZ": "UTC"}
    with tempfile.TemporaryDirectory(prefix="amiable-efi-") as folder:
        image, loader = Path(folder) / "efi.img", Path(folder) / "BOOTX64.EFI"
        image.write_bytes(bytes(partition_sectors * SECTOR_BYTES))
        loader.write_bytes(core)
        run(["mformat", "-i", str(image), "-v", "EFI", "-N", "2006ec20", "-T", str(partition_sectors), "-h", "1", "-s", "1", "::"],
            environment=environment)  # fmt: skip
        run(["mmd", "-i", str(image), "::/EFI", "::/EFI/BOOT"], environment=environment)
        run(["mcopy", "-i", str(image), str(loader), "::/EFI/BOOT/BOOTX64.EFI"], environment=environment)
        with disk.open("r+b") as file:
            file.seek(partition_start * SECTOR_BYTES)
            file.write(image.read_bytes())
