"""PV-GRUB: a boot loader that is a kernel to Xen, and reads the image's own menu inside the guest.

So no file system of an image is parsed on the host.  Debian's own builds look for ``grub.cfg`` only; ours reads the menu of GRUB 0.97
that images of the era have (``menu.lst``, ``grub.conf``), whose ``root (hd0)`` means the whole of the one disk.  That name is made
by a loopback over the disk, which wants its exact length: :func:`for_disk` writes that into a line of the finished program.

    pv-grub-hd0     the disk is a bare file system      (hd0)/boot/grub/menu.lst
    pv-grub-hd00    the disk has partitions             (hd0,0)/boot/grub/menu.lst

Source: Amazon EC2 User Guide, "Enable your own Linux kernels"; GRUB manual, ``legacy_configfile``.
"""

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from amiable.vm.appliance.packages import Packages
from amiable.vm.appliance.programs import BuildFailure, run

PACKAGE: Final = "grub-xen-bin"
MKIMAGE_HINT: Final = "apt-get install grub-common"
PLATFORMS: Final = {"x86_64": "x86_64-xen", "i386": "i386-xen"}
ROOTS: Final = {"hd0": ("hd0",), "hd00": ("hd0,msdos1", "hd0,gpt1")}
MENUS: Final = ("/boot/grub/menu.lst", "/boot/grub/grub.conf", "/grub/menu.lst", "/grub/grub.conf")
PLACEHOLDER: Final = b"(AMIABLE-ROOT-DISK)".ljust(48, b"_")
MODULES: Final = (
    *("memdisk", "tar", "normal", "configfile", "legacycfg", "linux", "echo", "ls", "test", "regexp", "loopback"),
    *(
        "part_msdos",
        "part_gpt",
        "part_bsd",
        "ext2",
        "xfs",
        "btrfs",
        "reiserfs",
        "jfs",
        "iso9660",
        "zfs",
        "ufs1",
        "ufs2",
    ),
    *("search", "search_fs_uuid", "search_label", "gzio", "xzio", "lzopio", "sleep", "halt", "reboot"),
)
EARLY: Final = "normal (memdisk)/grub.cfg\n"


def menu_script(kind: str) -> str:
    """The configuration that finds the image's menu; ``kind``: hd0 or hd00."""
    lines = [f"loopback hd0 {PLACEHOLDER.decode()}"]
    for root in ROOTS[kind]:
        for menu in MENUS:
            lines += [
                f"if [ -f ({root}){menu} ]; then",
                f"  set root={root}",
                f"  legacy_configfile ({root}){menu}",
                "fi",
            ]
    lines += [
        f'echo "pv-grub-{kind}: no menu: none of {" ".join(MENUS)} is on {" or ".join(f"({root})" for root in ROOTS[kind])}"',
        "ls",
    ]
    return "".join(f"{line}\n" for line in lines)


def build_pv_grub(packages: Packages, kind: str, architecture: str) -> bytes:
    """The program for ``kind`` (hd0, hd00) and ``architecture`` (x86_64, i386); raises BuildFailure."""
    platform = PLATFORMS[architecture]
    modules = packages.unpack(PACKAGE) / "usr/lib/grub" / platform
    with tempfile.TemporaryDirectory(prefix="amiable-pv-grub-") as name:
        folder = Path(name)
        (folder / "early.cfg").write_text(EARLY)
        (folder / "mem.tar").write_bytes(_tar("grub.cfg", menu_script(kind).encode()))
        command = ["grub-mkimage", "-d", str(modules), "-O", platform, "-p", "(memdisk)/"]
        command += ["-c", str(folder / "early.cfg"), "-m", str(folder / "mem.tar"), "-o", str(folder / "pv-grub")]
        try:
            run([*command, *MODULES])
        except BuildFailure as failure:
            raise BuildFailure(str(failure), hint=MKIMAGE_HINT) from None
        program = (folder / "pv-grub").read_bytes()
    assert program.count(PLACEHOLDER) == 1
    return program


def for_disk(program: bytes, disk_name: str, size_bytes: int) -> bytes:
    """The program told which disk is (hd0) and how long it is; raises BuildFailure where it is none of ours."""
    if program.count(PLACEHOLDER) != 1:
        raise BuildFailure("the kernel is not a PV-GRUB that Amiable made", hint="amiable kernel add-pv-grub")
    text = f"(xen/{disk_name})0+{size_bytes // 512}".encode()
    assert len(text) <= len(PLACEHOLDER)
    return program.replace(PLACEHOLDER, text.ljust(len(PLACEHOLDER)))


def _tar(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()
