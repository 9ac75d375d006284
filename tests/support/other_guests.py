"""Disks that are not Linux: programs of Debian packages, started by GRUB from a disk that an image can be made of."""

from functools import cache
from pathlib import Path

from amiable.bundle.volume import boot_loader
from amiable.bundle.volume.disk import PLANS
from amiable.vm.appliance.tree import File, Tree
from guests import disk, ext4
from guests.outputs import build_once, digest_of_files
from tests.support.guests import guest_cache

ROOT_BYTES = 8 << 20
MODULES = (*boot_loader.MODULES, *boot_loader.TARGET_MODULES["i386-pc"], "chain")
MENU_HEAD = "serial --unit=0 --speed=115200\nterminal_output serial console\n"

IPXE = (Path("/boot/ipxe.lkrn"), Path("/boot/ipxe.efi"))
IPXE_MENU = """\
if [ "$grub_platform" = efi ]; then
  chainloader /boot/ipxe.efi
else
  linux16 /boot/ipxe.lkrn
  initrd16 /boot/script.ipxe
fi
boot
"""
IPXE_SCRIPT = """\
#!ipxe
dhcp && imgfetch --name metadata http://169.254.169.254/latest/meta-data/instance-id && echo amiable: address ${net0/ip}, metadata read || echo amiable: no network
shell
"""

MEMTEST = (Path("/boot/memtest86+x64.bin"), Path("/boot/memtest86+x64.efi"))
MEMTEST_MENU = """\
if [ "$grub_platform" = efi ]; then
  linux /boot/memtest86+x64.efi console=ttyS0,115200
else
  linux16 /boot/memtest86+x64.bin console=ttyS0,115200
fi
boot
"""


@cache
def ipxe_disk() -> Path:
    """A disk that starts iPXE, by BIOS and by UEFI."""
    return _disk("ipxe", IPXE, IPXE_MENU, {"boot/script.ipxe": IPXE_SCRIPT})


@cache
def memtest_disk() -> Path:
    """A disk that starts memtest86+, by BIOS and by UEFI."""
    return _disk("memtest", MEMTEST, MEMTEST_MENU, {})


def _disk(name: str, programs: tuple[Path, ...], menu: str, texts: dict[str, str]) -> Path:
    sources = [Path(__file__), Path(str(boot_loader.__file__)), *programs]
    inputs = {"sources": digest_of_files(sources)}
    folder = guest_cache() / "guests" / f"{name}-{inputs['sources'][:16]}"

    def build(into: Path) -> None:
        label = f"amiable-{name}"
        tree = Tree()
        tree.add("boot/grub/grub.cfg", File((MENU_HEAD + menu).encode()))
        for program in programs:
            tree.add(f"boot/{program.name}", File(program.read_bytes()))
        for path, text in texts.items():
            tree.add(path, File(text.encode()))
        image = into / "disk.img"
        disk.partition(image, name=label, root_bytes=ROOT_BYTES)
        ext4.write_ext4(tree, image, label=label, size_bytes=ROOT_BYTES, offset_bytes=disk.ROOT_OFFSET_BYTES)
        boot_loader.install(image, PLANS["gpt"], search=f"--label {label}", modules=MODULES)

    build_once(folder, inputs, build)
    return folder / "disk.img"
