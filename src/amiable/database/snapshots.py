"""Snapshot rows: made, found, listed, and moved from state to state.

Each state change is one conditional statement: it says whether the row stood where the caller believed it to stand.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, String, bindparam, delete, func, insert, select, update

from amiable.database.product_codes import forget_codes
from amiable.database.schema import resource_product_code as C
from amiable.database.schema import snapshot as S
from amiable.database.schema import volume as V
from amiable.database.sharing import sees_snapshot
from amiable.database.statement import Statement
from amiable.database.text_match import OneOf, texts
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.snapshot import COMPLETED, ERROR, PENDING, Snapshot

LINEAGE_MAX: Final = 10_000
"""Ancestors of a snapshot that are looked at."""
FIELDS: Final = tuple(Snapshot.__dataclass_fields__)
COLUMNS: Final = tuple(S.c[name] for name in FIELDS)

_OWN: Final = (
    select(*COLUMNS)
    .where(
        S.c.account_id == bindparam("account_id"),
        S.c.region == bindparam("region"),
        S.c.is_internal.is_(False),
        S.c.binned_at.is_(None),
    )
    .order_by(S.c.id)
)
_IS_NAMED: Final = OneOf(S.c.id, bindparam("ids", type_=String))
_OWN_NAMED: Final = Statement(_OWN.where(_IS_NAMED))
_OWN_WITH_CODES: Final = Statement(
    _OWN.where(_IS_NAMED)
    .add_columns(C.c.code, C.c.type)
    .outerjoin(C, C.c.resource_id == S.c.id)
    .order_by(None)
    .order_by(S.c.id, C.c.position)
)
"""A row for each code of a snapshot; one without a code for a snapshot without any."""


def insert_snapshot(c: Connection, snapshot: Snapshot) -> None:
    """Writes a new row."""
    c.execute(insert(S).values(**{name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}))


def get(c: Connection, snapshot_id: str) -> Snapshot | None:
    """The snapshot of this id, internal ones included, binned ones not; whose it is the caller checks."""
    row = c.execute(select(*COLUMNS).where(S.c.id == snapshot_id, S.c.binned_at.is_(None))).first()
    return None if row is None else Snapshot(**row._mapping)


def get_kept(c: Connection, snapshot_id: str) -> Snapshot | None:
    """The snapshot of this id, internal and binned ones included: for who asks what keeps it."""
    row = c.execute(select(*COLUMNS).where(S.c.id == snapshot_id)).first()
    return None if row is None else Snapshot(**row._mapping)


def list_snapshots(c: Connection, *, account_id: str, region: str, ids: Sequence[str]) -> list[Snapshot]:
    """Those of ``ids`` that are the account's, in id order, internal and binned ones never."""
    named = _OWN_NAMED.all(c, account_id=account_id, region=region, ids=texts(ids))
    return [Snapshot(**dict(zip(FIELDS, row, strict=True))) for row in named]


def list_with_codes(
    c: Connection, *, account_id: str, region: str, ids: Sequence[str]
) -> list[tuple[Snapshot, tuple[ProductCode, ...]]]:
    """Those of ``ids`` that are the account's, internal and binned ones never, each with its product codes in order."""
    found: dict[str, tuple[Snapshot, list[ProductCode]]] = {}
    for *row, code, kind in _OWN_WITH_CODES.all(c, account_id=account_id, region=region, ids=texts(ids)):
        if row[0] not in found:
            found[row[0]] = Snapshot(**dict(zip(FIELDS, row, strict=True))), []
        if code is not None:
            found[row[0]][1].append(ProductCode(code, ProductCodeType(kind)))
    return [(snapshot, tuple(codes)) for snapshot, codes in found.values()]


def find_seen(c: Connection, viewer: str, region: str, snapshot_id: str) -> Snapshot | None:
    """The snapshot of this id, where it is the viewer's or shared with it."""
    seen = (S.c.id == snapshot_id) & (S.c.region == region) & sees_snapshot(viewer)
    row = c.execute(select(*COLUMNS).where(seen)).first()
    return None if row is None else Snapshot(**row._mapping)


def count_pending_of(c: Connection, volume_id: str) -> int:
    """How many snapshots of the volume are in the making."""
    query = select(func.count()).select_from(S).where(S.c.volume_id == volume_id, S.c.state == PENDING)
    return int(c.execute(query).scalar_one())


def completed_of(c: Connection, volume_id: str) -> list[str]:
    """The ids of the completed snapshots of the volume, none of them in the Recycle Bin."""
    query = select(S.c.id).where(S.c.volume_id == volume_id, S.c.state == COMPLETED, S.c.binned_at.is_(None))
    return list(c.execute(query.order_by(S.c.id)).scalars())


def touch(c: Connection, snapshot_id: str, *, now: datetime) -> bool:
    """Notes that a block came; ``False`` unless the snapshot takes blocks (pending and not sealed)."""
    open_ = (S.c.id == snapshot_id) & (S.c.state == PENDING) & S.c.changed_block_count.is_(None)
    return c.execute(update(S).where(open_).values(touched_at=now)).rowcount == 1


def seal(c: Connection, snapshot_id: str, changed_block_count: int) -> bool:
    """Ends the writing: the row knows how many blocks were written, and takes no more.  ``False`` unless it was open."""
    open_ = (S.c.id == snapshot_id) & (S.c.state == PENDING) & S.c.changed_block_count.is_(None)
    return c.execute(update(S).where(open_).values(changed_block_count=changed_block_count)).rowcount == 1


def report_progress(c: Connection, snapshot_id: str, percent: int) -> None:
    """Notes how far a pending snapshot is."""
    c.execute(update(S).where(S.c.id == snapshot_id, S.c.state == PENDING).values(progress_percent=percent))


def complete(c: Connection, snapshot_id: str, *, now: datetime, content_digest: bytes | None = None) -> bool:
    """pending → completed, of a sealed one whose disk has this content digest.  ``False`` from any other state."""
    sealed = (S.c.id == snapshot_id) & (S.c.state == PENDING) & S.c.changed_block_count.is_not(None)
    values = {"state": COMPLETED, "progress_percent": 100, "completed_at": now, "content_digest": content_digest}
    return c.execute(update(S).where(sealed).values(**values)).rowcount == 1


def fail(c: Connection, snapshot_id: str, message: str) -> bool:
    """pending → error, with what to say about it.  ``False`` from any other state."""
    pending = (S.c.id == snapshot_id) & (S.c.state == PENDING)
    return c.execute(update(S).where(pending).values(state=ERROR, state_message=message[:1000])).rowcount == 1


def delete_row(c: Connection, snapshot_id: str) -> bool:
    """Removes the row and its product codes; its map must have been dropped in the same transaction (``BlockStore.drop``)."""
    forget_codes(c, snapshot_id)
    return c.execute(delete(S).where(S.c.id == snapshot_id)).rowcount == 1


def expire(c: Connection, *, now: datetime) -> list[str]:
    """Every snapshot that waited for a block longer than its timeout goes to error; returns their ids."""
    waiting = select(*COLUMNS).where(S.c.state == PENDING, S.c.changed_block_count.is_(None))
    late = [row.id for row in c.execute(waiting) if Snapshot(**row._mapping).has_timed_out(now)]
    return [snapshot_id for snapshot_id in late if fail(c, snapshot_id, "No block came within the snapshot's timeout.")]


def publish(c: Connection, snapshot_id: str) -> None:
    """Shows an internal snapshot to its account from now on."""
    c.execute(update(S).where(S.c.id == snapshot_id).values(is_internal=False))


def lineage_of(c: Connection, snapshot: Snapshot) -> set[str]:
    """What the snapshot descends from, itself among them: parents, the volume it is of, and the snapshots that volume was made of."""
    found: set[str] = set()
    above: str | None = snapshot.id
    while above is not None and above not in found and len(found) < LINEAGE_MAX:
        found.add(above)
        at = get(c, above)
        if at is None:  # it is gone, and with it what was above it
            break
        above = at.parent_id
        if at.volume_id is not None:
            found.add(at.volume_id)
            above = c.execute(select(V.c.snapshot_id).where(V.c.id == at.volume_id)).scalar()
    return found
