"""Which boot menu the image gets: the one given, the volume's own where it starts this image, or one generated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from amiable.bundle.volume import boot_menu
from amiable.bundle.volume.contents import Made
from amiable.bundle.volume.disk import Scheme
from amiable.bundle.volume.ext import Identity
from amiable.bundle.volume.selection import Report, names_below, read_below
from amiable.model.errors import LocalRefusal

GRUB_CFG: Final = "boot/grub/grub.cfg"
MENU_LST: Final = "boot/grub/menu.lst"
OTHER_CONFIGS: Final = ("boot/grub2/grub.cfg",)
OTHER_MENUS: Final = ("boot/grub/grub.conf",)
PV_DEVICES: Final = frozenset(f"/dev/{name}" for name in ("sda1", "sda", "xvda1", "xvda", "xvde1", "xvde"))
"""What a bare file system appears as in a paravirtual machine."""


@dataclass(frozen=True, slots=True)
class Menus:
    """What the choice depends on.  ``boot_apart``: the volume has /boot on a file system of its own."""

    root: Path
    scheme: Scheme
    identity: Identity
    root_source: str
    names: frozenset[str]
    boot_apart: bool
    given: bytes | None


def menu_for(menus: Menus, report: Report) -> dict[str, Made]:
    """The menu to write, if one is; raises LocalRefusal for a disk that nothing would start from."""
    if menus.scheme == "none":
        return _bare(menus, report)
    if menus.given is not None:
        return {GRUB_CFG: Made(menus.given)}
    own = read_below(menus.root, GRUB_CFG)
    if own is not None and _starts(menus, own, menus.names):
        return {}
    for path in OTHER_CONFIGS:
        other = read_below(menus.root, path)
        if own is None and other is not None and _starts(menus, other, menus.names):
            return {GRUB_CFG: Made(other.encode(errors="surrogateescape"))}
    found = boot_menu.kernels(names_below(menus.root, "boot"))
    if not found:
        raise LocalRefusal(
            "there is no kernel in /boot and no boot menu that names one: nothing would start from this disk",
            hint="install a kernel in the volume, pass --grub-config, or --partition none for a kernel chosen at launch",
        )
    _say_root(menus, found, report)
    report.remarks.append(
        (GRUB_CFG, "written anew" if own is None else "written anew: the volume's does not start this image")
    )
    options = boot_menu.default_options(read_below(menus.root, "etc/default/grub") or "")
    text = boot_menu.grub_cfg(found, root=menus.root_source, uuid=str(menus.identity.uuid), options=options)
    return {GRUB_CFG: Made(text.encode())}


def _bare(menus: Menus, report: Report) -> dict[str, Made]:
    """The menu of a bare file system: PV-GRUB's; none where there is no kernel, for one is then chosen at launch."""
    if menus.given is not None:
        return {MENU_LST: Made(menus.given)}
    for path in (MENU_LST, *OTHER_MENUS):
        own = read_below(menus.root, path)
        if own is not None and _starts(menus, own, menus.names | PV_DEVICES):
            whole = own.replace("(hd0,0)", "(hd0)")
            if whole == own:
                return {}
            report.remarks.append((path, "root (hd0,0) became root (hd0): there are no partitions"))
            return {path: Made(whole.encode(errors="surrogateescape"))}
    found = boot_menu.kernels(names_below(menus.root, "boot"))
    if not found:
        return {}
    _say_root(menus, found, report)
    report.remarks.append((MENU_LST, "written anew"))
    return {MENU_LST: Made(boot_menu.menu_lst(found, root=menus.root_source).encode())}


def _starts(menus: Menus, text: str, names: frozenset[str]) -> bool:
    return not menus.boot_apart and boot_menu.names_root(text, uuid=str(menus.identity.uuid), roots=names)


def _say_root(menus: Menus, found: tuple[boot_menu.Kernel, ...], report: Report) -> None:
    if found[0].ramdisk is None and menus.root_source.startswith("UUID="):
        report.remarks.append(
            (
                found[0].path.strip("/"),
                "has no ramdisk to find root by its UUID: --root-device names one it finds itself",
            )
        )
