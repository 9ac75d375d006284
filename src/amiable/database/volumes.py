"""Queries on volumes.  A deleted volume's row goes away: what it was made of may then be deleted too."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from amiable.database.product_codes import forget_codes
from amiable.database.schema import volume as V
from amiable.database.tags import batches, forget
from amiable.database.text_match import is_one_of
from amiable.model.volume import AttachmentState, Volume, VolumeState

_NAMES = tuple(f.name for f in fields(Volume) if f.name not in ("state", "attachment_state"))


def insert_volume(c: Connection, volume: Volume) -> None:
    """Inserts it."""
    attachment = None if volume.attachment_state is None else volume.attachment_state.value
    c.execute(insert(V).values({**asdict(volume), "state": volume.state.value, "attachment_state": attachment}))


def get_volume(c: Connection, volume_id: str) -> Volume | None:
    """The volume, whoever owns it."""
    row = c.execute(select(V).where(V.c.id == volume_id)).first()
    return None if row is None else _volume(row)


def of_others(c: Connection, account_id: str, volume_ids: Sequence[str]) -> set[str]:
    """Those of ``volume_ids`` that are other accounts'."""
    theirs = is_one_of(V.c.id, volume_ids) & (V.c.account_id != account_id)
    return set(c.execute(select(V.c.id).where(theirs)).scalars())


def volumes_of(c: Connection, instance_id: str) -> list[Volume]:
    """The volumes attached to one instance, by device name."""
    return [
        _volume(row) for row in c.execute(select(V).where(V.c.instance_id == instance_id).order_by(V.c.device_name))
    ]


def volumes_of_many(c: Connection, instance_ids: Sequence[str]) -> dict[str, list[Volume]]:
    """Instance id → its volumes, by device name."""
    found: dict[str, list[Volume]] = {instance_id: [] for instance_id in instance_ids}
    for some in batches(instance_ids):
        for row in c.execute(select(V).where(V.c.instance_id.in_(some)).order_by(V.c.device_name)):
            found[row.instance_id].append(_volume(row))
    return found


def set_delete_on_termination(c: Connection, volume_id: str, goes: bool) -> None:
    """Whether the attached volume ends with its instance."""
    c.execute(update(V).where(V.c.id == volume_id, V.c.instance_id.is_not(None)).values(delete_on_termination=goes))


def detach_volume(c: Connection, volume_id: str) -> None:
    """The volume outlives its instance: available, attached to nothing."""
    values: dict[str, Any] = {"state": VolumeState.AVAILABLE.value, "attachment_state": None}
    values |= {"instance_id": None, "device_name": None, "attached_at": None, "delete_on_termination": False}
    c.execute(update(V).where(V.c.id == volume_id).values(**values))


def delete_volume(c: Connection, volume_id: str) -> None:
    """Deletes the row and the volume's tags."""
    forget(c, volume_id)
    forget_codes(c, volume_id)
    c.execute(delete(V).where(V.c.id == volume_id))


def _volume(row: Row[Any]) -> Volume:
    attachment = None if row.attachment_state is None else AttachmentState(row.attachment_state)
    values = {name: getattr(row, name) for name in _NAMES}
    return Volume(state=VolumeState(row.state), attachment_state=attachment, **values)
