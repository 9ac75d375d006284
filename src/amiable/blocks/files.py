"""The few file operations that durability rests on, in one place so that tests can record them and drop what was not synced."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class Files:
    """The operating system's files; a descriptor is an ``int`` of the process."""

    def create(self, path: Path) -> int:
        """A new empty file open for reading and writing, mode 0600; raises FileExistsError."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        """An existing file open for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, descriptor: int, body: bytes, offset: int) -> None:
        """Writes all of ``body`` at ``offset``; not durable."""
        view = memoryview(body)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written

    def free_bytes(self, folder: Path) -> int:
        """What the disk that holds ``folder`` has left for this process's user."""
        seen = os.statvfs(folder)
        return seen.f_bavail * seen.f_frsize

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cuts the file to ``size_bytes``."""
        os.ftruncate(descriptor, size_bytes)

    def sync(self, descriptor: int) -> None:
        """Makes the file's bytes and length durable (``fdatasync``)."""
        os.fdatasync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Renames over ``target``; durable after :meth:`sync_folder`."""
        source.rename(target)

    def sync_folder(self, folder: Path) -> None:
        """Makes the names in ``folder`` durable."""
        sync_folder(folder)

    def close(self, descriptor: int) -> None:
        """Closes the descriptor."""
        os.close(descriptor)

    def write_whole(self, path: Path, body: bytes) -> None:
        """Puts ``body`` at ``path``, durable, whole or not at all: temporary file, sync, rename, sync of the folder."""
        temporary = path.with_name(path.name + ".new")
        temporary.unlink(missing_ok=True)
        descriptor = self.create(temporary)
        try:
            self.write(descriptor, body, 0)
            self.sync(descriptor)
        finally:
            self.close(descriptor)
        self.rename(temporary, path)
        self.sync_folder(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file, mode 0600, that takes the name ``path`` when the block ends well, durable, whole or not at all.

    Temporary name, fsync, rename, fsync of the folder.  Whatever the block raises leaves nothing behind.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
