"""Inflation of a gzip stream, on all cores where its chunks stand alone, else on one.

Bundles of ours, and those of ``pigz -i``, are chunks deflated on their own, each ended by a full flush: an empty stored block, whose
last four bytes ``00 00 ff ff`` end on a byte.  Nothing in the stream says where chunks begin, so it is guessed (where the caller
tells their sizes, they are taken at that, as long as each ends in a mark, and the search is spared):

    header ─▶ cut after each mark ─▶ inflate the segment alone, an empty last block (03 00) put behind it
                                        │ ends just there                 its bytes are the stream's next
                                        │ wants more                      the mark was data: joined to the next segment
                                        └ fails, ends early, is too long  from here on: one decompressor, in order

A segment that begins where a block does and inflates by itself gives what a decompressor in order gives, for it refers to nothing
before it.  CRC-32 and length of every member are checked in both ways, so a wrong guess cannot pass.  The guessing is given up for
the whole stream when it fails once: what a hostile stream can cost stays in proportion to its length.
"""

import os
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from isal import igzip_lib, isal_zlib

from amiable.model.errors import BundleRefusal
from amiable.model.units import KIB, MIB

PIECE_BYTES: Final = MIB
"""Inflation never makes more than this at a time."""

WORKERS_MAX: Final = 8
SEGMENTS_WAITING_PER_WORKER: Final = 3
SEGMENT_BYTES_MIN: Final = 512
SEGMENT_BYTES_MAX: Final = 2 * MIB
SEGMENT_PLAIN_BYTES_MAX: Final = 4 * MIB
JOINS_MAX: Final = 64
JOINED_BYTES_FREE: Final = 32 * MIB
"""What may be inflated again for the sake of joining; beyond it, as much as was inflated well."""

HEAP_KEEPS_BYTES: Final = 4 * MIB
INPUT_BYTES: Final = 256 * KIB
INPUT_BYTES_FIRST: Final = KIB
"""What a member is given at first: what it does not take is handled again, for each of a million members of a few bytes."""

HEADER_TEXT_BYTES_MAX: Final = 64 * KIB

MAGIC: Final = b"\x1f\x8b"
MARK: Final = b"\0\0\xff\xff"
LAST_BLOCK: Final = b"\x03\0"
WINDOW_BYTES: Final = 32 * KIB
_MARK: Final = re.compile(re.escape(MARK))
IsalError: Final[type[Exception]] = getattr(igzip_lib, "IsalError")  # noqa: B009 - its stub takes the class for an instance


def inflate(pieces: Iterable[bytes | bytearray], chunk_sizes: Iterable[int] = ()) -> Generator[bytes, None, None]:
    """The contents of one or more gzip members, in pieces of at most 1 MiB; refuses whatever else stands behind them.

    ``chunk_sizes`` are those of the deflated chunks from the first member's header on, as far as they are known.  They are not trusted.
    """
    _keep_freed_memory()
    source = _Source(iter(pieces), chunk_sizes)
    _read_header(source)
    plain = _Plain()
    for pieces_alone, crc in _alone(source):
        plain.add_all(pieces_alone, crc)
        yield from pieces_alone
    while True:
        for piece in _in_order(source, plain.window):
            plain.add(piece)
            yield piece
        plain.check(source.take(8))
        if not source.fill(1):
            return
        if not source.is_magic_next():
            raise _fault("After the gzip stream come bytes that are no gzip.")
        _read_header(source)
        plain = _Plain()


def _keep_freed_memory() -> None:
    """Lets the heap keep a few pieces that were freed for those that follow.

    glibc maps every large block anew, and unmaps it, until one as large was freed once; a tenth of the time would go there.
    """
    bytes(HEAP_KEEPS_BYTES)


def _fault(message: str) -> BundleRefusal:
    return BundleRefusal("gzip", message)


class _Source:
    """The compressed stream, as far as it has been fetched and not taken.  What is taken piece by piece is not copied."""

    def __init__(self, pieces: Iterator[bytes | bytearray], chunk_sizes: Iterable[int] = ()) -> None:
        self._pieces = pieces
        self._chunk_sizes = iter(chunk_sizes)
        self._data: bytes | bytearray = b""
        self._at = 0

    def fill(self, size: int) -> bool:
        """Whether ``size`` bytes are held now; the stream ends before where not."""
        while self._held() < size:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._data = self._rest_and(piece)
            self._at = 0
        return True

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; refuses a stream that ends before."""
        if not self.fill(size):
            raise _fault("The gzip stream is cut short.")
        return bytes(self.take_some(size))

    def take_some(self, size: int) -> memoryview:
        """At most ``size`` of the bytes that are held."""
        taken = memoryview(self._data)[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def take_text(self) -> bytes:
        """What stands up to the next NUL and with it, in a header."""
        size = 0
        while (end := self._data.find(0, self._at + size)) < 0:
            size = self._held()
            if size > HEADER_TEXT_BYTES_MAX or not self.fill(size + 1):
                raise _fault("The decrypted stream is not sound gzip: a name in its header does not end.")
        return self.take(end + 1 - self._at)

    def take_segment(self) -> memoryview | None:
        """What stands up to a mark and with it: to the end of the chunk that is known, or to the next; ``None`` where none is near."""
        if (size := next(self._chunk_sizes, 0)) and (segment := self._take_chunk(size)) is not None:
            return segment
        self._chunk_sizes = iter(())
        return self._search_segment()

    def _take_chunk(self, size: int) -> memoryview | None:
        """The next ``size`` bytes, which end in a mark; ``None`` where they do not."""
        while SEGMENT_BYTES_MIN <= size <= SEGMENT_BYTES_MAX:
            missing = size - self._held()
            if missing <= 0:
                segment = self.take_some(size)
                if bytes(segment[-len(MARK) :]) == MARK:
                    return segment
                self.untake(size)
                return None
            if (piece := next(self._pieces, None)) is None:
                return None
            if piece[missing - len(MARK) : missing] == MARK:
                return self._take_with(piece, missing)
            self._data, self._at = self._rest_and(piece), 0
        return None

    def _search_segment(self) -> memoryview | None:
        size = SEGMENT_BYTES_MIN
        while True:
            found = _MARK.search(self._data, self._at + size, self._at + SEGMENT_BYTES_MAX)
            if found is not None:
                return self.take_some(found.end() - self._at)
            size = max(size, self._held() - len(MARK) + 1)
            if self._held() >= SEGMENT_BYTES_MAX or (piece := next(self._pieces, None)) is None:
                return None
            if (segment := self._take_across(piece, size)) is not None:
                return segment
            self._data, self._at = self._rest_and(piece), 0

    def _take_across(self, piece: bytes | bytearray, size: int) -> memoryview | None:
        """All that is held and as much of ``piece``, which comes next, as its first mark ends, ``size`` bytes on or later.

        ``piece`` is held then.  Only the segment is copied.  ``None`` where there is no such mark in it.
        """
        held = self._held()
        found = _MARK.search(piece, max(0, size - held), max(0, SEGMENT_BYTES_MAX - held))
        if found is None or MARK in self._data[-len(MARK) + 1 :] + piece[: len(MARK) - 1]:
            return None
        return self._take_with(piece, found.end())

    def _take_with(self, piece: bytes | bytearray, size: int) -> memoryview:
        """All that is held and ``size`` bytes of ``piece``, which comes next, and whose rest is held then."""
        segment = b"".join((memoryview(self._data)[self._at :], memoryview(piece)[:size]))
        self._data, self._at = piece, size
        return memoryview(segment)

    def give_back(self, data: bytes) -> None:
        """Puts ``data`` in front of what comes next."""
        self._data = b"".join((data, memoryview(self._data)[self._at :]))
        self._at = 0

    def untake(self, size: int) -> None:
        """Lets the last ``size`` bytes of what :meth:`take_some` gave last come again."""
        assert size <= self._at
        self._at -= size

    def is_magic_next(self) -> bool:
        """Whether what is held begins as a member does, as far as it can be seen."""
        return MAGIC.startswith(bytes(self._data[self._at : self._at + len(MAGIC)]))

    def _held(self) -> int:
        return len(self._data) - self._at

    def _rest_and(self, piece: bytes | bytearray) -> bytes | bytearray:
        return b"".join((memoryview(self._data)[self._at :], piece)) if self._held() else piece


class _Plain:
    """What a member was inflated to so far: its CRC-32, its length, and what a later part of it may refer to."""

    def __init__(self) -> None:
        self.window = b""
        self._crc = 0
        self._size_bytes = 0

    def add(self, piece: bytes) -> None:
        """``piece`` comes next."""
        self._crc = isal_zlib.crc32(piece, self._crc)
        self._size_bytes += len(piece)
        self._move_window([piece])

    def add_all(self, pieces: list[bytes], crc: int) -> None:
        """``pieces`` come next; ``crc`` is the CRC-32 of them all."""
        size_bytes = sum(map(len, pieces))
        self._crc = isal_zlib.crc32_combine(self._crc, crc, size_bytes)
        self._size_bytes += size_bytes
        self._move_window(pieces)

    def check(self, trailer: bytes) -> None:
        """Refuses a member that is not what its trailer says."""
        if int.from_bytes(trailer[:4], "little") != self._crc:
            raise _fault("The decrypted stream is not sound gzip: its CRC-32 is wrong.")
        if int.from_bytes(trailer[4:], "little") != self._size_bytes & 0xFFFFFFFF:
            raise _fault("The decrypted stream is not sound gzip: its length is wrong.")

    def _move_window(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.window = (piece if len(piece) >= WINDOW_BYTES else self.window + piece)[-WINDOW_BYTES:]


def _read_header(source: _Source) -> None:
    """Takes a member's header, RFC 1952, 2.3."""
    header = source.take(10)
    flags = header[3]
    if header[:3] != MAGIC + b"\x08" or flags & 0xE0:
        raise _fault("The decrypted stream is not sound gzip: no header of gzip begins it.")
    if flags & 0x04:
        length = source.take(2)
        header += length + source.take(int.from_bytes(length, "little"))
    for flag in (0x08, 0x10):
        if flags & flag:
            header += source.take_text()
    if flags & 0x02 and int.from_bytes(source.take(2), "little") != isal_zlib.crc32(header) & 0xFFFF:
        raise _fault("The decrypted stream is not sound gzip: its header's checksum is wrong.")


# ── on all cores ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _NotAlone(Exception):
    """The segment cannot be inflated by itself."""


_Inflated = tuple[list[bytes], int]
"""What a segment holds, in pieces, and their CRC-32."""


def _alone(source: _Source) -> Iterator[_Inflated]:
    """What the segments at the beginning of ``source`` hold, as long as they stand alone; the others stay in ``source``."""
    workers = min(WORKERS_MAX, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, "bundle-inflate") as pool:
        guess = _Guess(source, pool)
        try:
            while (plain := guess.next(workers * SEGMENTS_WAITING_PER_WORKER)) is not None:
                yield plain
        finally:
            guess.give_up()


class _Guess:
    """Segments on their way through the pool, oldest first."""

    def __init__(self, source: _Source, pool: ThreadPoolExecutor) -> None:
        self._source = source
        self._pool = pool
        self._waiting: deque[tuple[memoryview, Future[_Inflated | None] | None]] = deque()
        self._work_bytes = JOINED_BYTES_FREE

    def next(self, waiting_max: int) -> _Inflated | None:
        """What the oldest segment holds, joined to others as need be; ``None`` where it does not stand alone, or there is none."""
        while len(self._waiting) < waiting_max and (segment := self._source.take_segment()) is not None:
            self._waiting.append((segment, self._pool.submit(_inflate_alone, segment)))
        if not self._waiting:
            return None
        segment, job = self._waiting[0]
        try:
            plain = job.result() if job is not None else _inflate_alone(segment)
            joined = 1
            while plain is None:
                if not self._may_join(segment, joined):
                    return None
                segment = memoryview(b"".join((segment, self._waiting[joined][0])))
                joined += 1
                plain = _inflate_alone(segment)
        except _NotAlone:
            return None
        self._work_bytes += len(segment)
        for _ in range(joined):
            self._waiting.popleft()
        return plain

    def _may_join(self, segment: memoryview, joined: int) -> bool:
        """Whether ``segment``, of ``joined`` of those that wait, is worth another try with the next, which waits then too."""
        self._work_bytes -= len(segment)
        if joined == JOINS_MAX or self._work_bytes < 0:
            return False
        if joined == len(self._waiting):
            following = self._source.take_segment()
            if following is None:
                return False
            self._waiting.append((following, None))
        return True

    def give_up(self) -> None:
        """Lets the source have back what was taken and not inflated."""
        for _, job in self._waiting:
            if job is not None:
                job.cancel()
        self._source.give_back(b"".join(segment for segment, _ in self._waiting))


def _inflate_alone(segment: memoryview) -> _Inflated | None:
    """What ``segment`` holds; ``None`` where it goes on.  Raises _NotAlone where no more bytes would help."""
    member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    data, last = segment, memoryview(LAST_BLOCK)
    pieces: list[bytes] = []
    crc = 0
    for _ in range(SEGMENT_PLAIN_BYTES_MAX // PIECE_BYTES + 2):
        try:
            piece = member.decompress(data, PIECE_BYTES)
        except IsalError as error:
            raise _NotAlone from error
        if piece:
            pieces.append(piece)
            crc = isal_zlib.crc32(piece, crc)
        if member.eof:
            if member.unused_data or last:
                raise _NotAlone
            return pieces, crc
        data = memoryview(b"")
        if member.needs_input:
            if not last:
                return None
            data, last = last, memoryview(b"")
    raise _NotAlone


# ── in order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _in_order(source: _Source, window: bytes) -> Iterator[bytes]:
    """What the rest of the member's deflate stream holds, which may refer to ``window``, the plain bytes before it."""
    member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE, zdict=window)
    input_bytes = INPUT_BYTES_FIRST
    while not member.eof:
        data = memoryview(b"")
        if member.needs_input:
            if not source.fill(1):
                raise _fault("The gzip stream is cut short.")
            data = source.take_some(input_bytes)
            input_bytes = min(2 * input_bytes, INPUT_BYTES)
        try:
            piece = member.decompress(data, PIECE_BYTES)
        except IsalError as error:
            raise _fault(f"The decrypted stream is not sound gzip: {error}.") from error
        if piece:
            yield piece
    source.untake(len(member.unused_data))
