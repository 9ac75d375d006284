"""Root directories to bundle, unpacked from the guests' disks, and the command that reads them with all their owners."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guests.disk import ROOT_OFFSET_BYTES

UNPACK_SECONDS_MAX = 300


def as_root() -> list[str]:
    """What to put before a command so that it may own any file: nothing for root, a user namespace for others."""
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto"]


@contextmanager
def root_directory(disk: Path, folder: Path) -> Iterator[Path]:
    """The root file system of a guest's ``disk`` as a directory in ``folder``, gone afterwards."""
    root = folder / "root"
    root.mkdir(mode=0o755)
    command = ["debugfs", "-R", f"rdump / {root}", f"{disk}?offset={ROOT_OFFSET_BYTES}"]
    subprocess.run([*as_root(), *command], check=True, capture_output=True, timeout=UNPACK_SECONDS_MAX)
    try:
        yield root
    finally:
        subprocess.run([*as_root(), "rm", "-rf", str(root)], check=True, timeout=UNPACK_SECONDS_MAX)
