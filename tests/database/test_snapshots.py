"""Snapshot rows: each change of state is one conditional statement."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from amiable.database import snapshots
from amiable.database.connect import Database
from amiable.database.product_codes import put_codes
from amiable.database.schema import account, metadata
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.snapshot import Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make(snapshot_id: str, **facts: Any) -> Snapshot:
    row: dict[str, Any] = {
        "account_id": "111111111111",
        "region": "us-east-1",
        "state": "pending",
        "size_gib": 1,
        "started_at": NOW,
        "touched_at": NOW,
    }
    return Snapshot(id=snapshot_id, **{**row, **facts})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with one account and one snapshot, ``snap-1``."""
    made = Database(f"sqlite:///{tmp_path}/amiable.db")
    metadata.create_all(made.engine)
    with made.write() as c:
        for number in ("111111111111", "222222222222"):
            c.execute(insert(account).values(id=number, name="one", is_administrator=False, created_at=NOW))
        snapshots.insert_snapshot(c, make("snap-1"))
    yield made
    made.close()


def test_snapshots_are_listed_with_their_codes_in_order(database: Database) -> None:
    A, B = ProductCode("A"), ProductCode("B", ProductCodeType.MARKETPLACE)
    foreign, binned = make("snap-4", account_id="222222222222"), make("snap-5", binned_at=NOW)
    mine = [make(f"snap-{number}") for number in (1, 2, 3)]
    with database.write() as c:
        for each in (*mine[1:], foreign, binned):
            snapshots.insert_snapshot(c, each)
        put_codes(c, "snap-3", (B, A))
        put_codes(c, "snap-2", (A,))
        put_codes(c, "snap-4", (B,))
        ids = ["snap-3", "snap-1", "snap-2", "snap-4", "snap-5", "snap-6"]
        found = snapshots.list_with_codes(c, account_id="111111111111", region="us-east-1", ids=ids)
    assert found == [(mine[0], ()), (mine[1], (A,)), (mine[2], (B, A))]


def test_a_snapshot_is_read_as_it_was_written(database: Database) -> None:
    full = make(
        "snap-2", state="error", state_message="no", progress_percent=7, description="d", parent_id="snap-1", volume_id="vol-1",
        timeout_minutes=10, completed_at=NOW, is_internal=True, changed_block_count=5,
    )  # fmt: skip
    with database.write() as c:
        snapshots.insert_snapshot(c, full)
        assert snapshots.get(c, "snap-2") == full
        assert snapshots.get(c, "snap-3") is None


def test_only_a_pending_unsealed_snapshot_takes_blocks_and_is_sealed_once(database: Database) -> None:
    with database.write() as c:
        assert snapshots.touch(c, "snap-1", now=NOW + timedelta(minutes=1))
        assert not snapshots.complete(c, "snap-1", now=NOW)
        assert snapshots.seal(c, "snap-1", 3)
        assert not snapshots.seal(c, "snap-1", 4)
        assert not snapshots.touch(c, "snap-1", now=NOW)
        assert not snapshots.touch(c, "snap-404", now=NOW)
        assert snapshots.complete(c, "snap-1", now=NOW)
        assert not snapshots.complete(c, "snap-1", now=NOW)
        assert not snapshots.fail(c, "snap-1", "late")
        row = snapshots.get(c, "snap-1")
    assert row is not None
    assert (row.state, row.changed_block_count, row.progress_percent, row.completed_at) == ("completed", 3, 100, NOW)
    assert row.touched_at == NOW + timedelta(minutes=1)


def test_a_failed_snapshot_stays_failed(database: Database) -> None:
    with database.write() as c:
        assert snapshots.fail(c, "snap-1", "x" * 2000)
        assert not snapshots.fail(c, "snap-1", "again")
        assert not snapshots.seal(c, "snap-1", 0)
        row = snapshots.get(c, "snap-1")
    assert row is not None and row.state == "error" and row.state_message == "x" * 1000


def test_a_snapshot_expires_after_its_timeout_from_its_last_block(database: Database) -> None:
    with database.write() as c:
        snapshots.touch(c, "snap-1", now=NOW + timedelta(minutes=30))
        assert snapshots.expire(c, now=NOW + timedelta(minutes=90)) == []
        assert snapshots.expire(c, now=NOW + timedelta(minutes=91)) == ["snap-1"]
        assert snapshots.expire(c, now=NOW + timedelta(minutes=92)) == []
        snapshots.insert_snapshot(c, make("snap-2", changed_block_count=0))
        assert snapshots.expire(c, now=NOW + timedelta(days=9)) == []


def test_a_list_has_the_accounts_own_of_the_region_in_order_and_never_internal_ones(database: Database) -> None:
    with database.write() as c:
        for one in (
            make("snap-0"), make("snap-9"), make("snap-2", region="eu-west-1"), make("snap-3", account_id="222222222222"),
            make("snap-4", is_internal=True),
        ):  # fmt: skip
            snapshots.insert_snapshot(c, one)
        asked = {"account_id": "111111111111", "region": "us-east-1"}
        every = [f"snap-{number}" for number in reversed(range(10))]
        assert [s.id for s in snapshots.list_snapshots(c, **asked, ids=every)] == ["snap-0", "snap-1", "snap-9"]
        assert [s.id for s in snapshots.list_snapshots(c, **asked, ids=["snap-9", "snap-3"])] == ["snap-9"]
        assert snapshots.delete_row(c, "snap-9")
        assert not snapshots.delete_row(c, "snap-9")
