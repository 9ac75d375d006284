"""Queries on the changes of volumes.  They go with their volume."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from amiable.database.schema import volume as V
from amiable.database.schema.instances import volume_modification as M
from amiable.database.text_match import is_one_of
from amiable.model.volume_modification import Modification, ModificationState

_NAMES: Final = tuple(f.name for f in fields(Modification) if f.name != "state")


def insert_modification(c: Connection, modification: Modification) -> None:
    """Inserts it."""
    c.execute(insert(M).values({**asdict(modification), "state": modification.state.value}))


def list_modifications(c: Connection, volume_id: str) -> list[Modification]:
    """The volume's changes, oldest first."""
    return [_modification(row) for row in c.execute(select(M).where(M.c.volume_id == volume_id).order_by(M.c.number))]


def list_newest(
    c: Connection, account_id: str, region: str, *, volume_ids: Sequence[str] | None = None
) -> list[Modification]:
    """The newest change of each of the account's volumes, by volume id; of ``volume_ids`` only if given."""
    newest = select(M.c.volume_id, func.max(M.c.number).label("number")).group_by(M.c.volume_id).subquery()
    query = (
        select(M)
        .join(newest, (newest.c.volume_id == M.c.volume_id) & (newest.c.number == M.c.number))
        .join(V, V.c.id == M.c.volume_id)
        .where(V.c.account_id == account_id, V.c.region == region)
    )
    if volume_ids is not None:
        query = query.where(is_one_of(M.c.volume_id, volume_ids))
    return [_modification(row) for row in c.execute(query.order_by(M.c.volume_id))]


def list_under_way(c: Connection) -> list[str]:
    """The ids of every account's volumes that are being changed."""
    query = select(M.c.volume_id).where(M.c.state == ModificationState.MODIFYING.value)
    return list(c.execute(query.order_by(M.c.volume_id)).scalars())


def end_modification(
    c: Connection, volume_id: str, state: ModificationState, *, now: datetime, message: str | None = None
) -> None:
    """The change that is under way has ended so."""
    under_way = (M.c.volume_id == volume_id) & (M.c.state == ModificationState.MODIFYING.value)
    c.execute(update(M).where(under_way).values(state=state.value, ended_at=now, message=message))


def _modification(row: Row[Any]) -> Modification:
    return Modification(state=ModificationState(row.state), **{name: getattr(row, name) for name in _NAMES})
