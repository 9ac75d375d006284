"""Bundle task rows.  A state moves only by :func:`move`, which asks ``rules/bundle_task``."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from amiable.database.schema import bundle_task as B
from amiable.model.bundle_task import ENDED, BundleState, BundleTask, TaskError
from amiable.rules import bundle_task
from amiable.rules.bundle_task import Event

MESSAGE_CHARACTERS_MAX: Final = 1000

_PLAIN = tuple(field.name for field in fields(BundleTask) if field.name not in ("state", "error"))
_LIVE = [state.value for state in BundleState if state not in ENDED]


def insert_task(c: Connection, task: BundleTask) -> None:
    """Writes a new task."""
    assert task.error is None
    c.execute(insert(B).values(**{name: getattr(task, name) for name in _PLAIN}, state=task.state.value))


def get_task(c: Connection, task_id: str) -> BundleTask | None:
    """The task, whoever owns it."""
    row = c.execute(select(B).where(B.c.id == task_id)).first()
    return None if row is None else _task(row)


def list_tasks(c: Connection, account_id: str, region: str, *, ids: Sequence[str] = ()) -> list[BundleTask]:
    """The account's tasks, oldest first; only ``ids`` when given."""
    query = select(B).where(B.c.account_id == account_id, B.c.region == region)
    if ids:
        query = query.where(B.c.id.in_(list(ids)))
    return [_task(row) for row in c.execute(query.order_by(B.c.started_at, B.c.id))]


def live_task_of(c: Connection, instance_id: str) -> BundleTask | None:
    """The instance's task that has not ended; there is one at most."""
    row = c.execute(select(B).where(B.c.instance_id == instance_id, B.c.state.in_(_LIVE))).first()
    return None if row is None else _task(row)


def live_task_at(c: Connection, bucket: str, prefix: str) -> BundleTask | None:
    """The task that is about to write there; there is one at most."""
    row = c.execute(select(B).where(B.c.bucket == bucket, B.c.prefix == prefix, B.c.state.in_(_LIVE))).first()
    return None if row is None else _task(row)


def move(c: Connection, task: BundleTask, event: Event, *, now: datetime, error: TaskError | None = None) -> BundleTask:
    """The task after ``event``, written; raises IncorrectState where ``rules/bundle_task`` has no arrow."""
    after = bundle_task.step(task, event)
    values: dict[str, Any] = {"state": after.value, "updated_at": now}
    if event is Event.BEGAN:
        values |= {"progress_percent": 0}
    if event is Event.STORED:
        values |= {"progress_percent": 100}
    if error is not None:
        values |= {"error_code": error.code, "error_message": error.message[:MESSAGE_CHARACTERS_MAX]}
    c.execute(update(B).where(B.c.id == task.id).values(**values))
    changed = get_task(c, task.id)
    assert changed is not None
    return changed


def report(c: Connection, task_id: str, *, progress_percent: int, now: datetime) -> None:
    """Notes how far a task is that is bundling."""
    busy = (B.c.id == task_id) & (B.c.state == BundleState.BUNDLING.value)
    c.execute(update(B).where(busy).values(progress_percent=progress_percent, updated_at=now))


def _task(row: Row[Any]) -> BundleTask:
    error = None if row.error_code is None else TaskError(row.error_code, row.error_message or "")
    return BundleTask(state=BundleState(row.state), error=error, **{name: getattr(row, name) for name in _PLAIN})
