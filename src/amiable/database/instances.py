"""Queries on instances and reservations.

A state moves only by :func:`set_state`, which asks ``rules/lifecycle``, and meters the time in ``running`` (``database/metering``).
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, func, insert, literal, or_, select, update

from amiable.database import interfaces, metering, product_codes
from amiable.database.connect import Instant
from amiable.database.schema import instance as I
from amiable.database.schema import reservation as R
from amiable.database.schema import volume as V
from amiable.database.tags import batches, forget
from amiable.model.instance import TERMINATED_VISIBLE, Instance, MetadataOptions, Reason, Reservation, State
from amiable.model.product import ProductCode
from amiable.rules import lifecycle
from amiable.rules.lifecycle import Event

FORGOTTEN_MAX: Final = 100
_FIXED: Final = {"id", "account_id", "region", "zone", "reservation_id", "image_id", "boot_count", "launched_at"}

_PLAIN = tuple(
    f.name for f in fields(Instance) if f.name not in ("state", "metadata", "security_group_ids", "product_codes")
)


def insert_reservation(c: Connection, reservation: Reservation) -> None:
    """Inserts it."""
    c.execute(
        insert(R).values(
            id=reservation.id,
            account_id=reservation.account_id,
            region=reservation.region,
            created_at=reservation.created_at,
        )
    )


def insert_instance(c: Connection, instance: Instance) -> None:
    """Inserts it; its reservation comes first."""
    values: dict[str, Any] = {name: getattr(instance, name) for name in _PLAIN}
    c.execute(
        insert(I).values(
            **values,
            state=instance.state.value,
            security_group_ids=" ".join(instance.security_group_ids),
            http_tokens=instance.metadata.http_tokens,
            http_endpoint=instance.metadata.http_endpoint,
            http_hop_limit=instance.metadata.http_hop_limit,
            instance_metadata_tags=instance.metadata.instance_metadata_tags,
            http_protocol_ipv6=instance.metadata.http_protocol_ipv6,
        )
    )
    product_codes.put_codes(c, instance.id, instance.product_codes)


def get_instance(c: Connection, instance_id: str) -> Instance | None:
    """The instance, whoever owns it and however long ago it ended."""
    row = c.execute(select(I).where(I.c.id == instance_id)).first()
    return None if row is None else _instances(c, [row])[0]


def list_visible(
    c: Connection, account_id: str, region: str, *, now: datetime, ids: Sequence[str] = ()
) -> list[Instance]:
    """The account's instances that Describe calls show (terminated ones for an hour), by launch, then id; only ``ids`` when given."""
    visible = or_(I.c.terminated_at.is_(None), I.c.terminated_at > now - TERMINATED_VISIBLE)
    query = select(I).where(I.c.account_id == account_id, I.c.region == region, visible)
    if ids:
        query = query.where(I.c.id.in_(list(ids)))
    return _instances(c, c.execute(query.order_by(I.c.reservation_id, I.c.launch_index, I.c.id)).all())


def list_states(c: Connection, states: Sequence[State], *, host: str | None = None) -> list[Instance]:
    """Every account's instances in one of ``states``; of one host when given.  What supervision and the host's limits need."""
    query = select(I).where(I.c.state.in_([state.value for state in states]))
    if host is not None:
        query = query.where(or_(I.c.host.is_(None), I.c.host == host))
    return _instances(c, c.execute(query.order_by(I.c.id)).all())


def list_live_types(c: Connection, host: str) -> list[str]:
    """The type of each instance that holds a machine on ``host`` now or soon: pending, running, stopping, shutting-down."""
    live = [State.PENDING.value, State.RUNNING.value, State.STOPPING.value, State.SHUTTING_DOWN.value]
    query = select(I.c.instance_type).where(and_(I.c.state.in_(live), I.c.host == host))
    return list(c.execute(query.order_by(I.c.id)).scalars())


def set_state(
    c: Connection, instance_id: str, event: Event, *, now: datetime, reason: Reason | None = None
) -> Instance:
    """The instance after ``event``, written; raises IncorrectInstanceState where ``rules/lifecycle`` has no arrow.

    A ``reason`` replaces the old one; without one, starting clears it, so does running (but why it came to that stays), and every
    other event leaves it.  An event that changes no state writes nothing.
    """
    before = get_instance(c, instance_id)
    assert before is not None, instance_id
    after = lifecycle.step(instance_id, before.state, event)
    if after == before.state:
        return before
    values: dict[str, Any] = {"state": after.value, "state_changed_at": now, "impaired_at": None}
    if reason is not None:
        values |= {
            "state_reason_code": reason.code,
            "state_reason_message": reason.message,
            "transition_reason": reason.transition,
        }
    elif event is Event.START_ASKED:
        values |= {"state_reason_code": None, "state_reason_message": None, "transition_reason": ""}
    if event is Event.START_ASKED:
        values |= {"launched_at": now, "rebooted_at": None, "reached_metadata_at": None}
    if event in (Event.HOST_RESTARTED, Event.STARTED_ANEW):
        values |= {"rebooted_at": now, "reached_metadata_at": None}
    if event is Event.BOOTED:
        values |= {"boot_count": before.boot_count + 1, "state_reason_code": None, "state_reason_message": None}
    if after is State.TERMINATED:
        values |= {"terminated_at": now}
    c.execute(update(I).where(I.c.id == instance_id).values(**values))
    changed = get_instance(c, instance_id)
    assert changed is not None
    if after is State.TERMINATED:
        interfaces.release(c, instance_id)
    may_run = before.state in (State.RUNNING, State.PENDING)
    if may_run and after is not State.RUNNING and event is not Event.STARTED_ANEW:  # a reboot ends no run
        metering.end_runs(c, instance_id, now=now)
    if after is State.RUNNING:
        metering.begin_runs(c, changed, now=now)
    return changed


def change(c: Connection, instance_id: str, **facts: Any) -> None:
    """Records attributes of an instance; its state is not one of them (:func:`set_state`)."""
    assert facts and set(facts) <= set(_PLAIN) - _FIXED | {"security_group_ids"}, facts
    if "security_group_ids" in facts:
        facts["security_group_ids"] = " ".join(facts["security_group_ids"])
    c.execute(update(I).where(I.c.id == instance_id).values(**facts))


def set_metadata_options(c: Connection, instance_id: str, options: MetadataOptions) -> None:
    """Records how the metadata service answers the instance from now on."""
    c.execute(
        update(I)
        .where(I.c.id == instance_id)
        .values(
            http_tokens=options.http_tokens,
            http_endpoint=options.http_endpoint,
            http_hop_limit=options.http_hop_limit,
            instance_metadata_tags=options.instance_metadata_tags,
            http_protocol_ipv6=options.http_protocol_ipv6,
        )
    )


def tell_tags(c: Connection, instance_ids: Sequence[str]) -> bool:
    """Whether the metadata of one of the instances tells its tags."""
    for some in batches(instance_ids):
        told = select(I.c.id).where(I.c.id.in_(some), I.c.instance_metadata_tags == "enabled").limit(1)
        if c.execute(told).first() is not None:
            return True
    return False


def set_reached_metadata(c: Connection, instance_id: str, at: datetime) -> None:
    """Records this boot's first metadata request; later ones change nothing."""
    c.execute(update(I).where(I.c.id == instance_id, I.c.reached_metadata_at.is_(None)).values(reached_metadata_at=at))


def set_rebooted(c: Connection, instance_id: str, at: datetime) -> None:
    """The running guest begins anew: nothing was heard of it yet, and nothing is wrong with it yet."""
    running = and_(I.c.id == instance_id, I.c.state == State.RUNNING.value)
    values = {"state_reason_code": None, "state_reason_message": None, "reached_metadata_at": None}
    c.execute(update(I).where(running).values(rebooted_at=at, **values))


def set_reason(c: Connection, instance_id: str, reason: Reason | None, *, at: datetime | None = None) -> None:
    """Writes why a running instance is not well (``at``: since when it stands still), or None that it is well; its state stays."""
    running = and_(I.c.id == instance_id, I.c.state == State.RUNNING.value)
    code, message = (None, None) if reason is None else (reason.code, reason.message)
    since = None if reason is None or at is None else func.coalesce(I.c.impaired_at, literal(at, Instant))
    values = {"state_reason_code": code, "state_reason_message": message, "impaired_at": since}
    c.execute(update(I).where(running).values(**values))


def forget_terminated(c: Connection, *, now: datetime) -> list[str]:
    """Deletes instances that no call shows any more, with their tags and empty reservations: user data is not kept for ever.

    At most :data:`FORGOTTEN_MAX` at a time; returns their ids.
    """
    is_bare = ~select(V.c.id).where(V.c.instance_id == I.c.id).exists()
    old = (I.c.state == State.TERMINATED.value, I.c.terminated_at <= now - TERMINATED_VISIBLE, is_bare)
    rows = c.execute(select(I.c.id, I.c.reservation_id).where(*old).order_by(I.c.id).limit(FORGOTTEN_MAX)).all()
    gone = [row.id for row in rows]
    for instance_id in gone:
        forget(c, instance_id)
        product_codes.forget_codes(c, instance_id)
    c.execute(delete(I).where(I.c.id.in_(gone)))
    used = select(I.c.id).where(I.c.reservation_id == R.c.id).exists()
    c.execute(delete(R).where(R.c.id.in_({row.reservation_id for row in rows}), ~used))
    return gone


def get_reservation(c: Connection, reservation_id: str) -> Reservation | None:
    """The reservation; ``None`` once all of its instances are forgotten."""
    row = c.execute(select(R).where(R.c.id == reservation_id)).first()
    return None if row is None else Reservation(row.id, row.account_id, row.region, row.created_at)


def _instances(c: Connection, rows: Sequence[Row[Any]]) -> list[Instance]:
    codes = product_codes.codes_of_many(c, [row.id for row in rows])
    return [_instance(row, codes.get(row.id, ())) for row in rows]


def _instance(row: Row[Any], codes: tuple[ProductCode, ...]) -> Instance:
    values = {name: getattr(row, name) for name in _PLAIN}
    return Instance(
        **values,
        state=State(row.state),
        security_group_ids=tuple(row.security_group_ids.split()),
        product_codes=codes,
        metadata=MetadataOptions(
            row.http_tokens,
            row.http_endpoint,
            row.http_hop_limit,
            row.instance_metadata_tags,
            row.http_protocol_ipv6,
        ),
    )
