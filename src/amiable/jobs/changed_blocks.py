"""What a volume's disk has changed since its snapshot, as blocks: where they lie, and from an NBD export into a pending snapshot.

The disk has two layers.  Only what the upper one, the volume's own, has is read: the snapshot begins with the lower one's blocks.  A
block of which the upper layer has a part is read whole, through both.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from sqlalchemy import Connection

from amiable.blocks.nbd_client import NbdClient, Status
from amiable.blocks.store import BlockStore
from amiable.database import blocks as rows
from amiable.database.connect import Database
from amiable.model.block_map import ZERO_BLOCK, ZERO_DIGEST, decode_leaf
from amiable.model.units import BLOCK_BYTES, LEAF_BLOCKS

BATCH_BLOCKS: Final = 64
"""32 MiB: what one sync pays for, and what is read again at most when a job is taken up again.  Two lie in memory."""

Changed = tuple[int, int, int]
"""Offset, length and flags of a run of the disk, as an NBD server says them in a context."""
Checkpoint = Callable[[Connection, int], None]
"""Called in the transaction of a batch with the index from which the disk is not copied yet."""


def changed_blocks(runs: Iterable[Changed], statuses: Iterable[Status]) -> Iterator[tuple[int, bool]]:
    """The index of each block of which the upper layer has a part, rising, and whether it reads as zeros all over.

    ``runs`` are of the context DEPTH, where only depth 1 is the upper layer's, or of a dirty bitmap, where 1 is what was written.
    """
    index, zeros, is_pending = -1, 0, False
    for offset, length, is_changed, is_zero in _split(runs, statuses):
        end = offset + length
        while offset < end:
            at = offset // BLOCK_BYTES
            if at != index:
                if is_pending:
                    yield index, zeros == BLOCK_BYTES
                index, zeros, is_pending = at, 0, False
            size = min(end, (at + 1) * BLOCK_BYTES) - offset
            is_pending |= is_changed
            zeros += size if is_zero else 0
            offset += size
    if is_pending:
        yield index, zeros == BLOCK_BYTES


def _split(runs: Iterable[Changed], statuses: Iterable[Status]) -> Iterator[tuple[int, int, bool, bool]]:
    """Both descriptions of the same disk as one: (offset, length, is changed, is zero)."""
    left = iter(statuses)
    status: Status | None = None
    for offset, length, flags in runs:
        end = offset + length
        while offset < end:
            while status is None or status.offset + status.length_bytes <= offset:
                status = next(left)
            upto = min(end, status.offset + status.length_bytes)
            yield offset, upto - offset, flags == 1, status.is_zero
            offset = upto


class Inherited:
    """Which blocks a pending snapshot began with; asked with rising indexes it reads each leaf once."""

    def __init__(self, database: Database, snapshot_id: str) -> None:
        self._database = database
        self._snapshot_id = snapshot_id
        self._position = -1
        self._places: frozenset[int] = frozenset()

    def has_bytes(self, index: int) -> bool:
        """Whether block ``index`` has other bytes than zeros there."""
        position, place = divmod(index, LEAF_BLOCKS)
        if position != self._position:
            with self._database.read() as c:
                body = rows.get_leaf(c, self._snapshot_id, position)
            found = decode_leaf(body) if body is not None else {}
            self._places = frozenset(place for place, digest in found.items() if digest != ZERO_DIGEST)
            self._position = position
        return place in self._places


class Copier:
    """Copies a disk's changed blocks into the snapshot; reads the next batch while the last one is being written."""

    def __init__(
        self, blocks: BlockStore, inherited: Inherited, snapshot_id: str, context: bytes, checkpoint: Checkpoint
    ) -> None:
        """``context`` is that of the NBD server which tells what was changed."""
        self._blocks = blocks
        self._inherited = inherited
        self._snapshot_id = snapshot_id
        self._context = context
        self._checkpoint = checkpoint

    def copy(self, client: NbdClient, start: int, *, stopped: Callable[[], None]) -> None:
        """Copies from block ``start`` on; all durable on return.  ``stopped`` is called before each read, and may raise."""
        with ThreadPoolExecutor(1, thread_name_prefix="snapshot") as pool:
            writing: Future[list[bytes]] | None = None
            for indexes, following in _batches(self._wanted(client, start)):
                stopped()
                batch = [
                    (index, plain)
                    for index, plain in _read(client, indexes)
                    if plain != ZERO_BLOCK or self._inherited.has_bytes(index)
                ]
                if writing is not None:
                    writing.result()
                writing = pool.submit(self._write, batch, following)
            if writing is not None:
                writing.result()

    def _wanted(self, client: NbdClient, start: int) -> Iterator[tuple[int, bool]]:
        for index, is_zero in changed_blocks(client.runs(self._context), client.statuses()):
            if index >= start and (not is_zero or self._inherited.has_bytes(index)):
                yield index, is_zero

    def _write(self, batch: Sequence[tuple[int, bytes]], following: int) -> list[bytes]:
        return self._blocks.write(self._snapshot_id, batch, alongside=lambda c: self._checkpoint(c, following))


def _batches(wanted: Iterable[tuple[int, bool]]) -> Iterator[tuple[list[tuple[int, bool]], int]]:
    """The wanted blocks, some at a time, with the index behind the last."""
    batch: list[tuple[int, bool]] = []
    for each in wanted:
        batch.append(each)
        if len(batch) == BATCH_BLOCKS:
            yield batch, each[0] + 1
            batch = []
    if batch:
        yield batch, batch[-1][0] + 1


def _read(client: NbdClient, wanted: Sequence[tuple[int, bool]]) -> Iterator[tuple[int, bytes]]:
    """The blocks' bytes; neighbours are read at once, zeros not at all."""
    at = 0
    while at < len(wanted):
        first, is_zero = wanted[at]
        if is_zero:
            yield first, ZERO_BLOCK
            at += 1
            continue
        count = 1
        while at + count < len(wanted) and wanted[at + count] == (first + count, False):
            count += 1
        view = memoryview(bytearray(count * BLOCK_BYTES))
        client.read_into(view, first * BLOCK_BYTES)
        for number in range(count):
            yield first + number, bytes(view[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES])
        at += count
