"""The log's lines: added, read, and never changed; triggers hold them so.

On SQLite writers take turns, so lines become visible in the order of their numbers: who follows the log by them misses none.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, insert, select

from amiable.database.schema import event as E
from amiable.database.statement import Statement
from amiable.model.event import Asker, Event, Outcome

_INSERT = Statement(insert(E))
_ASKER = tuple(Asker.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines; None stands for no restriction.  Without ``after`` and ``since`` they are the newest."""

    account_id: str | None
    after: int | None = None
    since: datetime | None = None
    size: int = 100


def insert_event(c: Connection, event: Event) -> None:
    """Adds a line, in the caller's transaction."""
    row = {name: getattr(event.asker, name) for name in _ASKER}
    row |= {name: getattr(event, name) for name in ("service", "action", "parameters", "error_code", "created_at")}
    row |= {"resource_ids": msgspec.json.encode(event.resource_ids).decode(), "outcome": event.outcome.value}
    _INSERT.execute(c, row)


def list_events(c: Connection, wanted: Wanted) -> list[Event]:
    """The lines, oldest first."""
    query = select(E)
    if wanted.account_id is not None:
        query = query.where(E.c.account_id == wanted.account_id)
    if wanted.since is not None:
        query = query.where(E.c.created_at >= wanted.since)
    if wanted.after is not None:
        query = query.where(E.c.number > wanted.after)
    is_newest = wanted.after is None and wanted.since is None
    order = E.c.number.desc() if is_newest else E.c.number
    rows = c.execute(query.order_by(order).limit(wanted.size)).all()
    found = [
        Event(
            asker=Asker(*(getattr(row, name) for name in _ASKER)),
            service=row.service,
            action=row.action,
            resource_ids=tuple(msgspec.json.decode(row.resource_ids)),
            parameters=row.parameters,
            outcome=Outcome(row.outcome),
            error_code=row.error_code,
            created_at=row.created_at,
            number=row.number,
        )
        for row in rows
    ]
    return found[::-1] if is_newest else found


def last_number(c: Connection) -> int:
    """The newest line's place in the log; 0 where there is none."""
    return int(c.execute(select(func.coalesce(func.max(E.c.number), 0))).scalar_one())
