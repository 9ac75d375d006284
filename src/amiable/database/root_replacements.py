"""Rows of replace root volume tasks, and the swap itself."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from amiable.database.schema import root_replacement as R
from amiable.database.schema import volume as V
from amiable.model.root_replacement import LIVE, ReplacementState, RootReplacement
from amiable.model.volume import AttachmentState, Volume, VolumeState

_NAMES = tuple(field.name for field in fields(RootReplacement) if field.name != "state")


def insert_task(c: Connection, task: RootReplacement) -> None:
    """Writes a new task."""
    c.execute(insert(R).values(**{**asdict(task), "state": task.state.value}))


def get_task(c: Connection, task_id: str) -> RootReplacement | None:
    """The task, whoever owns it."""
    row = c.execute(select(R).where(R.c.id == task_id)).first()
    return None if row is None else _task(row)


def list_tasks(c: Connection, account_id: str, region: str, *, ids: Sequence[str] = ()) -> list[RootReplacement]:
    """The account's tasks by their ids; only ``ids`` when given."""
    query = select(R).where(R.c.account_id == account_id, R.c.region == region)
    if ids:
        query = query.where(R.c.id.in_(list(ids)))
    return [_task(row) for row in c.execute(query.order_by(R.c.id))]


def live_task_of(c: Connection, instance_id: str) -> RootReplacement | None:
    """The instance's task that has not ended; there is one at most."""
    live = R.c.state.in_([state.value for state in LIVE])
    row = c.execute(select(R).where(R.c.instance_id == instance_id, live)).first()
    return None if row is None else _task(row)


def former_roots(c: Connection, instance_id: str) -> set[str]:
    """The ids of all volumes that are or were the instance's root by its tasks."""
    rows = c.execute(select(R.c.old_volume_id, R.c.new_volume_id).where(R.c.instance_id == instance_id))
    return {volume_id for row in rows for volume_id in row}


def set_state(c: Connection, task_id: str, state: ReplacementState, *, now: datetime) -> None:
    """Moves a task that has not ended."""
    live = R.c.state.in_([each.value for each in LIVE])
    ended = None if state in LIVE else now
    c.execute(update(R).where(R.c.id == task_id, live).values(state=state.value, ended_at=ended))


def put_at(c: Connection, volume_id: str, instead_of: Volume, *, now: datetime) -> None:
    """Attaches the volume where ``instead_of`` is attached."""
    values: dict[str, Any] = {
        "state": VolumeState.IN_USE.value,
        "instance_id": instead_of.instance_id,
        "device_name": instead_of.device_name,
        "delete_on_termination": instead_of.delete_on_termination,
        "attached_at": now,
        "attachment_state": AttachmentState.ATTACHED.value,
    }
    c.execute(update(V).where(V.c.id == volume_id).values(**values))


def _task(row: Row[Any]) -> RootReplacement:
    values = {name: getattr(row, name) for name in _NAMES}
    return RootReplacement(state=ReplacementState(row.state), **values)
