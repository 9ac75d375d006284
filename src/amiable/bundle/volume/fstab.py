"""The image's /etc/fstab: generated, or the volume's own with what no longer holds put right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from amiable.bundle.volume.mounts import unescaped

EXT_OPTIONS: Final = frozenset(
    (
        "acl",
        "async",
        "atime",
        "auto",
        "barrier",
        "barrier=0",
        "barrier=1",
        "block_validity",
        "data=journal",
        "data=ordered",
        "data=writeback",
        "defaults",
        "delalloc",
        "dev",
        "diratime",
        "discard",
        "dirsync",
        "errors=continue",
        "errors=panic",
        "errors=remount-ro",
        "exec",
        "group",
        "init_itable",
        "journal_checksum",
        "lazytime",
        "noacl",
        "noatime",
        "noauto",
        "nobarrier",
        "nodelalloc",
        "nodev",
        "nodiratime",
        "nodiscard",
        "noexec",
        "nofail",
        "nosuid",
        "nouser_xattr",
        "relatime",
        "ro",
        "rw",
        "strictatime",
        "suid",
        "sync",
        "user_xattr",
        "x-systemd.growfs",
    )
)
"""What ext file systems understand of another type's options."""


@dataclass(frozen=True, slots=True)
class Root:
    """What root is mounted as: ``LABEL=…``, ``UUID=…`` or a device's path; and its type."""

    source: str
    type: str


def generate(root: Root) -> str:
    """An fstab that mounts root; everything else is the system's own to mount."""
    return f"# Written by amiable bundle volume.\n{root.source}\t/\t{root.type}\tdefaults\t0 1\n"


def root_source(text: str) -> str:
    """What ``text`` mounts as root; empty where it has no such line."""
    lines = (line.split("#", 1)[0].split() for line in text.splitlines())
    return next((fields[0] for fields in lines if len(fields) >= 2 and fields[1] == "/"), "")


def adapt(text: str, root: Root, left_behind: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """``text`` as it holds for the image, and what was changed in it.

    Root is mounted by its new name and type.  A line whose mount point is in ``left_behind`` (with the reason) becomes a comment, and so
    does one that names another file system by its label or UUID: waiting for a disk that is not there would stop the boot.
    """
    lines, remarks, found = [], [], False
    for line in text.splitlines():
        fields = line.split("#", 1)[0].split()
        point = unescaped(fields[1]).rstrip("/") if len(fields) >= 2 else None
        if point == "":
            found = True
            kept = _root_line(fields, root)
            if kept.split() != fields:
                remarks.append(f"root is mounted as {root.source}, {root.type}")
                line = kept
        elif point is not None and (why := left_behind.get(point.lstrip("/")) or _elsewhere(fields)):
            remarks.append(f"{fields[0]} on {point} is not mounted: {why}")
            line = f"# {line}"
        lines.append(line)
    if not found:
        remarks.append(f"a line for root was added: {root.source}, {root.type}")
        lines.append(f"{root.source}\t/\t{root.type}\tdefaults\t0 1")
    return "".join(f"{line}\n" for line in lines), tuple(remarks)


def _elsewhere(fields: list[str]) -> str | None:
    """Why the disk of a line is not there, when the boot would wait for it."""
    options = fields[3].split(",") if len(fields) > 3 else []
    named = fields[0].startswith(("UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/disk/by-", "/dev/mapper/"))
    return "that disk is not in the image" if named and not {"nofail", "noauto"} & set(options) else None


def _root_line(fields: list[str], root: Root) -> str:
    _, _, type_, options, dump, number = [*fields, *("auto", "defaults", "0", "1")[len(fields) - 2 :]][:6]
    if type_ != root.type:
        options = ",".join(option for option in options.split(",") if option in EXT_OPTIONS) or "defaults"
    return f"{root.source}\t/\t{root.type}\t{options}\t{dump} {number}"
