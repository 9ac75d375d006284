"""Large files written past the page cache, their holes kept: unpacked images, and parts.

They are as large as the memory they would push out, and copying them there costs more time than the disk takes.  So whole blocks are
gathered in memory that begins on a page and written with ``O_DIRECT``.  A file system that does not know it (or asks for larger
blocks) gets the same writes through its cache.

Such a write returns when the disk has answered.  So a few are under way in threads while the next buffer is filled: the disk is
not idle while the caller computes, nor the caller while the disk works.
"""

import errno
import fcntl
import mmap
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from amiable.model.units import MIB

BLOCK_BYTES: Final = 4096
BUFFER_BYTES: Final = MIB
WRITERS: Final = 2
BUFFERS: Final = 4

_ZEROS: Final = bytes(BLOCK_BYTES)


class DirectWriter:
    """Takes (offset, data) in rising order; ``finish`` gives the file its size.

    A block of 4 KiB in which nothing was given stays a hole.  Closes no descriptor; makes nothing durable.  A context manager: when it
    is left no write is under way, so the descriptor may be closed.  What a write raised, a later call raises.
    """

    def __init__(self, descriptor: int, *, is_direct: bool = True) -> None:
        self._descriptor = descriptor
        memory = memoryview(mmap.mmap(-1, BUFFERS * BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        self._free = [memory[at : at + BUFFER_BYTES] for at in range(0, len(memory), BUFFER_BYTES)]
        self._buffer = self._free.pop()
        self._writers = ThreadPoolExecutor(WRITERS, "bundle-write")
        self._under_way: deque[tuple[Future[None], memoryview]] = deque()
        self._start = 0
        self._filled = 0
        self._is_direct = False
        if is_direct:
            self._set_direct(True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writers.shutdown(cancel_futures=True)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """``data`` lies at ``offset``, at or after the end of what was written before.  It is free again when this returns."""
        gap = offset - (self._start + self._filled)
        assert gap >= 0
        if gap > -self._filled % BLOCK_BYTES:
            self._flush()
            self._start, gap = offset - offset % BLOCK_BYTES, offset % BLOCK_BYTES
        self._add(_ZEROS[:gap])
        self._add(data)

    def finish(self, size_bytes: int) -> None:
        """Writes what is left; the file has ``size_bytes`` then."""
        self._flush()
        while self._under_way:
            self._await_oldest()
        os.ftruncate(self._descriptor, size_bytes)

    def _add(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            piece = view[: BUFFER_BYTES - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == BUFFER_BYTES:
                self._flush()

    def _flush(self) -> None:
        """Hands the buffer to the writers, its last block filled up with zeros, and takes another."""
        if not self._filled:
            return
        padding = -self._filled % BLOCK_BYTES
        end = self._filled + padding
        self._buffer[self._filled : end] = _ZEROS[:padding]
        writing = self._writers.submit(self._write_out, self._buffer[:end], self._start)
        self._under_way.append((writing, self._buffer))
        if not self._free:
            self._await_oldest()
        self._buffer = self._free.pop()
        self._start, self._filled = self._start + end, 0

    def _await_oldest(self) -> None:
        writing, buffer = self._under_way.popleft()
        writing.result()
        self._free.append(buffer)

    def _write_out(self, view: memoryview, offset: int) -> None:
        done = 0
        while done < len(view):
            was_direct = self._is_direct
            try:
                done += os.pwrite(self._descriptor, view[done:], offset + done)
            except OSError as error:
                if error.errno != errno.EINVAL or not was_direct:
                    raise
                self._set_direct(False)

    def _set_direct(self, wanted: bool) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)
        except OSError:
            return
        self._is_direct = wanted
