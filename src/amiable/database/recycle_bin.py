"""Images and snapshots in the Recycle Bin: put there, listed, brought back, and found when their time is over.

What is binned keeps its rows: devices, blocks, tags, grants.  An image says so by its state, a snapshot by ``binned_at``; everything
that reads images or snapshots for another purpose leaves them out.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from amiable.database.schema import image as I
from amiable.database.schema import image_device as D
from amiable.database.schema import snapshot as S
from amiable.database.snapshots import COLUMNS
from amiable.model.image import ImageState, ImageType, RootDeviceType
from amiable.model.recycle_bin import BinnedImage, PlannedImage
from amiable.model.snapshot import COMPLETED, Snapshot

_BINNED: ColumnElement[bool] = I.c.state == ImageState.BINNED
_IMAGE = (I.c.id, I.c.account_id, I.c.name, I.c.description, I.c.deregistered_at, I.c.bin_exit_at, I.c.binned_from)


# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def put_image(c: Connection, image_id: str, *, now: datetime, exit_at: datetime) -> None:
    """Moves an image into the bin: its name is free, its grants stay for a restore."""
    values = {"deregistered_at": now, "bin_exit_at": exit_at, "binned_from": I.c.state, "state": str(ImageState.BINNED)}
    c.execute(update(I).where(I.c.id == image_id, I.c.deregistered_at.is_(None)).values(**values))


def take_image(c: Connection, image_id: str) -> None:
    """Brings an image back as it was; its name must be free."""
    values = {"state": I.c.binned_from, "binned_from": None, "deregistered_at": None, "bin_exit_at": None}
    c.execute(update(I).where(I.c.id == image_id, _BINNED).values(**values))


def list_images(
    c: Connection, account_id: str, region: str, *, now: datetime, ids: Sequence[str] | None = None
) -> list[BinnedImage]:
    """The account's binned images whose time is not over, in the order of their ids."""
    here = [I.c.account_id == account_id, I.c.region == region, _BINNED, I.c.bin_exit_at > now]
    if ids is not None:
        here.append(I.c.id.in_(ids))
    return [BinnedImage(*row) for row in c.execute(select(*_IMAGE).where(and_(*here)).order_by(I.c.id))]


def images_over(c: Connection, now: datetime, limit: int) -> list[str]:
    """Ids of binned images whose time is over."""
    over = select(I.c.id).where(_BINNED, I.c.bin_exit_at <= now)
    return list(c.execute(over.order_by(I.c.bin_exit_at).limit(limit)).scalars())


def images_needing(c: Connection, snapshot_id: str, now: datetime) -> list[str]:
    """Ids of binned images, their time not over, that are made of the snapshot."""
    needing = and_(D.c.snapshot_id == snapshot_id, _BINNED, I.c.bin_exit_at > now)
    query = select(I.c.id).join(D, D.c.image_id == I.c.id).where(needing)
    return list(c.execute(query.distinct().order_by(I.c.id)).scalars())


def snapshots_of(c: Connection, image_id: str) -> list[str]:
    """Ids of the snapshots that the image is made of, those that are gone too, in the order of its devices."""
    query = select(D.c.snapshot_id).where(D.c.image_id == image_id, D.c.snapshot_id.is_not(None))
    return list(dict.fromkeys(c.execute(query.order_by(D.c.position)).scalars()))


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def put_snapshot(c: Connection, snapshot_id: str, *, now: datetime, exit_at: datetime) -> None:
    """Moves a snapshot into the bin; its blocks stay referenced."""
    there = and_(S.c.id == snapshot_id, S.c.binned_at.is_(None))
    c.execute(update(S).where(there).values(binned_at=now, bin_exit_at=exit_at))


def take_snapshot(c: Connection, snapshot_id: str) -> None:
    """Brings a snapshot back."""
    c.execute(update(S).where(S.c.id == snapshot_id).values(binned_at=None, bin_exit_at=None))


def list_snapshots(
    c: Connection, account_id: str, region: str, *, now: datetime, ids: Sequence[str] | None = None
) -> list[Snapshot]:
    """The account's binned snapshots whose time is not over, in the order of their ids."""
    here = [S.c.account_id == account_id, S.c.region == region, S.c.bin_exit_at > now]
    if ids is not None:
        here.append(S.c.id.in_(ids))
    return [Snapshot(**row._mapping) for row in c.execute(select(*COLUMNS).where(and_(*here)).order_by(S.c.id))]


def snapshots_over(c: Connection, now: datetime, limit: int) -> list[str]:
    """Ids of binned snapshots whose time is over."""
    over = select(S.c.id).where(S.c.bin_exit_at <= now)
    return list(c.execute(over.order_by(S.c.bin_exit_at).limit(limit)).scalars())


def which_are_there(c: Connection, snapshot_ids: Sequence[str], now: datetime) -> dict[str, datetime | None]:
    """Those of ``snapshot_ids`` that are not gone, and since when each is binned; None: it is not."""
    there = or_(S.c.bin_exit_at.is_(None), S.c.bin_exit_at > now)
    rows = c.execute(select(S.c.id, S.c.binned_at).where(S.c.id.in_(snapshot_ids), there))
    return {row.id: row.binned_at for row in rows}


# ── the plan ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def images_to_plan(c: Connection, account_id: str, region: str, now: datetime) -> list[PlannedImage]:
    """The account's EBS-backed images that are there or in the bin, in the order of their ids; no rules looked at yet."""
    here = and_(
        I.c.account_id == account_id,
        I.c.region == region,
        I.c.image_type == ImageType.MACHINE,
        I.c.root_device_type == RootDeviceType.EBS,
        or_(I.c.state.in_((ImageState.AVAILABLE, ImageState.DISABLED)), and_(_BINNED, I.c.bin_exit_at > now)),
    )
    query = select(I.c.id, I.c.name, I.c.state, I.c.bin_exit_at).where(here).order_by(I.c.id)
    made_of: dict[str, list[str]] = {}
    devices = select(D.c.image_id, D.c.snapshot_id).join(I, I.c.id == D.c.image_id)
    for row in c.execute(devices.where(here, D.c.snapshot_id.is_not(None)).order_by(D.c.image_id, D.c.position)):
        made_of.setdefault(row.image_id, []).append(row.snapshot_id)
    return [
        PlannedImage(row.id, row.name, row.state, row.bin_exit_at, tuple(dict.fromkeys(made_of.get(row.id, ()))))
        for row in c.execute(query)
    ]


def snapshots_to_plan(c: Connection, account_id: str, region: str, now: datetime) -> dict[str, datetime | None]:
    """The account's completed snapshots that are there or in the bin: id → when it leaves the bin; None: it is not there."""
    there = or_(S.c.bin_exit_at.is_(None), S.c.bin_exit_at > now)
    here = and_(S.c.account_id == account_id, S.c.region == region, S.c.state == COMPLETED, there)
    return {row.id: row.bin_exit_at for row in c.execute(select(S.c.id, S.c.bin_exit_at).where(here))}
