"""The block store: blocks of 512 KiB, named by SHA-256, in packs; maps of them, one a snapshot.

Bytes before facts: a block is synced in its pack, then its row and its reference are committed, then the caller is answered.
A crash leaves bytes that nothing names, never a name without bytes.  Equal blocks are stored once; blocks of zeros not at all.
Everything here is synchronous and thread-safe.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection

from amiable.blocks import maps
from amiable.blocks.export_map import Entry, encode_map
from amiable.blocks.files import Files
from amiable.blocks.journal import Journal, Ticket
from amiable.blocks.pack import HEADER, PackDamaged, PackWriter, Place, Stored, cut_tail, encode_block, read_place
from amiable.database import blocks as rows
from amiable.database import snapshots
from amiable.database.connect import Database, milliseconds
from amiable.model import ids
from amiable.model.block_map import ZERO_BLOCK, ZERO_DIGEST, decode_leaf
from amiable.model.errors import BlockDamaged, NotFound, SnapshotNotPending
from amiable.model.units import BLOCK_BYTES, GIB
from amiable.rules.content_digest import content_digest

WRITE_BLOCKS_MAX: Final = 1024
"""Blocks of one :meth:`BlockStore.write`: half a GiB that must lie in memory."""
PAGE_BLOCKS_MAX: Final = 10_000
T = TypeVar("T")
R = TypeVar("R")
THREADS: Final = min(4, os.cpu_count() or 1)


class BlockStore:
    """Blocks and maps under one data directory; one process at a time holds it open."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        journal: Journal,
        *,
        compress: bool,
        clock: Callable[[], datetime],
        files: Files,
    ) -> None:
        self._folder = folder
        self._database = database
        self._journal = journal
        self._compress = compress
        self._clock = clock
        self._files = files
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="blocks")

    @classmethod
    def open(
        cls,
        database: Database,
        folder: Path,
        *,
        compression: str = "zstd-1",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        files: Files | None = None,
    ) -> "BlockStore":
        """The store whose packs lie in ``folder``; packs that an earlier process left open are cut to what it acknowledged, and closed.

        Raises PackDamaged when acknowledged bytes are missing.
        """
        assert compression in ("zstd-1", "none")
        files = files or Files()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _recover(folder, database, files)

        def register(pack_id: str) -> None:
            with database.write() as c:
                rows.insert_pack(c, pack_id, now=clock())

        writer = PackWriter(
            folder, files, new_id=lambda: ids.ulid(milliseconds(clock()), os.urandom(10)), register=register
        )
        compress = compression == "zstd-1"
        journal = Journal(database, writer, compress=compress, clock=clock)
        return cls(folder, database, journal, compress=compress, clock=clock, files=files)

    def close(self) -> None:
        """Closes the pack that is open, and ends the threads."""
        self._journal.close()
        self._pool.shutdown()

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def write(
        self,
        snapshot_id: str,
        blocks: Sequence[tuple[int, bytes]],
        alongside: Callable[[Connection], None] | None = None,
        *,
        digests: Sequence[bytes] | None = None,
    ) -> list[bytes]:
        """Writes (index, 524,288 bytes) into a pending snapshot and returns their digests; all durable on return, or nothing.

        Of an index that comes twice the last counts.  ``alongside`` runs in the transaction of the references: its error undoes
        them and is raised here.  ``digests`` are those that the caller has verified already.  Raises SnapshotNotPending,
        NotFound, StorageFull.
        """
        assert len(blocks) <= WRITE_BLOCKS_MAX and all(
            len(plain) == BLOCK_BYTES and index >= 0 for index, plain in blocks
        )
        plains = [plain for _, plain in blocks]
        names = list(digests) if digests is not None else list(self._map(_name, plains))
        bodies = {name: plain for name, plain in zip(names, plains, strict=True) if name != ZERO_DIGEST}
        with self._database.read() as c:
            new = bodies.keys() - rows.live_digests(c, bodies)
        encoded = {stored.digest: stored for stored in self._map(self._encode, [(name, bodies[name]) for name in new])}
        entries = [(index, name) for (index, _), name in zip(blocks, names, strict=True)]
        self._journal.submit(Ticket(snapshot_id, entries, bodies, encoded, alongside))
        return names

    def complete(self, snapshot_id: str) -> None:
        """Seals the snapshot, turns its pending blocks into leaves, and makes it completed; goes on where an earlier call ended.

        Nothing happens to a completed one.  Raises NotFound, SnapshotNotPending.
        """
        with self._database.write() as c:
            snapshot = snapshots.get(c, snapshot_id)
            if snapshot is None:
                raise NotFound("snapshot", [snapshot_id])
            if snapshot.state == "completed":
                return
            if snapshot.state != "pending":
                raise SnapshotNotPending(snapshot_id=snapshot_id, state=snapshot.state)
            count = snapshot.changed_block_count
            if count is None:
                count = rows.pending_count(c, snapshot_id)
                snapshots.seal(c, snapshot_id, count)

        def report(c: Connection, remaining: int) -> None:
            snapshots.report_progress(c, snapshot_id, min(99, 100 - 100 * remaining // max(1, count)))

        maps.convert(self._database, snapshot_id, report)
        with self._database.read() as c:
            digest = content_digest(snapshot.size_gib * GIB, maps.all_blocks(c, snapshot_id))
        with self._database.write() as c:
            snapshots.complete(c, snapshot_id, now=self._clock(), content_digest=digest)

    def inherit(self, c: Connection, snapshot_id: str, parent_id: str) -> None:
        """Gives a new snapshot its completed parent's blocks, in the caller's transaction; the parent may go afterwards."""
        rows.inherit_leaves(c, snapshot_id, parent_id)

    def drop(self, c: Connection, snapshot_id: str) -> None:
        """Drops the snapshot's map in the caller's transaction; its bytes become reclaimable."""
        rows.drop_map(c, snapshot_id)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, snapshot_id: str, index: int) -> bytes | None:
        """The block's bytes, verified; None where it was never written.  Raises BlockDamaged."""
        found = self._find(snapshot_id, index)
        if found is None or found is ZERO_BLOCK:
            return found
        for last in (False, True):
            assert isinstance(found, tuple)
            digest, place = found
            try:
                return read_place(self._folder, place, digest)
            except PackDamaged as error:
                again = self._find(snapshot_id, index)  # it may have been moved between look-up and read (rule R8)
                if last or again == found or not isinstance(again, tuple):
                    raise BlockDamaged(index=index, snapshot_id=snapshot_id, why=str(error)) from error
                found = again
        raise AssertionError("unreachable")

    def blocks_of(self, snapshot_id: str, start: int = 0, limit: int = PAGE_BLOCKS_MAX) -> list[tuple[int, bytes]]:
        """(index, digest) of up to ``limit`` written blocks from index ``start`` on, ascending."""
        with self._database.read() as c:
            return maps.blocks_of(c, snapshot_id, start=start, limit=limit)

    def changed_blocks(
        self, first_id: str, second_id: str, start: int, limit: int
    ) -> list[tuple[int, bytes | None, bytes | None]]:
        """The blocks from ``start`` on in which two completed snapshots differ: index, digest in the first, in the second."""
        with self._database.read() as c:
            return maps.changed_blocks(c, first_id, second_id, start=start, limit=limit)

    def export_map(self, snapshot_id: str, path: Path) -> None:
        """Writes the exporter's map of a completed snapshot to ``path``: durable, whole or not at all.

        Raises NotFound, SnapshotNotPending (of one that is not completed), BlockDamaged.
        """
        with self._database.read() as c:
            snapshot = snapshots.get(c, snapshot_id)
            if snapshot is None:
                raise NotFound("snapshot", [snapshot_id])
            if snapshot.state != "completed":
                raise SnapshotNotPending(f"The snapshot {snapshot_id} is {snapshot.state}, not completed.")
            entries = list(self._places(c, snapshot_id))
        self._files.write_whole(path, encode_map(snapshot.size_gib * GIB, entries))

    def reclaimable_bytes(self) -> int:
        """Bytes of packs that no leaf and no pending block refers to: what the collector will free."""
        with self._database.read() as c:
            referenced: set[bytes] = set(rows.all_pending_digests(c))
            for body in rows.all_leaves(c):
                referenced.update(decode_leaf(body).values())
            used = sum(HEADER.size + length for digest, length in rows.all_sizes(c) if digest in referenced)
            return rows.packs_size_bytes(c) - used

    def unshared_bytes(self, c: Connection, snapshot_ids: Sequence[str]) -> int:
        """What the blocks take, exactly, that these snapshots refer to and nothing else does: what would come free with them.

        Reads every leaf of the store, so it is for who asks, not for every call.
        """
        mine: set[bytes] = {digest for body in rows.leaves_of(c, snapshot_ids) for digest in decode_leaf(body).values()}
        for snapshot_id in snapshot_ids:
            mine.update(rows.pending_digests(c, snapshot_id))
        if not mine:
            return 0
        for body in rows.leaves_of_others(c, snapshot_ids):
            mine.difference_update(decode_leaf(body).values())
        mine.difference_update(rows.pending_of_others(c, snapshot_ids))
        return sum(HEADER.size + row.stored_length for row in rows.find_blocks(c, mine).values())

    # ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _find(self, snapshot_id: str, index: int) -> tuple[bytes, Place] | bytes | None:
        with self._database.read() as c:
            digest = maps.digest_at(c, snapshot_id, index)
            if digest is None:
                return None
            if digest == ZERO_DIGEST:
                return ZERO_BLOCK
            row = rows.find_blocks(c, [digest]).get(digest)
        if row is None:
            raise BlockDamaged(index=index, snapshot_id=snapshot_id, why="the index does not know it")
        return digest, _place(row)

    def _places(self, c: Connection, snapshot_id: str) -> Iterator[Entry]:
        start = 0
        while page := maps.blocks_of(c, snapshot_id, start=start, limit=PAGE_BLOCKS_MAX):
            found = rows.find_blocks(c, {digest for _, digest in page if digest != ZERO_DIGEST})
            for index, digest in page:
                if digest == ZERO_DIGEST:
                    continue
                if digest not in found:
                    raise BlockDamaged(index=index, snapshot_id=snapshot_id, why="the index does not know it")
                yield Entry(index, digest, _place(found[digest]))
            start = page[-1][0] + 1

    def _map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """``function`` of each item, in threads where there is more than one."""
        return map(function, items) if len(items) < 2 else self._pool.map(function, items)

    def _encode(self, item: tuple[bytes, bytes]) -> Stored:
        return encode_block(item[0], item[1], compress=self._compress)


def _name(plain: bytes) -> bytes:
    return ZERO_DIGEST if plain == ZERO_BLOCK else sha256(plain).digest()


def _place(row: rows.BlockRow) -> Place:
    return Place(row.pack, row.offset, row.stored_length, row.codec)


def _recover(folder: Path, database: Database, files: Files) -> None:
    with database.write() as c:
        rows.current_generation(c)
        for pack in rows.open_packs(c):
            path = folder / pack.id
            if pack.size_bytes == 0:
                path.unlink(missing_ok=True)
                rows.delete_pack(c, pack.id)
            else:
                cut_tail(path, pack.size_bytes, files)
                rows.set_pack(c, pack.id, pack.size_bytes, closed=True)
