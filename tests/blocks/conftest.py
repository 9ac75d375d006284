"""A store over a temporary directory, and snapshots to write into."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from amiable.blocks.store import BlockStore
from amiable.database import snapshots
from amiable.database.connect import Database
from amiable.database.schema import account, metadata
from amiable.model.snapshot import Snapshot

ACCOUNT = "123456789012"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_database(folder: Path) -> Database:
    """A database with every table and one account."""
    database = Database(f"sqlite:///{folder}/amiable.db")
    metadata.create_all(database.engine)
    with database.write() as c:
        if c.execute(account.select()).first() is None:
            c.execute(insert(account).values(id=ACCOUNT, name="one", is_administrator=True, created_at=NOW))
    return database


def make_snapshot(database: Database, snapshot_id: str, *, size_gib: int = 4, parent_id: str | None = None) -> str:
    """A pending snapshot's row."""
    row = Snapshot(
        id=snapshot_id, account_id=ACCOUNT, region="us-east-1", state="pending", size_gib=size_gib, parent_id=parent_id,
        started_at=datetime.now(UTC), touched_at=datetime.now(UTC),
    )  # fmt: skip
    with database.write() as c:
        snapshots.insert_snapshot(c, row)
    return snapshot_id


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = make_database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path, database: Database) -> Iterator[BlockStore]:
    opened = BlockStore.open(database, tmp_path / "packs")
    yield opened
    opened.close()


@pytest.fixture
def new_snapshot(database: Database) -> Callable[..., str]:
    """A function that makes pending snapshots: ``new_snapshot("snap-…", size_gib=…)``."""
    return lambda snapshot_id, **facts: make_snapshot(database, snapshot_id, **facts)
