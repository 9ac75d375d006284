"""Whole console logs of machines that have ended, outside of their instance's directory: no guest reaches them, and an instance's
end does not take them away.

    consoles/<instance>/<boot>.log      0600 the server's; the log of the instance's boot-th machine, up to its end

The last few machines' logs are kept, each as long as a log may be (``vm/console``).
"""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from amiable.vm import console
from amiable.vm.directory import Directory

LOGS_MAX: Final = 3
FOLDER: Final = "consoles"


def keep(data: Path, instance_id: str, boot: int, directory: Directory) -> None:
    """Keeps the directory's console log as that of the boot-th machine; nothing where there is none."""
    text = console.tail(directory, console.LOG_BYTES_MAX)
    if not text:
        return
    folder = data / FOLDER / instance_id
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temp = folder / ".new"
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    temp.rename(folder / f"{boot}.log")
    for old in kept(data, instance_id)[:-LOGS_MAX]:
        (folder / f"{old}.log").unlink(missing_ok=True)


def kept(data: Path, instance_id: str) -> list[int]:
    """The numbers of the machines whose logs are kept, the oldest first."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(int(path.stem) for path in (data / FOLDER / instance_id).iterdir() if path.stem.isdigit())
    return []


def read(data: Path, instance_id: str, boot: int, start: int, bytes_max: int) -> bytes:
    """A kept log from byte ``start`` on; empty where there is none."""
    with contextlib.suppress(FileNotFoundError), (data / FOLDER / instance_id / f"{boot}.log").open("rb") as file:
        file.seek(start)
        return file.read(bytes_max)
    return b""


def known_instances(data: Path) -> list[str]:
    """The instances of which logs are kept."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in (data / FOLDER).iterdir())
    return []


def forget(data: Path, instance_id: str) -> None:
    """Removes the instance's logs."""
    shutil.rmtree(data / FOLDER / instance_id, ignore_errors=True)
