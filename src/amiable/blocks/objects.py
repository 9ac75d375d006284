"""The bytes of S3 objects: one immutable file each, ``objects/<ulid>``, below the rows that name them.

    write:   <ulid>.new ─▶ fdatasync ─▶ rename ─▶ fsync of the directory ─▶ (the caller's row)
    delete:  (the caller's commit) ─▶ unlink

Bytes before facts, in both directions: a crash leaves a file that no row names, never a row without its file.  :meth:`collect`
removes such orphans when they are older than ``ORPHAN_AGE``, by which time no upload that made them can still be under way.
Objects are not in the block store: they are read whole and in ranges, seldom twice, and deleted by their owners.
"""

import errno
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import BinaryIO, Final, Self

from sqlalchemy import select

from amiable.blocks.files import sync_folder
from amiable.database.connect import Database, milliseconds
from amiable.database.schema import multipart_part, object_
from amiable.model.ids import ulid

ORPHAN_AGE: Final = timedelta(hours=24)
COPY_BYTES: Final = 1024 * 1024

_NO_COPY_RANGE: Final = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL)

_NAME = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}(\.new)?")


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """A durable file that no row names yet."""

    id: str
    size_bytes: int
    md5: bytes


class ObjectFiles:
    """The folder of object files.  Safe to use from many threads: files are never changed once they have their name."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder

    @classmethod
    def open(cls, database: Database, folder: Path) -> Self:
        """The files in ``folder``, once the orphans of earlier crashes are collected."""
        files = cls(folder)
        files.collect(database, now=datetime.now(UTC))
        return files

    def write(self, chunks: Iterable[bytes | memoryview], *, now: datetime) -> ObjectFile:
        """Writes the chunks to a new file, durable on return.  Whatever iterating raises leaves nothing behind."""
        identifier = ulid(milliseconds(now), os.urandom(10))
        temp = self.folder / (identifier + ".new")
        size_bytes = 0
        digest = md5(usedforsecurity=False)
        try:
            with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                    size_bytes += len(chunk)
                file.flush()
                os.fdatasync(file.fileno())
            temp.rename(self.folder / identifier)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)
        return ObjectFile(identifier, size_bytes, digest.digest())

    def join(self, identifiers: Sequence[str], *, now: datetime) -> str:
        """A new file with the bytes of these files one after the other, durable on return; the kernel copies or shares them."""
        joined = ulid(milliseconds(now), os.urandom(10))
        temp = self.folder / (joined + ".new")
        try:
            with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
                for identifier in identifiers:
                    with self.read(identifier) as part:
                        _append(file.fileno(), part.fileno(), os.fstat(part.fileno()).st_size)
                os.fdatasync(file.fileno())
            temp.rename(self.folder / joined)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)
        return joined

    def link(self, identifier: str, *, now: datetime) -> str:
        """A second file of the same bytes, durable on return, in no time: files never change, so they may share them."""
        copy = ulid(milliseconds(now), os.urandom(10))
        os.link(self._path(identifier), self._path(copy))
        sync_folder(self.folder)
        return copy

    def read(self, identifier: str) -> BinaryIO:
        """The file's bytes, at 0; raises FileNotFoundError when it was deleted meanwhile."""
        return open(self._path(identifier), "rb")

    def delete(self, identifiers: Iterable[str]) -> None:
        """Removes files that no committed row names any more; call it after that commit."""
        for identifier in identifiers:
            self._path(identifier).unlink(missing_ok=True)

    def orphans(self, database: Database, *, now: datetime) -> list[Path]:
        """Files older than ``ORPHAN_AGE`` that no row names, half-written ones included."""
        oldest = (now - ORPHAN_AGE).timestamp()
        old = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.stat().st_ctime < oldest]
        with database.read() as c:
            named = set(c.execute(select(object_.c.file)).scalars()) | set(
                c.execute(select(multipart_part.c.file)).scalars()
            )
        return [path for path in old if path.name not in named]

    def collect(self, database: Database, *, now: datetime) -> int:
        """Removes every orphan; returns how many bytes that gave back."""
        freed_bytes = 0
        for path in self.orphans(database, now=now):
            freed_bytes += path.stat().st_size
            path.unlink()
        return freed_bytes

    def _path(self, identifier: str) -> Path:
        assert _NAME.fullmatch(identifier), identifier
        return self.folder / identifier


def _append(target: int, source: int, size_bytes: int) -> None:
    """Appends ``source``, ``size_bytes`` long, to ``target``; both descriptors."""
    while size_bytes:
        try:
            copied = os.copy_file_range(source, target, size_bytes)
        except OSError as error:
            if error.errno not in _NO_COPY_RANGE:
                raise
            copied = os.sendfile(target, source, None, size_bytes)
        if not copied:
            raise OSError(errno.EIO, "a part of an upload is shorter than it was")
        size_bytes -= copied


def read_chunks(file: BinaryIO, size_bytes: int) -> Iterable[bytes]:
    """``size_bytes`` from where ``file`` stands, in chunks of at most ``COPY_BYTES``; fewer only if the file ends."""
    while size_bytes:
        chunk = file.read(min(size_bytes, COPY_BYTES))
        if not chunk:
            return
        size_bytes -= len(chunk)
        yield chunk
