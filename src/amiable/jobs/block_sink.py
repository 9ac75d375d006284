"""Bytes of a disk in rising order → blocks of a snapshot, in batches that are durable and checkpointed.

Blocks of zeros are left out: an index that was never written reads as zeros.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from amiable.blocks.store import BlockStore
from amiable.model.units import BLOCK_BYTES

BATCH_BLOCKS: Final = 32
"""16 MiB: what is read again at most when a job is taken up again, and what one sync pays for."""

_ZEROS: Final = bytes(BLOCK_BYTES)

Checkpoint = Callable[[Connection, int], None]
"""Called in the transaction of a batch with the index from which the disk is not yet written."""


class BlockSink:
    """Takes (offset, data) in rising order, never overlapping; :meth:`finish` writes what is left."""

    def __init__(self, blocks: BlockStore, snapshot_id: str, checkpoint: Checkpoint) -> None:
        self._blocks = blocks
        self._snapshot_id = snapshot_id
        self._checkpoint = checkpoint
        self._index = 0
        self._block = bytearray(BLOCK_BYTES)
        self._is_dirty = False
        self._batch: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        """Puts ``data`` at ``offset`` bytes of the disk."""
        view = memoryview(data)
        while view:
            index, start = divmod(offset, BLOCK_BYTES)
            assert index >= self._index, "offsets must rise"
            if index != self._index:
                self._end_block(index)
            piece = view[: BLOCK_BYTES - start]
            self._block[start : start + len(piece)] = piece
            self._is_dirty = True
            offset += len(piece)
            view = view[len(piece) :]

    def finish(self) -> None:
        """Writes the last blocks; durable on return."""
        self._end_block(self._index + 1)
        self._flush()

    def _end_block(self, following: int) -> None:
        if self._is_dirty and self._block != _ZEROS:
            self._batch.append((self._index, bytes(self._block)))
        if self._is_dirty:
            self._block = bytearray(BLOCK_BYTES)
        self._is_dirty = False
        self._index = following
        if len(self._batch) >= BATCH_BLOCKS:
            self._flush()

    def _flush(self) -> None:
        if not self._batch:
            return
        following = self._index
        self._blocks.write(self._snapshot_id, self._batch, alongside=lambda c: self._checkpoint(c, following))
        self._batch = []
