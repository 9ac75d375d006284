"""The house images: Debian 12 with systemd, and the same with System V init; values only.

Both have Debian's cloud kernel (virtio, NVMe, ENA, Xen, IDE), one network interface by DHCP, an SSH daemon for the user ``admin``
and the agent in ``files/``: no cloud-init, which takes most of the time of a first boot and needs Python.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from amiable.bundle.house.system import System, TextFile
from amiable.model.units import GIB

Kind = Literal["small", "small-sysv"]

DISK_BYTES: Final = GIB
ROOT_DEVICE: Final = "/dev/xvda"
USER: Final = "admin"
LABEL: Final = "house-root"
FILES: Final = Path(__file__).parent / "files"

PACKAGES: Final = (
    "udev", "kmod", "linux-image-cloud-amd64", "initramfs-tools", "zstd", "fdisk", "e2fsprogs", "openssh-server", "sudo", "curl",
    "ca-certificates", "ifupdown", "udhcpc", "iproute2", "netbase", "procps", "less", "qemu-guest-agent",
)  # fmt: skip
SYSTEMD_PACKAGES: Final = ("systemd", "systemd-sysv", "dbus")
SYSV_PACKAGES: Final = ("sysvinit-core", "sysv-rc", "initscripts", "insserv", "orphan-sysvinit-scripts", "acpid")

MASKED: Final = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "ifupdown-pre.service", "systemd-random-seed.service",
)  # fmt: skip
"""Work that delays a boot.  The initial RAM disk waits for the drivers already, of the network interface too."""

MODULES: Final = (
    "virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "nvme", "ena", "xen-blkfront", "xen-netfront", "ata_piix", "ata_generic",
    "sd_mod", "ixgbevf",
)  # fmt: skip
"""Drivers of disks and network interfaces that a machine may give root; beside what MODULES=most takes."""

GRUB_MENU: Final = f"""\
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
linux /vmlinuz root=LABEL={LABEL} ro console=tty0 console=hvc0 console=ttyS0,115200 panic=5 quiet
initrd /initrd.img
boot
"""

SHARED: Final = {
    "boot/grub/grub.cfg": TextFile(GRUB_MENU),
    "etc/apt/apt.conf.d/90amiable": TextFile('Acquire::Languages "none";\nAPT::Install-Recommends "false";\n'),
    "etc/default/locale": TextFile("LANG=C.UTF-8\n"),
    "etc/fstab": TextFile(f"LABEL={LABEL} / ext4 errors=remount-ro,discard 0 1\n"),
    "etc/hostname": TextFile("debian\n"),
    "etc/hosts": TextFile("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    "etc/network/interfaces": TextFile("auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n"),
    "etc/ssh/sshd_config.d/10-amiable.conf": TextFile("PasswordAuthentication no\nPermitRootLogin no\nUseDNS no\n"),
    "etc/sudoers.d/90-amiable": TextFile(f"{USER} ALL=(ALL) NOPASSWD:ALL\n", 0o440),
}

MODULES_FOLDER: Final = "usr/share/initramfs-tools/modules.d"
LINKS_FOLDER: Final = "etc/systemd/network"
EARLY_COMMANDS: Final = (
    f'mkdir -p "$1/{MODULES_FOLDER}" && printf "%s\\n" {" ".join(MODULES)} >"$1/{MODULES_FOLDER}/amiable"',
    f'mkdir -p "$1/{LINKS_FOLDER}" && printf "[Match]\\nOriginalName=*\\n" >"$1/{LINKS_FOLDER}/10-kernel-names.link"',
)
"""There before the kernel is installed, which makes the initial RAM disk, where interfaces would be renamed already.

They keep the kernel's names by a file, not by a word of GRUB's menu: a paravirtual instance's kernel never reads that.
"""
BOTH_COMMANDS: Final = (
    f'chroot "$1" useradd --create-home --shell /bin/bash --groups adm,sudo {USER}',
    'find "$1/var/log" "$1/var/cache" -type f -delete; rm -f "$1"/boot/*.old-dkms "$1"/var/lib/apt/extended_states',
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One house image."""

    kind: Kind
    title: str
    system: System


def own_file(name: str, mode: int = 0o644) -> TextFile:
    """One of the files beside this module."""
    return TextFile((FILES / name).read_text(), mode)


def recipe(kind: Kind) -> Recipe:
    """What ``kind`` is made of."""
    agent = {
        f"usr/lib/amiable/{name}": own_file(name, 0o755) for name in ("functions", "grow", "instance", "first-run")
    }
    return _systemd(agent) if kind == "small" else _sysv(agent)


def _systemd(agent: dict[str, TextFile]) -> Recipe:
    units = ("amiable-instance.service", "amiable-first-run.service")
    files = {**SHARED, **agent, **{f"etc/systemd/system/{unit}": own_file(unit) for unit in units}}
    system = System(
        name="amiable-small",
        label=LABEL,
        packages=(*SYSTEMD_PACKAGES, *PACKAGES),
        files=files,
        commands=(f'chroot "$1" systemctl enable {" ".join(units)}', *BOTH_COMMANDS),
        early_commands=EARLY_COMMANDS,
        masked_units=MASKED,
    )
    return Recipe("small", "Debian 12 with systemd", system)


def _sysv(agent: dict[str, TextFile]) -> Recipe:
    scripts = ("amiable-instance", "amiable-first-run")
    files = {
        **SHARED,
        **agent,
        **{f"etc/init.d/{script}": own_file(script, 0o755) for script in scripts},
        "usr/lib/amiable/getty": own_file("getty", 0o755),
        "etc/inittab": own_file("inittab"),
        "etc/acpi/events/amiable-power": TextFile("event=button/power.*\naction=/sbin/poweroff\n"),
    }
    system = System(
        name="amiable-small-sysv",
        label=LABEL,
        packages=(*SYSV_PACKAGES, *PACKAGES),
        files=files,
        commands=(*(f'chroot "$1" update-rc.d {script} defaults' for script in scripts), *BOTH_COMMANDS),
        early_commands=EARLY_COMMANDS,
    )
    return Recipe("small-sysv", "Debian 12 with System V init", system)
