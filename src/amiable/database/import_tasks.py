"""Import task rows."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Row, insert, select, update

from amiable.database.schema import import_snapshot_task as K
from amiable.model.import_task import ImportState, ImportTask

_NAMES = tuple(name for name in ImportTask.__dataclass_fields__ if name != "state")


def insert_task(c: Connection, task: ImportTask) -> None:
    """Writes a new task."""
    c.execute(insert(K).values(**{**asdict(task), "state": str(task.state)}))


def get(c: Connection, task_id: str) -> ImportTask | None:
    """The task, whoever owns it."""
    row = c.execute(select(K).where(K.c.id == task_id)).first()
    return None if row is None else _task(row)


def list_tasks(c: Connection, account_id: str, region: str, *, ids: Sequence[str] | None = None) -> list[ImportTask]:
    """The account's tasks in the order of their ids, ``ids`` only if given."""
    query = select(K).where(K.c.account_id == account_id, K.c.region == region)
    if ids is not None:
        query = query.where(K.c.id.in_(list(ids)))
    return [_task(row) for row in c.execute(query.order_by(K.c.id))]


def report(c: Connection, task_id: str, *, progress_percent: int, message: str) -> None:
    """Notes how far an active task is."""
    active = (K.c.id == task_id) & (K.c.state == ImportState.ACTIVE)
    c.execute(update(K).where(active).values(progress_percent=progress_percent, state_message=message[:1000]))


def complete(c: Connection, task_id: str, snapshot_id: str, message: str) -> bool:
    """active → completed.  ``False`` from any other state."""
    values = {"snapshot_id": snapshot_id, "progress_percent": 100, "state_message": message[:1000]}
    return _end(c, task_id, ImportState.COMPLETED, values)


def fail(c: Connection, task_id: str, message: str) -> bool:
    """active → error, with what to say about it.  ``False`` from any other state."""
    return _end(c, task_id, ImportState.ERROR, {"state_message": message[:1000]})


def _end(c: Connection, task_id: str, state: ImportState, values: dict[str, object]) -> bool:
    active = (K.c.id == task_id) & (K.c.state == ImportState.ACTIVE)
    return c.execute(update(K).where(active).values(state=str(state), **values)).rowcount == 1


def _task(row: Row[tuple[object, ...]]) -> ImportTask:
    return ImportTask(state=ImportState(row.state), **{name: getattr(row, name) for name in _NAMES})
