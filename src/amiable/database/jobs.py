"""Durable jobs: a leased table beside the facts.

    queued ──pick──▶ running ──finish──▶ done
      ▲                │ ├────fail─────▶ failed
      │                │ └───cancel────▶ cancelled
      └──retry / put back / lease lapsed (another process picks it)

A job's row is written in the caller's transaction (:func:`enqueue`).  A worker picks it under a lease and a fencing token; each
save carries the token, so a worker that lost its lease writes nothing more (:class:`Lost`).  A job is safe to run twice, or
saves in the same transaction as its effect.  The key is the resource's id and verb: enqueueing a live key again is a no-op.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from amiable.database.schema import job as J

LEASE = timedelta(seconds=30)
PRIORITY: Final = 100
SLOW_PRIORITY: Final = 1000
"""From here on: jobs of machines that have been silent, which wait for each other only."""
ENDED = ("done", "failed", "cancelled")


class Lost(Exception):
    """Another process holds the job now: write nothing more."""


class Cancelled(Exception):
    """The job was asked to end; undo what is half done."""


@dataclass(frozen=True, slots=True)
class Job:
    """A picked job: what it is for, its checkpoint, and the token that fences its saves."""

    key: str
    kind: str
    token: str
    tries: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is asked for; without a host any may pick it."""

    kind: str
    key: str
    data: Mapping[str, Any]
    host: str | None = None


def enqueue(c: Connection, job: NewJob, *, now: datetime) -> bool:
    """Inserts the job unless one of its key is queued or running; replaces an ended one.  Says whether it did."""
    state = c.execute(select(J.c.state).where(J.c.key == job.key)).scalar()
    if state is not None and state not in ENDED:
        return False
    if state is not None:
        c.execute(delete(J).where(J.c.key == job.key))
    row = {"key": job.key, "kind": job.kind, "host": job.host, "priority": PRIORITY, "data": json.dumps(job.data)}
    c.execute(
        insert(J).values(**row, state="queued", due=now, tries=0, cancel=False, progress_percent=0, created_at=now)
    )
    return True


@dataclass(frozen=True, slots=True)
class Lease:
    """Who takes a job: the worker's name, its host, and the token that will fence its saves."""

    owner: str
    host: str
    token: str


def pick(
    c: Connection, kinds: Collection[str], lease: Lease, *, now: datetime, is_slow: bool | None = None
) -> Job | None:
    """Leases the job that has been due for longest, or whose lease has lapsed, a slow one last; ``None`` when there is none.

    ``is_slow``: only one that is put back as such, or only one that is not.
    """
    due = or_(and_(J.c.state == "queued", J.c.due <= now), and_(J.c.state == "running", J.c.lease_until < now))
    choice = (
        select(J.c.key)
        .where(J.c.kind.in_(kinds), or_(J.c.host.is_(None), J.c.host == lease.host), due)
        .order_by(J.c.priority, J.c.due)
        .limit(1)
    )
    if is_slow is not None:
        choice = choice.where((J.c.priority >= SLOW_PRIORITY) if is_slow else (J.c.priority < SLOW_PRIORITY))
    if c.dialect.name == "postgresql":
        choice = choice.with_for_update(skip_locked=True)
    row = c.execute(
        update(J)
        .where(J.c.key == choice.scalar_subquery())
        .values(state="running", owner=lease.owner, token=lease.token, lease_until=now + LEASE, tries=J.c.tries + 1)
        .returning(J.c.key, J.c.kind, J.c.tries, J.c.data)
    ).first()
    return None if row is None else Job(row.key, row.kind, lease.token, row.tries, json.loads(row.data))


def _held(job: Job) -> ColumnElement[bool]:
    """The fence: the row is still this job's, under this token."""
    return and_(J.c.key == job.key, J.c.token == job.token, J.c.state == "running")


def save(c: Connection, job: Job, *, data: dict[str, Any], now: datetime, progress_percent: int = 0) -> Job:
    """Checkpoints: data, progress and lease in one fenced statement.  Raises Lost or Cancelled.

    Use it inside the transaction of the effect it records, and the two stand or fall together.
    """
    row = c.execute(
        update(J)
        .where(_held(job))
        .values(data=json.dumps(data), progress_percent=progress_percent, lease_until=now + LEASE)
        .returning(J.c.cancel)
    ).first()
    if row is None:
        raise Lost(job.key)
    if row.cancel:
        raise Cancelled(job.key)
    return replace(job, data=data)


def finish(c: Connection, job: Job, *, now: datetime, state: str = "done", error: str | None = None) -> None:
    """Ends the job, fenced.  Raises Lost."""
    assert state in ENDED
    values = {"state": state, "error": error, "ended_at": now, "lease_until": None, "progress_percent": 100}
    if c.execute(update(J).where(_held(job)).values(**values).returning(J.c.key)).first() is None:
        raise Lost(job.key)


def retry(c: Connection, job: Job, *, now: datetime, after: timedelta, error: str) -> None:
    """Puts the job back into the queue for later, fenced; a job that is no longer ours stays as it is."""
    c.execute(
        update(J).where(_held(job)).values(state="queued", due=now + after, error=error, lease_until=None, owner=None)
    )


def put_back(c: Connection, job: Job, *, now: datetime, after: timedelta, is_slow: bool = False) -> None:
    """Puts a job that waits back into the queue, with its data, fenced: that was no try of it.

    ``is_slow``: from now on it is among those that are, until it ends.
    """
    values: dict[str, Any] = {
        "state": "queued",
        "due": now + after,
        "tries": J.c.tries - 1,
        "lease_until": None,
        "owner": None,
    }
    if is_slow:
        values["priority"] = SLOW_PRIORITY
    c.execute(update(J).where(_held(job)).values(data=json.dumps(job.data), **values))


def hasten(c: Connection, keys: Collection[str], now: datetime) -> None:
    """Lets those that were put back be picked now."""
    waiting = and_(J.c.key.in_(keys), J.c.state == "queued", J.c.due > now)
    c.execute(update(J).where(waiting).values(due=now))


def renew(c: Connection, *, owner: str, keys: Collection[str], now: datetime) -> set[str]:
    """Renews the leases that ``owner`` has on ``keys``; returns the keys of those that were asked to end.

    What is not among ``keys`` lapses: a job whose end could not be written (a full disk) is picked again.  One that has lapsed is
    renewed, too, where nobody has picked it since.
    """
    mine = and_(J.c.owner == owner, J.c.key.in_(keys), J.c.state == "running")
    rows = c.execute(update(J).where(mine).values(lease_until=now + LEASE).returning(J.c.key, J.c.cancel)).all()
    return {row.key for row in rows if row.cancel}


def release_all(c: Connection, *, host: str, now: datetime) -> int:
    """At a start under the lock that proves this process is alone on ``host``: every running job may be picked again."""
    mine = and_(J.c.state == "running", or_(J.c.owner.like(host + ":%"), J.c.owner.is_(None)))
    return c.execute(update(J).where(mine).values(state="queued", due=now, lease_until=None)).rowcount


def is_live(c: Connection, key: str) -> bool:
    """Whether a job of this key is queued or running."""
    return c.execute(select(J.c.state).where(J.c.key == key)).scalar() in ("queued", "running")


def live_data(c: Connection, kinds: Collection[str]) -> list[dict[str, Any]]:
    """The checkpoints of the jobs of these kinds that are queued or running."""
    found = c.execute(select(J.c.data).where(J.c.kind.in_(kinds), J.c.state.not_in(ENDED))).scalars()
    return [json.loads(data) for data in found]


def cancel(c: Connection, key: str) -> None:
    """Asks the job to end: a queued one at once, a running one at its next save."""
    c.execute(update(J).where(J.c.key == key, J.c.state == "queued").values(state="cancelled"))
    c.execute(update(J).where(J.c.key == key, J.c.state == "running").values(cancel=True))


def ask_to_end(c: Connection, key: str) -> None:
    """Asks a running job to end at its next save; a queued one is left to see for itself that it is not wanted, and to clean up."""
    c.execute(update(J).where(J.c.key == key, J.c.state == "running").values(cancel=True))
