"""The tiny guest behind a chain that Secure Boot trusts: Microsoft's key signed the shim, Debian's the GRUB and the kernel.

    firmware's db ─▶ /EFI/BOOT/BOOTX64.EFI (shim) ─▶ grubx64.efi ─▶ /EFI/debian/grub.cfg ─▶ /boot/vmlinuz

The signed files come from Debian's packages, unpacked beside the other guests' parts; GRUB reads its menu where Debian built it to.
"""

import shutil
from functools import cache
from pathlib import Path

from amiable.bundle.volume.disk import PLANS, SECTOR_BYTES
from amiable.vm.appliance.packages import Packages
from amiable.vm.appliance.programs import run
from guests.outputs import build_once, digest_of_files
from guests.tiny.build import LABEL
from tests.support.guests import guest_cache, tiny_guest

SHIM = ("shim-signed", "usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI")
GRUB = ("grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi")
MENU_PLACE = "EFI/debian/grub.cfg"
MENU = f"""\
search --no-floppy --label {LABEL} --set=root
linux /boot/vmlinuz root=LABEL={LABEL} console=ttyS0,115200 panic=5
initrd /boot/initrd
boot
"""


@cache
def signed_disk() -> Path:
    """A disk that starts with Microsoft's keys enrolled."""
    packages = Packages(guest_cache())
    signed = {place: packages.unpack(package) / path for package, path, place in (SHIM, GRUB)}
    inputs = {"tiny": tiny_guest().folder.name, "signed": digest_of_files([Path(__file__), *signed.values()])}
    folder = guest_cache() / "guests" / f"signed-{inputs['signed'][:16]}-{inputs['tiny']}"

    def build(into: Path) -> None:
        efi = PLANS["gpt"].efi
        assert efi is not None
        image, menu = into / "disk.img", into / "grub.cfg"
        shutil.copyfile(tiny_guest().hvm, image)
        menu.write_text(MENU)
        partition = ("-i", f"{image}@@{efi.start * SECTOR_BYTES}")
        run(["mmd", *partition, "::/EFI/debian"])
        for place, source in {**signed, MENU_PLACE: menu}.items():
            run(["mcopy", "-o", *partition, str(source), f"::/{place}"])

    build_once(folder, inputs, build)
    return folder / "disk.img"
