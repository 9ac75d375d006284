"""GRUB 2 on a disk image, put there byte by byte, for BIOS and for UEFI.

    sector 0      boot.img; at 0x5c the sector of core.img; 0x1b8-0x1ff stay the disk's own (signature, partition table)
    core          core.img; at 0x1f4 the block list of its rest: u64 sector, u16 sectors, u16 segment 0x820
    EFI           FAT with EFI/BOOT/BOOTX64.EFI: the name that firmware tries where no boot entry is set

``grub-install`` would need root and a loop device.  The modules that a distribution's own grub.cfg asks for are built in, so that
none is loaded from the image: the image's GRUB may be another version.
Source: grub-core/boot/i386/pc/{boot,diskboot}.S, include/grub/i386/pc/boot.h.
"""

import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from amiable.bundle.volume.disk import SECTOR_BYTES, Place, Plan
from amiable.bundle.volume.programs import run
from amiable.model.errors import LocalRefusal

SPARSE_BYTES: Final = 4096

GRUB_FOLDER: Final = Path("/usr/lib/grub")
PACKAGES: Final = {"i386-pc": "grub-pc-bin", "x86_64-efi": "grub-efi-amd64-bin"}

MODULES: Final = (
    "all_video", "boot", "cat", "configfile", "echo", "ext2", "font", "gettext", "gfxmenu", "gfxterm", "gfxterm_background",
    "gzio", "halt", "help", "keystatus", "linux", "loadenv", "loopback", "ls", "lzopio", "minicmd", "normal", "part_gpt",
    "part_msdos", "png", "probe", "reboot", "regexp", "search", "search_fs_file", "search_fs_uuid", "search_label", "serial",
    "sleep", "terminal", "test", "true", "video", "xzio",
)  # fmt: skip
TARGET_MODULES: Final = {
    "i386-pc": ("biosdisk", "linux16", "vbe", "vga"),
    "x86_64-efi": ("efi_gop", "efi_uga", "fat", "linuxefi"),
}
NEEDED_MODULES: Final = {"i386-pc": ("biosdisk",), "x86_64-efi": ("fat", "efi_gop")}
FAT_SERIAL: Final = "2006ec20"
FAT_TIME: Final = "1700000000"
"""Fixed, so that the same loader makes the same bytes."""


def install(image: Path, plan: Plan, *, search: str, modules: Sequence[str] | None = None) -> None:
    """Makes ``image`` start GRUB under BIOS and UEFI; ``search`` finds the file system of the menu: ``--fs-uuid …``, ``--label …``.

    ``modules`` are built in, beside those that each firmware needs; by default all that a distribution's menu may ask for.
    """
    if plan.core is None or plan.efi is None:
        return
    embed_bios(image, core_image("i386-pc", search, modules), plan.core)
    write_efi(image, core_image("x86_64-efi", search, modules), plan.efi)


def core_image(target: str, search: str, modules: Sequence[str] | None = None) -> bytes:
    """GRUB for ``i386-pc`` or ``x86_64-efi`` that reads /boot/grub/grub.cfg where ``search`` finds it."""
    folder = _folder_of(target)
    wanted = (*MODULES, *TARGET_MODULES[target]) if modules is None else (*modules, *NEEDED_MODULES[target])
    present = [name for name in wanted if (folder / f"{name}.mod").exists()]
    with tempfile.TemporaryDirectory(prefix="amiable-grub-") as scratch:
        early, core = Path(scratch) / "early.cfg", Path(scratch) / "core"
        early.write_text(
            f"search --no-floppy {search} --set=root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
        )
        run(["grub-mkimage", "-O", target, "-p", "/boot/grub", "-c", str(early), "-o", str(core), *present])
        return core.read_bytes()


def require() -> None:
    """Refuses a host without GRUB for BIOS and for UEFI."""
    for target in PACKAGES:
        _folder_of(target)


def _folder_of(target: str) -> Path:
    folder = GRUB_FOLDER / target
    if not folder.is_dir():
        raise LocalRefusal(
            f"GRUB for {target} is not installed", hint=f"sudo apt-get install {PACKAGES[target]}", exit_code=69
        )
    return folder


def embed_bios(image: Path, core: bytes, place: Place) -> None:
    """Writes GRUB's two BIOS parts: the boot sector, and ``core`` at ``place``."""
    sectors = -(-len(core) // SECTOR_BYTES)
    if sectors > place.sectors:
        raise LocalRefusal(f"GRUB's core image needs {sectors} sectors; there is room for {place.sectors}")
    laid = bytearray(core.ljust(sectors * SECTOR_BYTES, b"\0"))
    struct.pack_into("<QHH", laid, 0x1F4, place.start + 1, sectors - 1, 0x820)
    boot = bytearray((GRUB_FOLDER / "i386-pc/boot.img").read_bytes())
    struct.pack_into("<Q", boot, 0x5C, place.start)
    boot[0x66:0x68] = b"\x90\x90"  # do not trust the BIOS's drive number less than our own
    with image.open("r+b") as file:
        old = file.read(SECTOR_BYTES)
        boot[0x1B8:0x200] = old[0x1B8:0x200]
        file.seek(0)
        file.write(boot)
        file.seek(place.start * SECTOR_BYTES)
        file.write(laid)


def write_efi(image: Path, core: bytes, place: Place) -> None:
    """Makes the EFI system partition at ``place`` with ``core`` as the removable medium's loader."""
    environment = {"MTOOLSRC": "/dev/null", "SOURCE_DATE_EPOCH": FAT_TIME, "TZ": "UTC"}
    with tempfile.TemporaryDirectory(prefix="amiable-efi-") as scratch:
        fat, loader = Path(scratch) / "efi.img", Path(scratch) / "BOOTX64.EFI"
        fat.write_bytes(bytes(place.sectors * SECTOR_BYTES))
        loader.write_bytes(core)
        run(["mformat", "-i", str(fat), "-v", "EFI", "-N", FAT_SERIAL, "-T", str(place.sectors), "-h", "1", "-s", "1", "::"],
            environment=environment)  # fmt: skip
        run(["mmd", "-i", str(fat), "::/EFI", "::/EFI/BOOT"], environment=environment)
        run(["mcopy", "-i", str(fat), str(loader), "::/EFI/BOOT/BOOTX64.EFI"], environment=environment)
        with image.open("r+b") as file:
            _write_sparse(file, fat.read_bytes(), place.start * SECTOR_BYTES)


def _write_sparse(file: BinaryIO, content: bytes, offset_bytes: int) -> None:
    """Writes ``content``; runs of zeros stay holes."""
    for at in range(0, len(content), SPARSE_BYTES):
        piece = content[at : at + SPARSE_BYTES]
        if any(piece):
            file.seek(offset_bytes + at)
            file.write(piece)
