"""Metering records: a row when a run begins, another when it ends, and neither is ever changed.

``database/instances.set_state`` begins and ends runs in the transaction of the state change itself, so that no crash comes between
the two.  While a run is open, ``metering_seen`` says for how long it was last seen to have run; supervision writes that.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Select, delete, insert, or_, select, type_coerce, update

from amiable.database.connect import milliseconds
from amiable.database.schema import instance as I
from amiable.database.schema import metering_end as E
from amiable.database.schema import metering_run as R
from amiable.database.schema import metering_seen as S
from amiable.database.tags import batches
from amiable.model.instance import Instance, State
from amiable.model.metering import OpenRun, Run, SteadyInstant
from amiable.rules import metering as rules

_OPEN: Final = select(R.c.id, R.c.instance_id, R.c.boot, R.c.steady_ms, S.c.duration_ms).join(S, S.c.run_id == R.c.id)


def begin_runs(c: Connection, instance: Instance, *, now: datetime) -> None:
    """Opens a run for each of the instance's product codes but those whose run goes on: not one of an earlier boot of the host."""
    if not instance.product_codes:
        return
    steady = _steady(c)
    going_on = c.execute(_OPEN.add_columns(R.c.code).where(R.c.instance_id == instance.id)).all()
    if any(row.boot != steady.boot for row in going_on):
        end_runs(c, instance.id, now=now)
        going_on = []
    started_at = rules.began_at(now, earlier=_last_end(c, instance.id))
    for each in instance.product_codes:
        if any(row.code == each.code for row in going_on):
            continue
        values: dict[str, Any] = {
            "instance_id": instance.id,
            "account_id": instance.account_id,
            "code": each.code,
            "region": instance.region,
            "instance_type": instance.instance_type,
            "started_at": started_at,
            "boot": steady.boot,
            "steady_ms": steady.milliseconds,
        }
        made = c.execute(insert(R).values(**values)).inserted_primary_key
        assert made is not None
        c.execute(insert(S).values(run_id=made[0], duration_ms=0))


def end_runs(c: Connection, instance_id: str, *, now: datetime) -> None:
    """Records the ends of the instance's open runs, with their lengths."""
    steady = _steady(c)
    for row in c.execute(_OPEN.where(R.c.instance_id == instance_id).order_by(R.c.id)).all():
        length = rules.length_ms(_open_run(row), steady)
        c.execute(insert(E).values(run_id=row.id, duration_ms=length, recorded_at=now))
        c.execute(delete(S).where(S.c.run_id == row.id))


def note_seen(c: Connection, instances: Iterable[Instance], *, now: datetime) -> None:
    """Notes that the instances' guests are there now; of one that ran before it was metered, a run begins.

    Passes over those that have left ``running`` meanwhile.
    """
    known = {each.id: each for each in instances}
    steady = _steady(c)
    for some in batches(list(known)):
        still = select(I.c.id).where(I.c.id.in_(some), I.c.state == State.RUNNING.value)
        running = set(c.execute(still).scalars())
        metered: set[str] = set()
        for row in c.execute(_OPEN.where(R.c.instance_id.in_(running))).all():
            metered.add(row.instance_id)
            seen = rules.seen_ms(_open_run(row), steady)
            c.execute(update(S).where(S.c.run_id == row.id).values(duration_ms=seen))
        for instance_id in sorted(running - metered):
            begin_runs(c, known[instance_id], now=now)


def list_runs(
    c: Connection, *, codes: Sequence[str], account_id: str | None = None, after: datetime, before: datetime
) -> list[Run]:
    """Runs under ``codes`` that began before ``before`` and went on at ``after`` or later, oldest first; one account's, or all."""
    lengths = E.c.duration_ms.label("ended_ms"), S.c.duration_ms.label("seen_ms")
    query: Select[Any] = select(R, *lengths).outerjoin(E, E.c.run_id == R.c.id).outerjoin(S, S.c.run_id == R.c.id)
    ended = type_coerce(R.c.started_at, BigInteger) + E.c.duration_ms
    query = query.where(R.c.started_at < before, or_(E.c.run_id.is_(None), ended >= milliseconds(after)))
    query = query.where(R.c.code.in_(list(codes)))
    if account_id is not None:
        query = query.where(R.c.account_id == account_id)
    return [
        Run(
            instance_id=row.instance_id,
            account_id=row.account_id,
            code=row.code,
            region=row.region,
            instance_type=row.instance_type,
            started_at=row.started_at,
            duration_ms=row.seen_ms if row.ended_ms is None else row.ended_ms,
            is_open=row.ended_ms is None,
        )
        for row in c.execute(query.order_by(R.c.id))
    ]


def codes_run_by(c: Connection, account_id: str) -> set[str]:
    """The codes under which the account ever ran an instance."""
    return set(c.execute(select(R.c.code).where(R.c.account_id == account_id).distinct()).scalars())


def _last_end(c: Connection, instance_id: str) -> datetime | None:
    query = select(R.c.started_at, E.c.duration_ms).join(E, E.c.run_id == R.c.id).where(R.c.instance_id == instance_id)
    ends = [row.started_at + timedelta(milliseconds=row.duration_ms) for row in c.execute(query)]
    return max(ends, default=None)


def _open_run(row: Any) -> OpenRun:
    return OpenRun(row.id, SteadyInstant(row.boot, row.steady_ms), row.duration_ms)


def _steady(c: Connection) -> SteadyInstant:
    """The clock of the database whose transaction this is."""
    read: Any = c.get_execution_options()["amiable_steady"]
    found = read()
    assert isinstance(found, SteadyInstant)
    return found
