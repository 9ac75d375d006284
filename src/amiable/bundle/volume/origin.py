"""What the volume's own file system is, so that its image can be called the same."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from amiable.bundle.volume.disk import Scheme
from amiable.bundle.volume.fstab import root_source
from amiable.bundle.volume.mounts import Mount
from amiable.bundle.volume.programs import run
from amiable.model.errors import LocalRefusal

LABEL_BYTES_MAX: Final = 16
"""What an ext file system holds."""
SCHEMES: Final[dict[str, Scheme]] = {"gpt": "gpt", "dos": "mbr"}
SYS_BLOCK: Final = Path("/sys/dev/block")


@dataclass(frozen=True, slots=True)
class Origin:
    """The file system that a volume lies on, as far as it can be told."""

    type: str | None = None
    label: str = ""
    uuid: UUID | None = None
    scheme: Scheme = "none"


def of_mount(mount: Mount) -> Origin:
    """The origin of what is mounted; a device that this user may not read tells its type only."""
    told: dict[str, str] = {}
    try:
        text = run(["blkid", "-p", "-o", "export", mount.source])
        told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    except LocalRefusal:
        told = _from_links(mount)
    return Origin(mount.type, _label(told.get("LABEL", "")), _uuid(told.get("UUID", "")), _scheme(mount))


def of_directory(fstab_text: str) -> Origin:
    """The origin of a folder: what its own fstab calls its root."""
    key, _, value = root_source(fstab_text).partition("=")
    value = value.strip('"')
    return Origin(None, _label(value) if key == "LABEL" else "", _uuid(value) if key == "UUID" else None)


def _from_links(mount: Mount) -> dict[str, str]:
    """What udev's links tell, which every user may read."""
    told = {}
    for key, folder in (("UUID", Path("/dev/disk/by-uuid")), ("LABEL", Path("/dev/disk/by-label"))):
        for link in folder.iterdir() if folder.is_dir() else ():
            try:
                number = link.stat().st_rdev
            except OSError:
                continue
            if f"{os.major(number)}:{os.minor(number)}" == mount.device:
                told[key] = link.name
    return told


def _scheme(mount: Mount) -> Scheme:
    """How the disk below ``mount`` is partitioned."""
    if not (SYS_BLOCK / mount.device / "partition").exists():
        return "none"
    try:
        return SCHEMES.get(run(["lsblk", "-ndo", "PTTYPE", mount.source]).strip(), "none")
    except LocalRefusal:
        return "none"


def _label(text: str) -> str:
    return text if len(os.fsencode(text)) <= LABEL_BYTES_MAX and text.isprintable() else ""


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
