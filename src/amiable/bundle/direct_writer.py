"""Large files written past the page cache, their holes kept: unpacked images, and parts.

They are as large as the memory they would push out, and copying them there costs more time than the disk takes.  So whole blocks are
gathered in memory that begins on a page and written with ``O_DIRECT``.  A file system that does not know it (or asks for larger
blocks) gets the same writes through its cache.
"""

import errno
import fcntl
import mmap
import os
from typing import Final

from amiable.model.units import MIB

BLOCK_BYTES: Final = 4096
BUFFER_BYTES: Final = MIB

_ZEROS: Final = bytes(BLOCK_BYTES)


class DirectWriter:
    """Takes (offset, data) in rising order; ``finish`` gives the file its size.

    A block of 4 KiB in which nothing was given stays a hole.  Closes no descriptor; makes nothing durable.
    """

    def __init__(self, descriptor: int, *, is_direct: bool = True) -> None:
        self._descriptor = descriptor
        self._buffer = mmap.mmap(-1, BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._start = 0
        self._filled = 0
        self._is_direct = False
        if is_direct:
            self._set_direct(True)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """``data`` lies at ``offset``, at or after the end of what was written before."""
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
        """Writes the buffer, its last block filled up with zeros."""
        padding = -self._filled % BLOCK_BYTES
        self._buffer[self._filled : self._filled + padding] = _ZEROS[:padding]
        end = self._filled + padding
        done = 0
        with memoryview(self._buffer) as view:
            while done < end:
                try:
                    done += os.pwrite(self._descriptor, view[done:end], self._start + done)
                except OSError as error:
                    if error.errno != errno.EINVAL or not self._is_direct:
                        raise
                    self._set_direct(False)
        self._start, self._filled = self._start + end, 0

    def _set_direct(self, wanted: bool) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)
        except OSError:
            return
        self._is_direct = wanted
