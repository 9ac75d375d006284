"""Guests to boot, built once and shared by all tests; files to read, never to boot from: copy or overlay them."""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from amiable.bundle.house.bootstrap import build_disk, package_sources, require_host
from amiable.bundle.house.recipe import DISK_BYTES, FILES, Kind, recipe
from amiable.bundle.volume import boot_loader
from amiable.bundle.volume import disk as layout
from amiable.bundle.volume.disk import PLANS
from amiable.vm.appliance.programs import run
from guests import debian
from guests.outputs import build_once, default_cache, digest_of_files
from guests.tiny.build import build_cached


@dataclass(frozen=True)
class TinyGuest:
    """Files of the tiny guest; ``guests/tiny/__init__.py`` says what each is."""

    folder: Path
    hvm: Path
    pv: Path
    menu: Path
    menu_disk: Path
    kernel: Path
    ramdisk: Path
    other_kernel: Path
    other_ramdisk: Path
    no_boot_loader: Path
    kernel_version: str
    other_kernel_version: str


def guest_cache() -> Path:
    """``AMIABLE_GUEST_CACHE``, else ``.cache`` of the checkout."""
    return Path(os.environ.get("AMIABLE_GUEST_CACHE") or default_cache())


@cache
def tiny_guest() -> TinyGuest:
    """The tiny guest; the first caller of all processes builds it (seconds), the others wait."""
    folder = build_cached(guest_cache())
    versions = json.loads((folder / "kernels.json").read_text())
    return TinyGuest(
        folder=folder,
        hvm=folder / "tiny-hvm.img",
        pv=folder / "tiny-pv.ext4",
        menu=folder / "tiny-menu.ext4",
        menu_disk=folder / "tiny-menu.img",
        kernel=folder / "vmlinuz",
        ramdisk=folder / "initrd",
        other_kernel=folder / "vmlinuz-other",
        other_ramdisk=folder / "initrd-other",
        no_boot_loader=folder / "nobootloader.img",
        kernel_version=versions["vmlinuz"],
        other_kernel_version=versions["vmlinuz-other"],
    )


@dataclass(frozen=True)
class DebianGuest:
    """The full Debian with cloud-init."""

    hvm: Path
    kernel_version: str


@cache
def debian_guest() -> DebianGuest:
    """Debian 12; built once (minutes) and kept."""
    folder = debian.build_cached(guest_cache())
    return DebianGuest(folder / "debian-hvm.img", json.loads((folder / "kernels.json").read_text())["vmlinuz"])


@cache
def house_disk(kind: Kind) -> Path:
    """The disk of a house image; built once (a minute or two) and kept, as ``amiable image build --keep`` makes it."""
    chosen = recipe(kind)
    parts = [path for path in FILES.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    loader = [Path(str(module.__file__)) for module in (boot_loader, layout)]
    inputs = {"builder": digest_of_files([*parts, *loader])}
    folder = guest_cache() / "guests" / f"house-{kind}-{inputs['builder'][:16]}"

    def build(into: Path) -> None:
        require_host()
        build_disk(chosen.system, package_sources(), into / "disk.img", size_bytes=DISK_BYTES)

    build_once(folder, inputs, build)
    return folder / "disk.img"


@dataclass(frozen=True)
class Paravirtual:
    """What a paravirtual image is made of: root as a bare file system, and its kernel and initial RAM disk as files."""

    root: Path
    kernel: Path
    ramdisk: Path


@cache
def paravirtual(disk: Path) -> Paravirtual:
    """The root of one of our own Debian disks, taken out of it; made once, and kept beside the other guests."""
    plan = PLANS["gpt"]
    folder = guest_cache() / "guests" / f"{disk.parent.name}-pv"
    parts = Paravirtual(folder / "root.ext4", folder / "vmlinuz", folder / "initrd")

    def build(into: Path) -> None:
        root = into / parts.root.name
        length = plan.root_bytes(disk.stat().st_size)
        place = [f"skip={plan.root_offset_bytes}", f"count={length}", "iflag=skip_bytes,count_bytes"]
        run(["dd", f"if={disk}", f"of={root}", "bs=1M", "conv=sparse", "status=none", *place])
        with root.open("r+b") as file:
            file.truncate(length)
        for link, part in (("/vmlinuz", parts.kernel), ("/initrd.img", parts.ramdisk)):
            said = run(["debugfs", "-R", f"stat {link}", str(root)]).stdout
            target = said.partition('link dest: "')[2].partition('"')[0]
            run(["debugfs", "-R", f"dump /{target} {into / part.name}", str(root)])

    build_once(folder, {"disk": disk.parent.name, "builder": digest_of_files([Path(__file__)])}, build)
    return parts


def facts_of(text: str) -> dict[str, str]:
    """What ``amiable-facts`` printed, by key."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
