"""What keeps an image or a snapshot alive: one query a kind.  A new noun that refers to either adds its function to the table below.

of an image       instances, kernels' users, copies, shares, channels, parameters, launch templates, subscriptions, protection, the bin
of a snapshot     images, volumes, shares, snapshots begun with it, its lock, the bin
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Final

from sqlalchemy import Connection, and_, or_, select

from amiable.database import launch_templates, parameters, product_codes, snapshot_locks, snapshots
from amiable.database.schema import channel as C
from amiable.database.schema import channel_version as CV
from amiable.database.schema import create_volume_permission as SP
from amiable.database.schema import image as I
from amiable.database.schema import image_device as D
from amiable.database.schema import instance as N
from amiable.database.schema import launch_permission as P
from amiable.database.schema import product_subscription as PS
from amiable.database.schema import snapshot as S
from amiable.database.schema import volume as V
from amiable.model.image import EVERYONE, ImageState
from amiable.model.instance import State
from amiable.model.keeper import Keeper, KeeperKind
from amiable.model.snapshot_lock import LockState
from amiable.model.volume import VolumeState

ALIVE: Final = I.c.state != ImageState.DEREGISTERED.value


@dataclass(frozen=True, slots=True)
class Kept:
    """The image or snapshot that is asked about."""

    id: str
    account_id: str
    region: str
    now: datetime


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


# ── of an image ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _instances(c: Connection, it: Kept) -> Iterator[Keeper]:
    uses = or_(N.c.image_id == it.id, N.c.kernel_id == it.id, N.c.ramdisk_id == it.id)
    query = select(N.c.id, N.c.account_id, N.c.state, N.c.image_id).where(uses, N.c.state != State.TERMINATED.value)
    for row in c.execute(query.order_by(N.c.id)):
        how = "launched from it" if row.image_id == it.id else "boots with it"
        command = f"amiable instance terminate {row.id} --yes"
        yield Keeper(KeeperKind.INSTANCE, row.id, row.account_id, f"{how}, {row.state}", command)


def _boots_with(c: Connection, it: Kept) -> Iterator[Keeper]:
    query = select(I.c.id, I.c.account_id).where(or_(I.c.kernel_id == it.id, I.c.ramdisk_id == it.id), ALIVE)
    for row in c.execute(query.order_by(I.c.id)):
        yield Keeper(
            KeeperKind.IMAGE, row.id, row.account_id, "boots with it", f"amiable image deregister {row.id} --yes"
        )


def _copies(c: Connection, it: Kept) -> Iterator[Keeper]:
    made_of_it = and_(I.c.source_image_id == it.id, I.c.source_image_region == it.region)
    query = select(I.c.id, I.c.account_id, I.c.region).where(made_of_it, ALIVE)
    for row in c.execute(query.order_by(I.c.id)):
        where = "" if row.region == it.region else f"AWS_REGION={row.region} "
        command = f"{where}amiable image deregister {row.id} --yes"
        yield Keeper(KeeperKind.IMAGE, row.id, row.account_id, "made of it", command)


def _launch_templates(c: Connection, it: Kept) -> Iterator[Keeper]:
    for use in launch_templates.uses(c, it.region, [it.id]):
        words = f"version {use.number} launches it"
        command = f"aws ec2 delete-launch-template --launch-template-id {use.template_id}"
        yield Keeper(KeeperKind.LAUNCH_TEMPLATE, use.template_id, use.account_id, words, command)


def _launch_permissions(c: Connection, it: Kept) -> Iterator[Keeper]:
    for grantee in c.execute(select(P.c.grantee).where(P.c.image_id == it.id).order_by(P.c.grantee)).scalars():
        flag = (
            "--public"
            if grantee == EVERYONE
            else f"--organization {grantee}"
            if ":" in grantee
            else f"--account {grantee}"
        )
        words = "everybody may launch it" if grantee == EVERYONE else "may launch it"
        yield Keeper(KeeperKind.SHARE, grantee, it.account_id, words, f"amiable image share {it.id} --remove {flag}")


def _channels(c: Connection, it: Kept) -> Iterator[Keeper]:
    current = and_(
        CV.c.account_id == C.c.account_id,
        CV.c.region == C.c.region,
        CV.c.name == C.c.name,
        CV.c.number == C.c.version,
    )
    query = select(C.c.name, C.c.account_id).join(CV, current).where(CV.c.image_id == it.id, C.c.region == it.region)
    for row in c.execute(query.order_by(C.c.account_id, C.c.name)):
        command = f"amiable channel promote {quote(row.name)} OTHER-IMAGE"
        yield Keeper(KeeperKind.CHANNEL, row.name, row.account_id, "points at it", command)


def _parameters(c: Connection, it: Kept) -> Iterator[Keeper]:
    for each in parameters.pointing_at(c, [it.id], it.region):
        if each.channel is None:
            command = f"aws ssm delete-parameter --name {quote(each.name)}"
            yield Keeper(KeeperKind.PARAMETER, each.name, each.account_id, "its value names it", command)


def _subscriptions(c: Connection, it: Kept) -> Iterator[Keeper]:
    codes = [each.code for each in product_codes.codes_of(c, it.id)]
    query = select(PS.c.code, PS.c.account_id).where(PS.c.code.in_(codes), PS.c.ended_at.is_(None))
    for row in c.execute(query.order_by(PS.c.code, PS.c.account_id)):
        command = f"amiable product unsubscribe {quote(row.code)}"
        yield Keeper(KeeperKind.SUBSCRIPTION, row.code, row.account_id, "pays for the product that it carries", command)


def _protection(c: Connection, it: Kept) -> Iterator[Keeper]:
    query = select(I.c.deregistration_protection, I.c.protected_until).where(I.c.id == it.id)
    row = c.execute(query).one()
    if row.deregistration_protection is not None:
        command = f"aws ec2 disable-image-deregistration-protection --image-id {it.id}"
        words = f"deregistration protection is {row.deregistration_protection}"
        yield Keeper(KeeperKind.PROTECTION, it.id, it.account_id, words, command, blocks=True)
    elif row.protected_until is not None and row.protected_until > it.now:
        words = f"the cooldown of its protection lasts until {_time(row.protected_until)}"
        yield Keeper(KeeperKind.PROTECTION, it.id, it.account_id, words, blocks=True)


def _binned_image(c: Connection, it: Kept) -> Iterator[Keeper]:
    binned = select(I.c.bin_exit_at).where(I.c.id == it.id, I.c.state == ImageState.BINNED.value)
    for exit_at in c.execute(binned).scalars():
        yield Keeper(KeeperKind.BIN, it.id, it.account_id, f"in the Recycle Bin until {_time(exit_at)}", blocks=True)


# ── of a snapshot ───────────────────────────────────────────────────────────────────────────────────────────────────────


def images_of(c: Connection, it: Kept) -> Iterator[Keeper]:
    """The images that are made of the snapshot, binned ones too."""
    query = select(I.c.id, I.c.account_id, I.c.name, I.c.state, I.c.bin_exit_at).join(D, D.c.image_id == I.c.id)
    for row in c.execute(query.where(D.c.snapshot_id == it.id, ALIVE).distinct().order_by(I.c.id)):
        if row.state == ImageState.BINNED.value:
            words = f"an image in the Recycle Bin until {_time(row.bin_exit_at)}"
            yield Keeper(KeeperKind.IMAGE, row.id, row.account_id, words, blocks=True)
        else:
            command = f"amiable image deregister {row.id} --keep-snapshots --yes"
            yield Keeper(KeeperKind.IMAGE, row.id, row.account_id, f"made of it: {row.name}", command, blocks=True)


def _volumes(c: Connection, it: Kept) -> Iterator[Keeper]:
    query = select(V.c.id, V.c.account_id, V.c.state, V.c.instance_id)
    for row in c.execute(query.where(V.c.snapshot_id == it.id).order_by(V.c.id)):
        words = f"made of it, {row.state}" + (f" by {row.instance_id}" if row.instance_id else "")
        instead = f"amiable volume delete {row.id} --yes" if row.state == VolumeState.AVAILABLE else None
        command = f"amiable instance terminate {row.instance_id} --yes" if row.instance_id else instead
        yield Keeper(KeeperKind.VOLUME, row.id, row.account_id, words, command, blocks=True)


def _volume_permissions(c: Connection, it: Kept) -> Iterator[Keeper]:
    for grantee in c.execute(select(SP.c.grantee).where(SP.c.snapshot_id == it.id).order_by(SP.c.grantee)).scalars():
        flag = "--group-names all" if grantee == EVERYONE else f"--user-ids {grantee}"
        command = f"aws ec2 modify-snapshot-attribute --snapshot-id {it.id} --attribute createVolumePermission"
        words = "everybody may make volumes of it" if grantee == EVERYONE else "may make volumes of it"
        yield Keeper(KeeperKind.SHARE, grantee, it.account_id, words, f"{command} --operation-type remove {flag}")


def _children(c: Connection, it: Kept) -> Iterator[Keeper]:
    query = select(S.c.id, S.c.account_id).where(S.c.parent_id == it.id).order_by(S.c.id)
    for row in c.execute(query):
        command = f"amiable snapshot delete {row.id} --yes"
        words = "begun with its blocks: keeps those that it has not replaced"
        yield Keeper(KeeperKind.SNAPSHOT, row.id, row.account_id, words, command)


def _lock(c: Connection, it: Kept) -> Iterator[Keeper]:
    lock, snapshot = snapshot_locks.find(c, it.id), snapshots.get(c, it.id)
    if lock is None or snapshot is None:
        return
    state, end = lock.state(snapshot, it.now), lock.expires_at(snapshot)
    if state is not LockState.EXPIRED:
        words = f"locked: {state}, " + ("from its completion on" if end is None else f"until {_time(end)}")
        may_go = state is not LockState.COMPLIANCE
        command = f"aws ec2 unlock-snapshot --snapshot-id {it.id}" if may_go else None
        yield Keeper(KeeperKind.LOCK, it.id, it.account_id, words, command, blocks=True)


def _binned_snapshot(c: Connection, it: Kept) -> Iterator[Keeper]:
    binned = select(S.c.bin_exit_at).where(S.c.id == it.id, S.c.binned_at.is_not(None))
    for exit_at in c.execute(binned).scalars():
        yield Keeper(KeeperKind.BIN, it.id, it.account_id, f"in the Recycle Bin until {_time(exit_at)}", blocks=True)


Find = Callable[[Connection, Kept], Iterator[Keeper]]

OF_IMAGES: Final[tuple[Find, ...]] = (
    _protection,
    _binned_image,
    _instances,
    _boots_with,
    _copies,
    _launch_permissions,
    _channels,
    _parameters,
    _launch_templates,
    _subscriptions,
)
OF_SNAPSHOTS: Final[tuple[Find, ...]] = (_lock, _binned_snapshot, images_of, _volumes, _children, _volume_permissions)


def keepers_of(c: Connection, kept: Kept, finders: tuple[Find, ...]) -> list[Keeper]:
    """Everything that the finders find, in their order."""
    return [keeper for find in finders for keeper in find(c, kept)]
