"""Queries on volumes.  A deleted volume's row goes away: what it was made of may then be deleted too."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from amiable.database.product_codes import forget_codes
from amiable.database.schema import snapshot as S
from amiable.database.schema import volume as V
from amiable.database.tags import batches, forget
from amiable.database.text_match import is_one_of
from amiable.model.snapshot import PENDING
from amiable.model.units import GIB
from amiable.model.volume import AttachmentState, Volume, VolumeState
from amiable.model.volume_modification import Modification

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


def list_volumes(c: Connection, account_id: str, region: str, *, ids: Sequence[str] | None = None) -> list[Volume]:
    """The account's volumes in the order of their ids, ``ids`` only if given; instance-store disks never."""
    query = select(V).where(V.c.account_id == account_id, V.c.region == region, V.c.is_instance_store.is_(False))
    if ids is not None:
        query = query.where(is_one_of(V.c.id, ids))
    return [_volume(row) for row in c.execute(query.order_by(V.c.id))]


def count_volumes(c: Connection, account_id: str, region: str) -> int:
    """How many volumes the account has in the region; instance-store disks are none."""
    mine = (V.c.account_id == account_id) & (V.c.region == region) & V.c.is_instance_store.is_(False)
    return int(c.execute(select(func.count()).select_from(V).where(mine)).scalar_one())


def find_own(c: Connection, account_id: str, region: str, volume_id: str) -> Volume | None:
    """The account's volume of this id."""
    found = list_volumes(c, account_id, region, ids=[volume_id])
    return found[0] if found else None


def list_moving(c: Connection) -> list[Volume]:
    """Every account's volumes that a job has work on: attaching, detaching, deleting."""
    moving = [AttachmentState.ATTACHING.value, AttachmentState.DETACHING.value]
    query = select(V).where(or_(V.c.attachment_state.in_(moving), V.c.state == VolumeState.DELETING.value))
    return [_volume(row) for row in c.execute(query.order_by(V.c.id))]


def is_being_read(c: Connection, volume_id: str) -> bool:
    """Whether a snapshot is being made of the volume."""
    query = select(S.c.id).where(S.c.volume_id == volume_id, S.c.state == PENDING).limit(1)
    return c.execute(query).first() is not None


def existing_volumes(c: Connection, volume_ids: Sequence[str]) -> set[str]:
    """Those of the ids that there are rows of."""
    return set(c.execute(select(V.c.id).where(is_one_of(V.c.id, volume_ids))).scalars())


def attach_volume(c: Connection, volume_id: str, instance_id: str, device_name: str, *, now: datetime) -> None:
    """The volume is in use: attaching."""
    values: dict[str, Any] = {
        "state": VolumeState.IN_USE.value,
        "instance_id": instance_id,
        "device_name": device_name,
        "attached_at": now,
        "attachment_state": AttachmentState.ATTACHING.value,
        "delete_on_termination": False,
    }
    c.execute(update(V).where(V.c.id == volume_id).values(**values))


def set_attachment(c: Connection, volume_id: str, state: AttachmentState) -> None:
    """Moves the attachment of a volume in use."""
    c.execute(update(V).where(V.c.id == volume_id, V.c.instance_id.is_not(None)).values(attachment_state=state.value))


def set_deleting(c: Connection, volume_id: str) -> None:
    """The volume goes: it can be attached no more."""
    c.execute(update(V).where(V.c.id == volume_id).values(state=VolumeState.DELETING.value))


def set_auto_enable_io(c: Connection, volume_id: str, value: bool) -> None:
    """Records the attribute."""
    c.execute(update(V).where(V.c.id == volume_id).values(auto_enable_io=value))


def set_figures(c: Connection, volume_id: str, after: Modification) -> None:
    """Makes the volume what the change made of it."""
    values: dict[str, Any] = {
        "size_gib": after.target_size_gib,
        "size_bytes": after.target_size_gib * GIB,
        "volume_type": after.target_type,
        "iops": after.target_iops,
        "throughput": after.target_throughput,
    }
    c.execute(update(V).where(V.c.id == volume_id).values(**values))


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
