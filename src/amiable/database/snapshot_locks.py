"""Rows of snapshot locks; they go with their snapshots."""

from sqlalchemy import Connection, delete, insert, select

from amiable.database.schema import snapshot as S
from amiable.database.schema import snapshot_lock as L
from amiable.database.snapshots import COLUMNS
from amiable.model.snapshot import Snapshot
from amiable.model.snapshot_lock import SnapshotLock


def find(c: Connection, snapshot_id: str) -> SnapshotLock | None:
    """The snapshot's lock, an expired one too."""
    row = c.execute(select(L).where(L.c.snapshot_id == snapshot_id)).first()
    return None if row is None else SnapshotLock(**row._mapping)


def put(c: Connection, lock: SnapshotLock) -> None:
    """Puts a lock in the place of the one that was there."""
    take(c, lock.snapshot_id)
    c.execute(insert(L).values(**{name: getattr(lock, name) for name in SnapshotLock.__dataclass_fields__}))


def take(c: Connection, snapshot_id: str) -> None:
    """Takes the lock away."""
    c.execute(delete(L).where(L.c.snapshot_id == snapshot_id))


def list_locked(c: Connection, account_id: str, region: str) -> list[tuple[Snapshot, SnapshotLock]]:
    """The account's snapshots that have a lock, in the order of their ids; binned ones are not listed."""
    mine = (S.c.account_id == account_id) & (S.c.region == region) & S.c.binned_at.is_(None)
    locks = {row.snapshot_id: SnapshotLock(**row._mapping) for row in c.execute(select(L).join(S).where(mine))}
    rows = c.execute(select(*COLUMNS).join(L).where(mine).order_by(S.c.id))
    return [(Snapshot(**row._mapping), locks[row.id]) for row in rows]
