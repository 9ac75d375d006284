"""The data directory at a start: made where it is not there, locked, and left as it was found by a start that is refused.

    make the folder ─▶ take the lock ─▶ see what lies there ─▶ make what is missing ─▶ … ─▶ facts: from here on all of it stays
         undo: take it away │ the lock's file │ what did not lie there, while the lock is held

Who does not get the lock takes nothing away but an empty folder of its own: the rest is another server's.
"""

import contextlib
import fcntl
import os
import shlex
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, NoReturn

from amiable.model.errors import LocalRefusal
from amiable.model.units import human_bytes

FREE_BYTES_MIN: Final = 64 << 20
LOCK: Final = "server.lock"
LOCK_TRIES_MAX: Final = 10
FOLDERS: Final = ("packs", "objects", "kernels", "exports", "exporter", "instances", "accounts")
MADE_BEFORE_FACTS: Final = frozenset(
    (
        *FOLDERS,
        "installation",
        "accelerator.json",
        "accelerator.json.new",
        "amiable.db",
        "amiable.db-journal",
        "amiable.db-wal",
        "amiable.db-shm",
    )
)
"""What a start makes until its first fact; nothing of another name is ever taken away: the folder may be somebody's for more than this."""


def take_data(data: Path, undo: ExitStack) -> tuple[Path, IO[str]]:
    """The data directory (0700), proved to be writable, and the lock of its only server, held while the file is open.

    ``undo`` leaves everything as it was found, and closes the lock.  Names the cause where the directory cannot be used.
    """
    try:
        _make_folder(data, undo)
        data = data.resolve()
        lock = _take_lock(data, undo)
        undo.callback(_remove_others, data, frozenset(data.iterdir()))
        undo.callback(data.chmod, data.stat().st_mode & 0o7777)
        data.chmod(0o700)
        for name in FOLDERS:
            (data / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise LocalRefusal(
            f"the data directory {data} cannot be used: {error.strerror}",
            hint="choose another with --data DIR",
            exit_code=74,
        ) from None
    free = shutil.disk_usage(data).free
    if free < FREE_BYTES_MIN:
        raise LocalRefusal(
            f"the disk of {data} is full: {human_bytes(free)} free, {human_bytes(FREE_BYTES_MIN)} needed to start",
            hint="free some space, or choose another place with --data DIR",
            exit_code=74,
        )
    return data, lock


def _make_folder(folder: Path, undo: ExitStack) -> None:
    """Makes ``folder`` and those above it that are not there; ``undo`` takes them away where nothing lies in them."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):  # made just now, by another start
            each.mkdir(mode=0o700 if each == folder else 0o777)
            undo.callback(_remove_empty, each.absolute())
    if not folder.is_dir():
        raise NotADirectoryError(20, "Not a directory")


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _remove_others(folder: Path, found: frozenset[Path]) -> None:
    """Takes away what a start makes in ``folder``, as far as it did not lie there when this server came to hold its lock."""
    for path in {folder / name for name in MADE_BEFORE_FACTS} - found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _take_lock(data: Path, undo: ExitStack) -> IO[str]:
    """The lock, with this process's number in it; ``undo`` takes the file away where this start made it."""
    path = data / LOCK
    for _ in range(LOCK_TRIES_MAX):
        is_new = not path.exists()
        lock = undo.enter_context(path.open("a+"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _refuse_second(data, lock)
        if not _is_at(lock, path):  # who held it was refused, and took the file away
            lock.close()
            continue
        if is_new:
            undo.callback(path.unlink, missing_ok=True)
        # Past the file's buffer: what a full disk did not take would be tried again, and fail again, when the file is closed.
        os.ftruncate(lock.fileno(), 0)
        os.write(lock.fileno(), f"{os.getpid()}\n".encode())
        return lock
    raise BlockingIOError(11, "its lock is taken again and again")


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether ``path`` is still the name of the open ``file``."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _refuse_second(data: Path, lock: IO[str]) -> NoReturn:
    with lock:
        lock.seek(0)
        pid = lock.read().strip() or "unknown"
    raise LocalRefusal(
        f"a server is already running on {data} (process {pid})",
        hint=f'use it as it is (eval "$(amiable env --data {shlex.quote(str(data))})"), or choose another data directory with --data DIR',
        exit_code=69,
    )
