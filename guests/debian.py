"""A full Debian 12 with cloud-init: ``python -m guests.debian OUTDIR`` makes ``debian-hvm.img`` and ``kernels.json``.

Nothing in it knows of Amiable: no kernel parameter, no seed, no data source chosen.  It finds Ec2 by itself, as it would at AWS,
because the machine says so (SMBIOS) and the metadata service answers.  Packages come from the sources that this machine's own
``apt`` is configured with.  Made by mmdebstrap, as root or in a user namespace (then the package ``uidmap`` must be there).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from amiable.bundle.house import bootstrap, system
from amiable.bundle.house.bootstrap import PLAN, build_disk, package_sources
from amiable.bundle.house.system import System, TextFile
from amiable.model.errors import LocalRefusal
from amiable.vm.appliance.programs import BuildFailure, run
from guests.command import main
from guests.outputs import build_once, builder_sources, digest_of_files

LABEL = "debian-root"
DISK_BYTES = 1221 << 20

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "linux-image-cloud-amd64", "initramfs-tools", "zstd",
    "cloud-init", "cloud-guest-utils", "fdisk", "e2fsprogs", "openssh-server", "sudo", "locales",
    "ifupdown", "isc-dhcp-client", "iproute2", "netbase", "ca-certificates", "less",
)  # fmt: skip

MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer",
)  # fmt: skip
"""Work that only delays the first boot of an instance."""

FILES = {
    "etc/cloud/cloud.cfg.d/20_quick.cfg": TextFile(
        "ssh_genkeytypes: [ed25519]\nlocale: C.UTF-8\nmanage_etc_hosts: true\n"
    ),
    "etc/default/locale": TextFile("LANG=C.UTF-8\n"),
    "etc/fstab": TextFile(f"LABEL={LABEL} / ext4 errors=remount-ro,discard 0 1\n"),
    "etc/hostname": TextFile("debian\n"),
    "boot/grub/grub.cfg": TextFile(f"""\
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
linux /vmlinuz root=LABEL={LABEL} ro console=tty0 console=ttyS0,115200 panic=5 quiet
initrd /initrd.img
boot
"""),
}


def build(folder: Path, cache: Path) -> bool:
    """Makes the image in ``folder``; returns whether anything had to be built.  It is not made again for newer packages."""
    del cache  # mmdebstrap keeps nothing between two builds
    return build_once(folder, _inputs(), _build)


def build_cached(cache: Path) -> Path:
    """A folder below ``cache`` that holds the image and never changes: its name follows from the builder."""
    folder = cache / "guests" / f"debian-{_inputs()['builder'][:16]}"
    build_once(folder, _inputs(), _build)
    return folder


def _inputs() -> dict[str, str]:
    shared = [Path(str(module.__file__)) for module in (bootstrap, system)]
    return {"builder": digest_of_files([*shared, *builder_sources("debian")])}


def _build(folder: Path) -> None:
    image = folder / "debian-hvm.img"
    whole = System(name="amiable-debian", label=LABEL, packages=PACKAGES, files=FILES, masked_units=MASKED)
    try:
        build_disk(whole, package_sources(), image, size_bytes=DISK_BYTES)
    except LocalRefusal as refusal:
        raise BuildFailure(refusal.message, hint=refusal.advice) from refusal
    (folder / "kernels.json").write_text(json.dumps({"vmlinuz": _kernel_version(image)}) + "\n")


def _kernel_version(image: Path) -> str:
    """What ``uname -r`` will tell: the link /vmlinuz points to the newest kernel."""
    said = run(["debugfs", "-R", "stat /vmlinuz", f"{image}?offset={PLAN.root_offset_bytes}"]).stdout
    found = re.search(r'link dest: "boot/vmlinuz-([^"]+)"', said)
    if found is None:
        raise BuildFailure("the new root file system has no /vmlinuz")
    return found[1]


if __name__ == "__main__":
    raise SystemExit(main("guests.debian", build))
