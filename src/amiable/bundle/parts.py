"""The pieces of the cipher text: how they are named, cut, found and checked.

Writers cut at exactly 10 MiB, which is a multiple of the cipher's block; readers depend on no size and take parts by their index,
never by their names' order.  A part is trusted only after its SHA-1 fits: it is held in memory (or, above ``SPOOL_BYTES``, in a
temporary file without a name) until then.
"""

import hashlib
import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final, Protocol

from cryptography.hazmat.primitives.ciphers import CipherContext

from amiable.bundle.direct_writer import DirectWriter
from amiable.bundle.new_file import told_when_full
from amiable.bundle.regular_file import open_regular
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import Manifest, Part
from amiable.model.units import PART_BYTES

PartOpener = Callable[[str], BinaryIO]
"""From a part's file name to its bytes from the beginning.  Raises BundleRefusal at stage parts, or FileNotFoundError."""

SPOOL_BYTES: Final = 2 * PART_BYTES
SINGLE_PART_BYTES_MAX: Final = 5 << 30
"""What one PUT of S3 takes."""

READ_BYTES: Final = 1 << 20
AES_BLOCK: Final = 16
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
            descriptor = open_regular(folder / filename)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BundleRefusal("parts", f"Part {filename} cannot be read: {error.strerror}") from error
        return os.fdopen(descriptor, "rb", buffering=0)

    return open_part


def check_there(part: Part, folder: Path) -> None:
    """Refuses a part that does not lie in ``folder`` or cannot be opened; its bytes are not looked at."""
    with _open(part, folder_opener(folder)):
        pass


def read_parts(manifest: Manifest, opener: PartOpener) -> Iterator[bytes]:
    """The cipher text in order, in pieces of at most 1 MiB, each from a part whose SHA-1 has been checked.

    Never reads more than ``bundled_size`` says, whatever a part holds.
    """
    left = manifest.bundled_size_bytes
    for part in manifest.parts:
        with _Spool() as spool:
            left -= _check_part(part, opener, left, spool.add)
            yield from spool.pieces()
    if left:
        raise BundleRefusal("parts", f"The parts hold {left} bytes less than the manifest's bundled_size.")


@contextmanager
def open_checked(part: Part, opener: PartOpener) -> Iterator[IO[bytes]]:
    """The bytes of ``part`` from the beginning, its SHA-1 checked before."""
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        _check_part(part, opener, SINGLE_PART_BYTES_MAX, spool.write)
        spool.seek(0)
        yield spool


class _Spool:
    """Pieces that wait until their part is known to be good: in memory, and beyond ``SPOOL_BYTES`` in a file without a name."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._room = SPOOL_BYTES
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "_Spool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, piece: bytes) -> None:
        """``piece`` comes next."""
        if self._file is None and len(piece) <= self._room:
            self._pieces.append(piece)
            self._room -= len(piece)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the spool
        self._file.write(piece)

    def pieces(self) -> Iterator[bytes]:
        """All of them, in order; each is let go once taken."""
        self._pieces.reverse()
        while self._pieces:
            yield self._pieces.pop()
        if self._file is not None:
            self._file.seek(0)
            while piece := self._file.read(READ_BYTES):
                yield piece


def _open(part: Part, opener: PartOpener) -> BinaryIO:
    try:
        return opener(part.filename)
    except FileNotFoundError as error:
        raise BundleRefusal(
            "parts",
            f"Part {part.filename} is missing.",
            hint="All parts lie beside the manifest, under the names it tells.",
        ) from error


def _check_part(part: Part, opener: PartOpener, bytes_max: int, keep: Callable[[bytes], object]) -> int:
    digest = hashlib.sha1(usedforsecurity=False)
    size = 0
    with _open(part, opener) as stream:
        while piece := stream.read(READ_BYTES):
            size += len(piece)
            if size > bytes_max:
                raise BundleRefusal(
                    "parts", f"Part {part.filename} is longer than the manifest's bundled_size leaves room for."
                )
            digest.update(piece)
            keep(piece)
    if digest.hexdigest() != part.sha1:
        raise BundleRefusal(
            "parts",
            f"Part {part.filename} ({size} bytes) is damaged: its SHA-1 is not the manifest's.",
            hint="Fetch it again.",
        )
    return size


class PartSink(Protocol):
    """Takes the parts of one bundle as they are made."""

    def put(self, part: Part, body: memoryview) -> None:
        """Takes ``part``, whole, after the one before it; ``body`` is nobody else's.  May wait, and may raise what went wrong."""

    def finish(self) -> None:
        """Returns once every part has arrived for good, or raises what went wrong."""


class HandedOn:
    """A sink that gives every part to ``consume``, in ``workers`` threads; at most ``waiting_max`` parts wait or are under way.

    What ``consume`` raises is raised by the next ``put`` or ``finish``, which ends the producer.  When the block is left before
    ``finish``, parts that wait are dropped, and those under way are waited for.
    """

    def __init__(self, consume: Callable[[Part, memoryview], object], *, workers: int, waiting_max: int) -> None:
        assert 1 <= workers <= waiting_max
        self._consume = consume
        self._threads = ThreadPoolExecutor(workers, "bundle-part")
        self._waiting_max = waiting_max
        self._under_way: set[Future[object]] = set()

    def __enter__(self) -> "HandedOn":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def put(self, part: Part, body: memoryview) -> None:
        """Hands ``part`` on, waiting while as many as may be are on their way."""
        self._settle(self._waiting_max - 1)
        self._under_way.add(self._threads.submit(self._consume, part, body))

    def finish(self) -> None:
        """Returns once every part was consumed."""
        self._settle(0)

    def _settle(self, count_max: int) -> None:
        """Waits until at most ``count_max`` parts are on their way; raises what became of one that failed."""
        ended, self._under_way = wait(self._under_way, 0)
        while len(self._under_way) > count_max:
            more, self._under_way = wait(self._under_way, return_when=FIRST_COMPLETED)
            ended |= more
        for future in ended:
            future.result()


class PartFiles:
    """Parts as files in ``folder``, each durable once written.  ``discard`` removes what was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: list[Path] = []

    def write(self, part: Part, body: memoryview) -> None:
        """Writes the new file of ``part``; refuses to replace one."""
        path = self.folder / part.filename
        try:
            file = path.open("xb", buffering=0)
        except FileExistsError as error:
            raise LocalRefusal(
                f"{path} exists already", hint="remove the old bundle, or pass --force to replace it"
            ) from error
        self._made.append(path)
        with told_when_full(path), file:
            writer = DirectWriter(file.fileno())
            writer.write(0, body)
            writer.finish(len(body))
            os.fsync(file.fileno())

    def discard(self) -> None:
        """Removes every part that was written."""
        for path in self._made:
            path.unlink(missing_ok=True)


def _new_body() -> memoryview:
    """Room for one part, and for what the cipher asks beyond what it will write (it holds back what is no whole block).

    A mapping of its own goes back to the system whole, which the heap's memory does not.
    """
    body = mmap.mmap(-1, PART_BYTES + mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without large pages
        body.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(body)


class PartCutter:
    """Encrypts what is written and cuts it into parts ``NAME.part.N`` of 10 MiB for ``sink``; never makes an empty one."""

    def __init__(
        self,
        sink: PartSink,
        name: str,
        *,
        digits: int,
        encryptor: CipherContext,
        told: Callable[[Part, memoryview], object] | None = None,
    ) -> None:
        self.parts: list[Part] = []
        self.size_bytes = 0
        self._sink = sink
        self._name = name
        self._digits = digits
        self._encryptor = encryptor
        self._told = told
        self._body = memoryview(b"")
        self._fed = 0
        self._filled = 0

    def write(self, data: bytes) -> None:
        """Encrypts ``data``, ending parts as they fill."""
        view = memoryview(data)
        while view:
            if not self._fed:
                self._body = _new_body()
            piece = view[: PART_BYTES - self._fed]
            self._filled += self._encryptor.update_into(piece, self._body[self._filled :])
            self._fed += len(piece)
            view = view[len(piece) :]
            if self._fed == PART_BYTES:
                self._end()

    def finish(self) -> tuple[Part, ...]:
        """Ends the last part; all of them, in order.  What was written must be whole blocks of the cipher."""
        if self._fed:
            self._end()
        assert self._encryptor.finalize() == b""
        return tuple(self.parts)

    def _end(self) -> None:
        assert self._filled == self._fed, "a part is whole blocks"
        body = self._body[: self._filled]
        index = len(self.parts)
        digest = hashlib.sha1(body, usedforsecurity=False).hexdigest()
        part = Part(index, f"{self._name}.part.{index:0{self._digits}d}", digest)
        self.parts.append(part)
        self.size_bytes += len(body)
        self._fed = self._filled = 0
        if self._told is not None:
            self._told(part, body)
        self._sink.put(part, body)
