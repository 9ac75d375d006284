"""Files that appear whole or not at all: temporary name, fsync, rename, fsync of the folder; folders that stay for what lies in them."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from amiable.model.errors import LocalRefusal

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
EXIT_IO: Final = 74


@contextmanager
def told_when_full(path: Path) -> Iterator[None]:
    """Says of ``path`` that there is no room for it, where the block finds that out."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise LocalRefusal(
            f"{path} cannot be written: {error.strerror}",
            hint="make room there, or name another place with -d",
            exit_code=EXIT_IO,
        ) from error


def no_place(path: Path, error: OSError) -> LocalRefusal:
    """The refusal of a file that cannot even be begun: its folder is not there, or may not be written in."""
    return LocalRefusal(
        f"nothing can be written in {path.parent}: {error.strerror}",
        hint="name a folder that is there and may be written in",
        exit_code=EXIT_IO,
    )


@contextmanager
def new_file(destination: Path) -> Iterator[BinaryIO]:
    """A new file, unbuffered, that takes the name ``destination`` when the block ends well, durable; else it vanishes."""
    temporary = destination.with_name(f".{destination.name[:64]}.{secrets.token_hex(8)}.partial")
    try:
        file = temporary.open("xb", buffering=0)
    except OSError as error:
        raise no_place(destination, error) from error
    try:
        with told_when_full(destination), file:
            yield file
            os.fsync(file.fileno())
        temporary.replace(destination)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(destination.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Makes ``folder`` and those above it where they are not there; when the block fails, those of them in which nothing lies go again."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:  # Ctrl-C too
        with contextlib.suppress(OSError):
            for each in missing:
                each.rmdir()
        raise


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all of ``data`` at ``offset``."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
