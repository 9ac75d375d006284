"""Boot menus: GRUB 2's grub.cfg for a disk, and the menu.lst that PV-GRUB reads in a bare file system.

The volume's own menu is kept where it names the image's root; else one is generated from the kernels in /boot.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

KERNEL: Final = re.compile(r"(?:vmlinuz|vmlinux|kernel|bzImage)(?:-(?P<version>[^/]+))?")
RAMDISKS: Final = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img", "initramfs-{}")
UNVERSIONED_RAMDISKS: Final = ("initrd", "initrd.img", "initramfs.img", "initramfs-linux.img")
NOT_A_KERNEL: Final = (".old", ".sig", ".hmac", ".bak", ".dpkg-bak", "-rescue")

CONSOLES: Final = "console=tty0 console=ttyS0,115200"
PV_CONSOLE: Final = "console=hvc0"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel and its ramdisk, paths in the image."""

    path: str
    ramdisk: str | None

    @property
    def title(self) -> str:
        return self.path.rpartition("/")[2]


def kernels(names: Collection[str]) -> tuple[Kernel, ...]:
    """The kernels among the ``names`` of files in /boot, the newest first."""
    found = []
    for name in names:
        match = KERNEL.fullmatch(name)
        if match is None or name.endswith(NOT_A_KERNEL) or "rescue" in name:
            continue
        version = match["version"]
        wanted = UNVERSIONED_RAMDISKS if version is None else [pattern.format(version) for pattern in RAMDISKS]
        ramdisk = next((f"/boot/{ramdisk}" for ramdisk in wanted if ramdisk in names), None)
        found.append((_order(version or ""), Kernel(f"/boot/{name}", ramdisk)))
    return tuple(kernel for _, kernel in sorted(found, key=lambda pair: pair[0], reverse=True))


def grub_cfg(found: Sequence[Kernel], *, root: str, uuid: str, options: str = "") -> str:
    """A grub.cfg that starts the first of ``found`` at once, on screen and serial line; ``root`` is the kernel's parameter."""
    lines = [
        "# Written by amiable bundle volume.",
        "serial --unit=0 --speed=115200",
        "terminal_input console serial",
        "terminal_output console serial",
        "set default=0",
        "set timeout=1",
        f"search --no-floppy --fs-uuid --set=root {uuid}",
    ]
    for kernel in found:
        lines += [f"menuentry '{kernel.title}' {{", f"  linux {kernel.path} {_parameters(root, options, CONSOLES)}"]
        lines += [f"  initrd {kernel.ramdisk}"] if kernel.ramdisk else []
        lines.append("}")
    return "".join(f"{line}\n" for line in lines)


def menu_lst(found: Sequence[Kernel], *, root: str, options: str = "") -> str:
    """A menu.lst for PV-GRUB: the file system is the whole of hd0."""
    lines = ["# Written by amiable bundle volume.", "default 0", "timeout 1"]
    for kernel in found:
        lines += [
            "",
            f"title {kernel.title}",
            "root (hd0)",
            f"kernel {kernel.path} {_parameters(root, options, PV_CONSOLE)}",
        ]
        lines += [f"initrd {kernel.ramdisk}"] if kernel.ramdisk else []
    return "".join(f"{line}\n" for line in lines)


def names_root(menu: str, *, uuid: str, roots: Collection[str]) -> bool:
    """Whether every kernel of ``menu`` is given one of ``roots``, and every search by UUID looks for ``uuid``."""
    if "blscfg" in menu:
        return False
    given = re.findall(r"(?<![\w.])root=(\S+)", "\n".join(_commands(menu, "linux", "linux16", "linuxefi", "kernel")))
    sought = re.findall(r"--fs-uuid\s.*?([0-9A-Fa-f-]{9,})\s*$", menu, re.MULTILINE)
    return bool(given) and all(root.strip("\"'") in roots for root in given) and all(found == uuid for found in sought)


def default_options(text: str) -> str:
    """The kernel's options that /etc/default/grub tells: GRUB_CMDLINE_LINUX and its _DEFAULT."""
    found = dict(re.findall(r"^\s*(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)=[\"']?([^\"'\n]*)[\"']?\s*$", text, re.MULTILINE))
    words = f"{found.get('GRUB_CMDLINE_LINUX', '')} {found.get('GRUB_CMDLINE_LINUX_DEFAULT', '')}".split()
    return " ".join(word for word in words if not word.startswith(("root=", "console=")) and word.isprintable())


def _commands(menu: str, *names: str) -> list[str]:
    return [line.strip() for line in menu.splitlines() if line.split()[:1] and line.split()[0] in names]


def _parameters(root: str, options: str, consoles: str) -> str:
    return " ".join(filter(None, (f"root={root}", "ro", consoles, options)))


def _order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Versions as people count: 6.10 after 6.9."""
    return tuple((1, int(piece), "") if piece.isdigit() else (0, 0, piece) for piece in re.findall(r"\d+|\D+", version))
