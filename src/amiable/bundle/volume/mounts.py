"""Which file systems below a volume belong to it, from /proc/self/mountinfo.

    below the volume       taken                                      why not
    pseudo, tmpfs          never                                      the kernel or the next boot makes them
    loop image (snap, ISO) never                                      the image file itself is taken
    bind mount             never                                      its files are taken where they lie
    other local            yes: its files become the volume's own
    network, FUSE          with --all

What is not taken leaves its mount point behind, empty.  Source: proc_pid_mountinfo(5).
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

MOUNTINFO: Final = Path("/proc/self/mountinfo")

PSEUDO: Final = frozenset(
    (
        "autofs",
        "bdev",
        "binder",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "cpuset",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "fuse.lxcfs",
        "hugetlbfs",
        "mqueue",
        "none",
        "nsfs",
        "pipefs",
        "proc",
        "pstore",
        "ramfs",
        "resctrl",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "smackfs",
        "sockfs",
        "swap",
        "sysfs",
        "tmpfs",
        "tracefs",
        "usbfs",
    )
)
LOOP_IMAGES: Final = frozenset(("squashfs", "iso9660", "udf", "erofs", "cramfs"))
LOCAL: Final = frozenset(
    (
        "bcachefs",
        "btrfs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "hfs",
        "hfsplus",
        "jfs",
        "minix",
        "msdos",
        "nilfs2",
        "ntfs",
        "ntfs3",
        "overlay",
        "reiserfs",
        "ufs",
        "vfat",
        "xfs",
        "zfs",
    )
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: the file system ``device``, its folder ``root``, seen at ``point``."""

    device: str
    root: str
    point: str
    type: str
    source: str


@dataclass(frozen=True, slots=True)
class Below:
    """Mount points below a volume, relative to it: why each is left out, and those that are taken."""

    left_out: dict[str, str]
    taken: dict[str, Mount]


def read(text: str) -> tuple[Mount, ...]:
    """The mounts that ``text`` lists, in its order."""
    found = []
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        _, _, device, root, point, *_ = fields.split()
        type_, source, *_ = [*rest.split(), "none"]
        found.append(Mount(device, unescaped(root), unescaped(point), type_, unescaped(source)))
    return tuple(found)


def of_this_host() -> tuple[Mount, ...]:
    """What is mounted where this process sees it."""
    return read(MOUNTINFO.read_text(errors="surrogateescape"))


def at(mounts: Sequence[Mount], volume: str) -> Mount | None:
    """The file system that is mounted on ``volume`` itself, the uppermost where several are."""
    return next((mount for mount in reversed(mounts) if mount.point == volume), None)


def below(mounts: Sequence[Mount], volume: str, *, remote: bool) -> Below:
    """What to do with each mount point below ``volume``; ``remote`` takes network file systems too."""
    seen = [mount for mount in mounts if _holds(mount.point, volume)][-1:]
    left_out: dict[str, str] = {}
    taken: dict[str, Mount] = {}
    tops = {mount.point: mount for mount in mounts if mount.point != volume and _holds(volume, mount.point)}
    for mount in sorted(tops.values(), key=lambda mount: PurePosixPath(mount.point).parts):
        path = os.path.relpath(mount.point, volume)
        why = _refusal(mount, seen, remote)
        if why is None:
            taken[path] = mount
            seen.append(mount)
        elif not any(_holds(other, path) for other in left_out):
            left_out[path] = why
    return Below(left_out, taken)


def _refusal(mount: Mount, seen: Sequence[Mount], remote: bool) -> str | None:
    """Why ``mount`` is not taken; ``seen`` are the mounts that are."""
    if mount.type in PSEUDO:
        return f"file system of type {mount.type}"
    if mount.type in LOOP_IMAGES:
        return f"mounted image ({mount.type})"
    if any(mount.device == other.device and _holds(other.root, mount.root) for other in seen):
        return "bind mount"
    if mount.type not in LOCAL and not remote:
        return f"not local ({mount.type}); --all takes it"
    return None


def _holds(folder: str, path: str) -> bool:
    """Whether ``path`` is ``folder`` or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def unescaped(field: str) -> str:
    """A field of mountinfo, or of fstab, without its octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
