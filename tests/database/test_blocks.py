"""Rows of the block store, statement by statement."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from amiable.database import blocks as rows
from amiable.database.blocks import BlockRow
from amiable.database.connect import Database
from amiable.database.schema import account, block, generation, leaf, metadata, snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture
def c(tmp_path: Path) -> Iterator[Connection]:
    """A write transaction over two snapshots and one pack."""
    database = Database(f"sqlite:///{tmp_path}/amiable.db")
    metadata.create_all(database.engine)
    with database.write() as connection:
        connection.execute(insert(account).values(id="1" * 12, name="one", is_administrator=False, created_at=NOW))
        for snapshot_id in ("snap-1", "snap-2"):
            connection.execute(
                insert(snapshot).values(
                    id=snapshot_id, account_id="1" * 12, region="r", state="pending", progress_percent=0, size_gib=1,
                    description="", timeout_minutes=60, started_at=NOW, touched_at=NOW, is_internal=False,
                )
            )  # fmt: skip
        rows.insert_pack(connection, "P", now=NOW)
        yield connection
    database.close()


def test_a_row_without_its_pack_is_impossible(c: Connection) -> None:
    with pytest.raises(IntegrityError), c.begin_nested():
        rows.put_rows(c, [BlockRow(A, "Q", 0, 1, 0)], 1)


def test_the_generation_begins_at_one_and_the_greatest_counts(c: Connection) -> None:
    assert rows.current_generation(c) == 1
    assert rows.current_generation(c) == 1
    c.execute(update(generation).values(number=5))
    assert rows.current_generation(c) == 5


def test_touching_sets_the_generation_of_live_rows_only(c: Connection) -> None:
    rows.put_rows(c, [BlockRow(A, "P", 0, 1, 0), BlockRow(B, "P", 9, 1, 0)], 1)
    c.execute(update(block).where(block.c.digest == B).values(state="condemned"))
    assert rows.touch_live(c, [A, B, C], 7) == {A}
    assert rows.live_digests(c, [A, B, C]) == {A}
    assert set(rows.find_blocks(c, [A, B, C])) == {A}
    assert {row.digest: row.generation for row in c.execute(select(block))} == {A: 7, B: 1}


def test_a_condemned_row_is_replaced_by_the_new_place(c: Connection) -> None:
    rows.put_rows(c, [BlockRow(A, "P", 0, 1, 0)], 1)
    c.execute(update(block).values(state="condemned"))
    rows.put_rows(c, [BlockRow(A, "P", 500, 3, 1)], 2)
    assert rows.find_blocks(c, [A]) == {A: BlockRow(A, "P", 500, 3, 1)}


def test_more_digests_than_one_statement_holds_are_all_found(c: Connection) -> None:
    many = [number.to_bytes(32, "big") for number in range(2 * rows.VALUES_MAX + 3)]
    rows.put_rows(c, [BlockRow(digest, "P", at, 1, 0) for at, digest in enumerate(many)], 1)
    assert rows.touch_live(c, many, 2) == set(many) == rows.live_digests(c, many)
    assert len(rows.find_blocks(c, many)) == len(many)
    assert dict(rows.all_sizes(c)) == dict.fromkeys(many, 1)


def test_pending_blocks_are_bounded_by_index_and_the_last_write_counts(c: Connection) -> None:
    rows.put_pending(c, "snap-1", [(5, A), (1, A), (5, B)])
    rows.put_pending(c, "snap-1", [(1, C), (9, C)])
    rows.put_pending(c, "snap-2", [(3, A)])
    assert rows.pending(c, "snap-1") == [(1, C), (5, B), (9, C)]
    assert rows.pending(c, "snap-1", start=2, end=9) == [(5, B)]
    assert rows.pending(c, "snap-1", start=2, limit=1) == [(5, B)]
    assert list(rows.pending_digests(c, "snap-1")) == [C, B, C]
    assert set(rows.all_pending_digests(c)) == {A, B, C}
    rows.delete_pending(c, "snap-1", start=5, end=9)
    assert rows.pending(c, "snap-1") == [(1, C), (9, C)]
    assert rows.pending_count(c, "snap-2") == 1


def test_a_leaf_lives_as_long_as_one_snapshot_shares_it(c: Connection) -> None:
    rows.put_leaf(c, "snap-1", 0, A, b"a")
    rows.put_leaf(c, "snap-1", 4, B, b"b")
    rows.inherit_leaves(c, "snap-2", "snap-1")
    rows.put_leaf(c, "snap-2", 4, C, b"c")
    rows.drop_leaf_if_unshared(c, B)
    assert [rows.get_leaf(c, "snap-2", at) for at in (0, 1, 4)] == [b"a", None, b"c"]
    assert rows.positions(c, "snap-1") == [0, 4] and rows.positions(c, "snap-1", start=1) == [4]
    rows.drop_map(c, "snap-1")
    assert rows.positions(c, "snap-1") == []
    assert sorted(rows.all_leaves(c)) == [b"a", b"c"]
    rows.drop_map(c, "snap-2")
    assert c.execute(select(func.count()).select_from(leaf)).scalar() == 0


def test_packs_are_recorded_open_grow_and_close(c: Connection) -> None:
    rows.insert_pack(c, "Q", now=NOW)
    rows.set_pack(c, "P", 100, closed=False)
    rows.set_pack(c, "Q", 11, closed=True)
    assert [(pack.id, pack.size_bytes) for pack in rows.open_packs(c)] == [("P", 100)]
    assert rows.packs_size_bytes(c) == 111
    rows.close_packs(c, [])
    rows.close_packs(c, ["P"])
    assert rows.open_packs(c) == [] and rows.packs_size_bytes(c) == 111
    rows.delete_pack(c, "Q")
    assert rows.packs_size_bytes(c) == 100
