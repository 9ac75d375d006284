"""Queries on the course of an instance's boots; they go with its row."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from amiable.database.schema import boot as B
from amiable.database.tags import batches
from amiable.model.boot import Boot, Cause, Fault, Mark

BOOTS_MAX: Final = 20
"""Kept of one instance, the newest: a guest that panics resets itself again and again."""
WORDS_MAX: Final = 1000


def begin_boot(c: Connection, instance_id: str, boot: Boot) -> Boot:
    """Keeps a boot that begins, after the earlier ones; as it is kept, with its position."""
    last = c.execute(select(func.max(B.c.position)).where(B.c.instance_id == instance_id)).scalar_one_or_none()
    begun = replace(boot, position=(last or 0) + 1)
    c.execute(
        insert(B).values(
            instance_id=instance_id,
            position=begun.position,
            machine=begun.machine,
            is_reset=begun.is_reset,
            began_at=begun.began_at,
            **_course(begun),
        )
    )
    c.execute(delete(B).where(B.c.instance_id == instance_id, B.c.position <= begun.position - BOOTS_MAX))
    return begun


def put_course(c: Connection, instance_id: str, boot: Boot) -> None:
    """Keeps how far the boot has come, and its cause."""
    mine = (B.c.instance_id == instance_id) & (B.c.position == boot.position)
    c.execute(update(B).where(mine).values(**_course(boot)))


def list_boots(c: Connection, instance_id: str) -> list[Boot]:
    """The instance's boots, the oldest first."""
    query = select(B).where(B.c.instance_id == instance_id).order_by(B.c.position)
    return [_boot(row) for row in c.execute(query)]


def last_boots(c: Connection, instance_ids: Sequence[str]) -> dict[str, Boot]:
    """Instance id → its latest boot; no entry for one that never began to boot."""
    found: dict[str, Boot] = {}
    for some in batches(instance_ids):
        last = select(B.c.instance_id, func.max(B.c.position).label("position")).where(B.c.instance_id.in_(some))
        newest = last.group_by(B.c.instance_id).subquery()
        is_newest = (newest.c.instance_id == B.c.instance_id) & (newest.c.position == B.c.position)
        query = select(B).join(newest, is_newest)
        found |= {row.instance_id: _boot(row) for row in c.execute(query)}
    return found


def _course(boot: Boot) -> dict[str, Any]:
    return {
        "marks": msgspec.json.encode(boot.marks).decode(),
        "cause": boot.cause.fault.value if boot.cause else None,
        "cause_words": boot.cause.words[:WORDS_MAX] if boot.cause else None,
    }


def _boot(row: Row[Any]) -> Boot:
    cause = None if row.cause is None else Cause(Fault(row.cause), row.cause_words or "")
    marks = msgspec.json.decode(row.marks, type=tuple[Mark, ...])
    return Boot(row.position, row.machine, row.is_reset, row.began_at, marks, cause)
