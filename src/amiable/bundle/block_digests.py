"""The SHA-256 of every 512 KiB block of an image, taken by a few threads while the image goes by; holes are never seen."""

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from amiable.model.units import BLOCK_BYTES

HASHERS_MAX: Final = 4
BLOCKS_WAITING_PER_HASHER: Final = 4

_ZEROS: Final = memoryview(bytes(BLOCK_BYTES))


class BlockDigests:
    """Tells ``found`` (index, SHA-256) of each block that bytes were given of, in order; what was not given is zeros.

    A context manager, that its threads end.
    """

    def __init__(self, found: Callable[[int, bytes], object]) -> None:
        self._found = found
        self._index = -1
        self._pieces: list[tuple[int, memoryview]] = []
        hashers = min(HASHERS_MAX, os.cpu_count() or 1)
        self._waiting_max = hashers * BLOCKS_WAITING_PER_HASHER
        self._hashers = ThreadPoolExecutor(hashers, "bundle-sha256")
        self._waiting: deque[tuple[int, Future[bytes]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hashers.shutdown(cancel_futures=True)

    def add(self, offset: int, data: memoryview | bytes | bytearray) -> None:
        """``data`` lies at ``offset`` of the image.  Offsets rise.

        The bytes are hashed later: they must stay as they are, so the buffer is not used again.
        """
        rest = memoryview(data)
        while rest:
            index, start = divmod(offset, BLOCK_BYTES)
            assert index >= self._index, "offsets must rise"
            if index != self._index:
                self._end_block()
                self._index = index
            piece = rest[: BLOCK_BYTES - start]
            self._pieces.append((start, piece))
            offset, rest = offset + len(piece), rest[len(piece) :]

    def finish(self) -> None:
        """Waits until ``found`` has been told of the last block."""
        self._end_block()
        while self._waiting:
            self._take_oldest()

    def _end_block(self) -> None:
        if not self._pieces:
            return
        self._waiting.append((self._index, self._hashers.submit(digest_of, self._pieces)))
        self._pieces = []
        if len(self._waiting) > self._waiting_max:
            self._take_oldest()

    def _take_oldest(self) -> None:
        index, hashing = self._waiting.popleft()
        self._found(index, hashing.result())


def digest_of(pieces: list[tuple[int, memoryview]]) -> bytes:
    """The SHA-256 of the block that holds ``pieces``, as (offset in the block, bytes), and zeros elsewhere."""
    digest, at = hashlib.sha256(), 0
    for start, view in pieces:
        digest.update(_ZEROS[: start - at])
        digest.update(view)
        at = start + len(view)
    digest.update(_ZEROS[: BLOCK_BYTES - at])
    return digest.digest()
