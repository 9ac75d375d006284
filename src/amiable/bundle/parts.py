"""The pieces of the cipher text: how they are named, cut, found and checked.

Writers cut at exactly 10 MiB, which is a multiple of the cipher's block; readers depend on no size and take parts by their index,
never by their names' order.  A part is trusted only after its SHA-1 fits: it is held in memory (or, above ``SPOOL_BYTES``, in a
temporary file without a name) until then.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final

from amiable.bundle.new_file import told_when_full
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import Manifest, Part
from amiable.model.units import PART_BYTES

PartOpener = Callable[[str], BinaryIO]
"""From a part's file name to its bytes from the beginning.  Raises BundleRefusal at stage parts, or FileNotFoundError."""

SPOOL_BYTES: Final = 2 * PART_BYTES
SINGLE_PART_BYTES_MAX: Final = 5 << 30
"""What one PUT of S3 takes."""

READ_BYTES: Final = 1 << 20
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def part_count_max(stream_bytes: int) -> int:
    """No bundle of a tar stream of ``stream_bytes`` has more parts: deflate adds less than 1/1000, and a few bytes a chunk."""
    return (stream_bytes + stream_bytes // 500 + 65_536) // PART_BYTES + 1


def part_digits(count_max: int) -> int:
    """Digits of a part's number: known before the count is; at least two, as every reader knows them."""
    return max(2, len(str(count_max - 1)))


def folder_opener(folder: Path) -> PartOpener:
    """Opens parts that lie in ``folder``; no symbolic link, no device."""

    def open_part(filename: str) -> BinaryIO:
        try:
            descriptor = os.open(folder / filename, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BundleRefusal("parts", f"Part {filename} cannot be read: {error.strerror}") from error
        return os.fdopen(descriptor, "rb", buffering=0)

    return open_part


def read_parts(manifest: Manifest, opener: PartOpener) -> Iterator[bytes]:
    """The cipher text in order, in pieces of at most 1 MiB, each from a part whose SHA-1 has been checked.

    Never reads more than ``bundled_size`` says, whatever a part holds.
    """
    left = manifest.bundled_size_bytes
    for part in manifest.parts:
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            left -= _check_part(part, opener, left, spool)
            spool.seek(0)
            while piece := spool.read(READ_BYTES):
                yield piece
    if left:
        raise BundleRefusal("parts", f"The parts hold {left} bytes less than the manifest's bundled_size.")


@contextmanager
def open_checked(part: Part, opener: PartOpener) -> Iterator[IO[bytes]]:
    """The bytes of ``part`` from the beginning, its SHA-1 checked before."""
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        _check_part(part, opener, SINGLE_PART_BYTES_MAX, spool)
        spool.seek(0)
        yield spool


def _check_part(part: Part, opener: PartOpener, bytes_max: int, spool: IO[bytes]) -> int:
    digest = hashlib.sha1(usedforsecurity=False)
    size = 0
    try:
        stream = opener(part.filename)
    except FileNotFoundError as error:
        raise BundleRefusal(
            "parts",
            f"Part {part.filename} is missing.",
            hint="All parts lie beside the manifest, under the names it tells.",
        ) from error
    with stream:
        while piece := stream.read(READ_BYTES):
            size += len(piece)
            if size > bytes_max:
                raise BundleRefusal(
                    "parts", f"Part {part.filename} is longer than the manifest's bundled_size leaves room for."
                )
            digest.update(piece)
            spool.write(piece)
    if digest.hexdigest() != part.sha1:
        raise BundleRefusal(
            "parts",
            f"Part {part.filename} ({size} bytes) is damaged: its SHA-1 is not the manifest's.",
            hint="Fetch it again.",
        )
    return size


class PartWriter:
    """Cuts what is written into files ``NAME.part.N`` of 10 MiB in ``folder``; never makes an empty one.

    A file is durable before it counts.  ``discard`` removes what was written.
    """

    def __init__(self, folder: Path, name: str, digits: int) -> None:
        self.folder = folder
        self.name = name
        self.digits = digits
        self.parts: list[Part] = []
        self.size_bytes = 0
        self._made: list[Path] = []
        self._file: BinaryIO | None = None
        self._left = 0
        self._digest = hashlib.sha1(usedforsecurity=False)

    def write(self, data: bytes) -> None:
        """Appends ``data``, ending parts as they fill."""
        with told_when_full(self.folder / f"{self.name}.part.*"):
            self._write(memoryview(data))

    def _write(self, view: memoryview) -> None:
        while view:
            if self._file is None:
                self._begin()
            assert self._file is not None
            piece = view[: self._left]
            self._file.write(piece)
            self._digest.update(piece)
            self._left -= len(piece)
            self.size_bytes += len(piece)
            view = view[len(piece) :]
            if not self._left:
                self._end()

    def finish(self) -> tuple[Part, ...]:
        """Ends the last part; all of them, in order."""
        with told_when_full(self.folder / f"{self.name}.part.*"):
            if self._file is not None:
                self._end()
        return tuple(self.parts)

    def discard(self) -> None:
        """Removes every part that was written."""
        if self._file is not None:
            # What is still buffered finds no room on a full disk, and is not wanted.
            with suppress(OSError):
                self._file.close()
            self._file = None
        for path in self._made:
            path.unlink(missing_ok=True)

    def _begin(self) -> None:
        path = self.folder / f"{self.name}.part.{len(self.parts):0{self.digits}d}"
        try:
            self._file = path.open("xb")
        except FileExistsError as error:
            raise LocalRefusal(
                f"{path} exists already", hint="remove the old bundle, or pass --force to replace it"
            ) from error
        self._made.append(path)
        self._left = PART_BYTES
        self._digest = hashlib.sha1(usedforsecurity=False)

    def _end(self) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        self.parts.append(Part(len(self.parts), self._made[-1].name, self._digest.hexdigest()))
