"""What the store holds once it said yes."""

import random
import sqlite3
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from amiable.blocks.store import BlockStore
from amiable.database import blocks as rows
from amiable.database import snapshots
from amiable.database.connect import Database
from amiable.database.schema import block, leaf, pack, pending_block
from amiable.model.block_map import ZERO_BLOCK, ZERO_DIGEST
from amiable.model.errors import BlockDamaged, NotFound, SnapshotNotPending
from amiable.model.units import BLOCK_BYTES

NewSnapshot = Callable[..., str]


def noise(seed: int) -> bytes:
    """A block that does not compress."""
    return random.Random(seed).randbytes(BLOCK_BYTES)


def text(seed: int) -> bytes:
    """A block that compresses well."""
    return (f"block {seed} ".encode() * BLOCK_BYTES)[:BLOCK_BYTES]


def test_what_was_written_is_read_before_and_after_completion(store: BlockStore, new_snapshot: NewSnapshot) -> None:
    snapshot = new_snapshot("snap-1")
    blocks = [(0, noise(1)), (7, text(2)), (2047, ZERO_BLOCK), (2048, noise(3)), (5000, text(4))]
    digests = store.write(snapshot, blocks)
    assert digests == [sha256(plain).digest() for _, plain in blocks]
    for _ in range(2):
        assert [store.read(snapshot, index) for index, _ in blocks] == [plain for _, plain in blocks]
        assert store.read(snapshot, 1) is None
        assert store.read(snapshot, 4097) is None
        assert store.blocks_of(snapshot) == [
            (index, digest) for (index, _), digest in zip(blocks, digests, strict=True)
        ]
        store.complete(snapshot)


def test_pages_of_a_map_join_to_the_whole(store: BlockStore, new_snapshot: NewSnapshot) -> None:
    snapshot = new_snapshot("snap-1")
    indexes = sorted(random.Random(5).sample(range(4 * 2048), 40))
    store.write(snapshot, [(index, text(index)) for index in indexes])
    for _ in range(2):
        seen, start = [], 0
        while page := store.blocks_of(snapshot, start, 7):
            seen += [index for index, _ in page]
            start = page[-1][0] + 1
        assert seen == indexes
        store.complete(snapshot)


def test_of_an_index_written_twice_the_last_counts(store: BlockStore, new_snapshot: NewSnapshot) -> None:
    snapshot = new_snapshot("snap-1")
    store.write(snapshot, [(3, text(1)), (3, text(2))])
    assert store.read(snapshot, 3) == text(2)
    store.write(snapshot, [(3, noise(3))])
    assert store.read(snapshot, 3) == noise(3)
    assert len(store.blocks_of(snapshot)) == 1


def test_equal_blocks_are_stored_once_and_zeros_not_at_all(
    store: BlockStore, database: Database, new_snapshot: NewSnapshot, tmp_path: Path
) -> None:
    first, second = new_snapshot("snap-1"), new_snapshot("snap-2")
    store.write(first, [(0, noise(1)), (1, noise(1)), (2, ZERO_BLOCK)])
    size = sum(path.stat().st_size for path in (tmp_path / "packs").iterdir())
    store.write(second, [(9, noise(1)), (10, ZERO_BLOCK)])
    assert sum(path.stat().st_size for path in (tmp_path / "packs").iterdir()) == size < 2 * BLOCK_BYTES
    with database.read() as c:
        assert c.execute(select(block.c.digest)).scalars().all() == [sha256(noise(1)).digest()]


def test_compression_is_used_where_it_saves_a_twentieth(
    store: BlockStore, database: Database, new_snapshot: NewSnapshot
) -> None:
    store.write(new_snapshot("snap-1"), [(0, noise(1)), (1, text(1))])
    with database.read() as c:
        rows_ = {row.digest: row for row in c.execute(select(block))}
    assert (rows_[sha256(noise(1)).digest()].codec, rows_[sha256(noise(1)).digest()].stored_length) == (0, BLOCK_BYTES)
    assert rows_[sha256(text(1)).digest()].codec == 1
    assert rows_[sha256(text(1)).digest()].stored_length < BLOCK_BYTES // 20


def test_a_hit_takes_the_current_generation(store: BlockStore, database: Database, new_snapshot: NewSnapshot) -> None:
    store.write(new_snapshot("snap-1"), [(0, text(1))])
    with database.write() as c:
        c.exec_driver_sql("UPDATE generation SET number = 9")
    store.write(new_snapshot("snap-2"), [(0, text(1))])
    with database.read() as c:
        assert c.execute(select(block.c.generation)).scalar_one() == 9


def test_a_condemned_block_is_stored_again_at_another_place(
    store: BlockStore, database: Database, new_snapshot: NewSnapshot
) -> None:
    store.write(new_snapshot("snap-1"), [(0, text(1))])
    with database.write() as c:
        before = c.execute(select(block)).one()
        c.execute(update(block).values(state="condemned"))
    store.write(new_snapshot("snap-2"), [(0, text(1))])
    with database.read() as c:
        after = c.execute(select(block)).one()
    assert after.state == "live"
    assert (after.pack, after.offset) != (before.pack, before.offset)
    assert store.read("snap-2", 0) == text(1)


def test_a_block_condemned_between_look_up_and_reference_is_stored_again(
    store: BlockStore, database: Database, new_snapshot: NewSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(new_snapshot("snap-1"), [(0, text(1))])
    with database.write() as c:
        c.execute(update(block).values(state="condemned"))
    # the look-up outside the transaction is only a hint: here it is as stale as a collector could make it
    monkeypatch.setattr(rows, "live_digests", lambda c, digests: set(digests))
    store.write(new_snapshot("snap-2"), [(0, text(1))])
    with database.read() as c:
        assert c.execute(select(block.c.state)).scalar_one() == "live"
    assert store.read("snap-2", 0) == text(1)


def test_a_child_reads_its_parents_blocks_under_its_own_even_when_the_parent_is_gone(
    store: BlockStore, database: Database, new_snapshot: NewSnapshot
) -> None:
    parent, child = new_snapshot("snap-1"), new_snapshot("snap-2", parent_id="snap-1")
    store.write(parent, [(0, text(0)), (1, text(1)), (3000, text(2))])
    store.complete(parent)
    with database.write() as c:
        store.inherit(c, child, parent)
    store.write(child, [(1, ZERO_BLOCK), (2, text(9))])
    with database.write() as c:
        store.drop(c, parent)
        snapshots.delete_row(c, parent)
    for _ in range(2):
        assert [index for index, _ in store.blocks_of(child)] == [0, 1, 2, 3000]
        assert [store.read(child, index) for index in (0, 1, 2, 3000, 4)] == [
            text(0),
            ZERO_BLOCK,
            text(9),
            text(2),
            None,
        ]
        store.complete(child)
    with database.read() as c:
        assert len(c.execute(select(leaf.c.digest)).all()) == 2  # the parent's first leaf went, its second is shared


def test_a_completed_or_unknown_snapshot_takes_no_block(store: BlockStore, new_snapshot: NewSnapshot) -> None:
    snapshot = new_snapshot("snap-1")
    store.complete(snapshot)
    store.complete(snapshot)
    with pytest.raises(SnapshotNotPending, match="completed"):
        store.write(snapshot, [(0, text(1))])
    with pytest.raises(NotFound):
        store.write("snap-404", [(0, text(1))])
    with pytest.raises(NotFound):
        store.complete("snap-404")


def test_completion_goes_on_where_it_was_interrupted(
    store: BlockStore, database: Database, new_snapshot: NewSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = new_snapshot("snap-1")
    blocks = [(leaf_ * 2048 + 5, text(leaf_)) for leaf_ in range(4)]
    store.write(snapshot, blocks)
    real, calls = rows.put_leaf, []

    def failing(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(rows, "put_leaf", failing)
    with pytest.raises(KeyboardInterrupt):
        store.complete(snapshot)
    with database.read() as c:
        assert len(c.execute(select(pending_block)).all()) == 2
        found = snapshots.get(c, snapshot)
    assert found is not None and found.changed_block_count == 4
    assert [store.read(snapshot, index) for index, _ in blocks] == [plain for _, plain in blocks]
    with pytest.raises(SnapshotNotPending, match="being completed"):
        store.write(snapshot, [(0, text(1))])
    store.complete(snapshot)
    assert [store.read(snapshot, index) for index, _ in blocks] == [plain for _, plain in blocks]
    with database.read() as c:
        row = snapshots.get(c, snapshot)
    assert row is not None and (row.state, row.progress_percent, row.changed_block_count) == ("completed", 100, 4)


def test_what_stands_alongside_falls_with_the_references(store: BlockStore, new_snapshot: NewSnapshot) -> None:
    snapshot = new_snapshot("snap-1")

    def refuse(c: Connection) -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        store.write(snapshot, [(0, text(1))], refuse)
    assert store.blocks_of(snapshot) == []
    store.write(snapshot, [(0, text(1))], lambda c: snapshots.report_progress(c, snapshot, 42))
    assert store.read(snapshot, 0) == text(1)


def test_many_writers_at_once_each_get_their_own_answer(store: BlockStore, new_snapshot: NewSnapshot) -> None:
    snapshot = new_snapshot("snap-1")
    failed: list[int] = []

    def writer(number: int) -> None:
        for turn in range(6):
            if number % 4 == 3:
                try:
                    store.write("snap-404", [(turn, text(number))])
                except NotFound:
                    failed.append(number)
            else:
                store.write(snapshot, [(number * 10 + turn, text(number * 10 + turn)), (900, ZERO_BLOCK)])

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(failed) == [3] * 6 + [7] * 6
    listed = dict(store.blocks_of(snapshot))
    assert listed.pop(900) == ZERO_DIGEST
    assert sorted(listed) == sorted(number * 10 + turn for number in range(8) if number % 4 != 3 for turn in range(6))
    assert all(store.read(snapshot, index) == text(index) for index in listed)


def test_a_flipped_bit_is_never_answered_as_data(store: BlockStore, new_snapshot: NewSnapshot, tmp_path: Path) -> None:
    snapshot = new_snapshot("snap-1")
    store.write(snapshot, [(0, noise(1))])
    (path,) = (tmp_path / "packs").iterdir()
    body = bytearray(path.read_bytes())
    body[1000] ^= 1
    path.write_bytes(body)
    with pytest.raises(BlockDamaged, match="Block 0 of snap-1"):
        store.read(snapshot, 0)
    path.unlink()
    with pytest.raises(BlockDamaged, match="missing"):
        store.read(snapshot, 0)


def test_deleting_a_map_makes_its_bytes_reclaimable_but_not_those_shared(
    store: BlockStore, database: Database, new_snapshot: NewSnapshot
) -> None:
    first, second = new_snapshot("snap-1"), new_snapshot("snap-2")
    store.write(first, [(0, noise(1)), (1, noise(2))])
    store.write(second, [(0, noise(1))])
    store.complete(first)
    assert store.reclaimable_bytes() == 0
    with database.write() as c:
        store.drop(c, first)
    assert store.reclaimable_bytes() == BLOCK_BYTES + 44
    with database.write() as c:
        store.drop(c, second)
    assert store.reclaimable_bytes() == 2 * (BLOCK_BYTES + 44)


def test_packs_end_at_64_mib_and_closing_closes_the_last(
    database: Database, new_snapshot: NewSnapshot, tmp_path: Path
) -> None:
    store = BlockStore.open(database, tmp_path / "packs", compression="none")
    snapshot = new_snapshot("snap-1")
    for start in range(0, 150, 50):
        store.write(snapshot, [(index, noise(index)) for index in range(start, start + 50)])
    store.close()
    with database.read() as c:
        packs = c.execute(select(pack).order_by(pack.c.id)).all()
    assert [row.state for row in packs] == ["closed", "closed"]
    assert [row.size_bytes for row in packs] == [127 * (BLOCK_BYTES + 44), 23 * (BLOCK_BYTES + 44)]
    assert [(tmp_path / "packs" / row.id).stat().st_size for row in packs] == [row.size_bytes for row in packs]
    again = BlockStore.open(database, tmp_path / "packs")
    assert all(again.read(snapshot, index) == noise(index) for index in range(150))
    again.close()


def test_a_store_that_only_reads_writes_no_pack(store: BlockStore, tmp_path: Path) -> None:
    assert store.blocks_of("snap-404") == []
    assert store.read("snap-404", 0) is None
    assert list((tmp_path / "packs").iterdir()) == []
    assert sqlite3.sqlite_version_info >= (3, 35)  # RETURNING, upserts
