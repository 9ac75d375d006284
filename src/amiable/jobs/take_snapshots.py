"""take-snapshots: volumes as they are at one moment → their pending snapshots, completed together; an image of them available.

    data {"items": [[volume, snapshot], …], "image_id"?, "is_clean"?, "moment"?, "next"?}

    take the moment ═ each snapshot begins with its volume's base ─▶ changed blocks ─▶ let go ─▶ completed ═ image available

An image made under a running guest says so (``model/consistency``).  Each batch checkpoints how far its snapshot is.  A job that was killed goes on with its moment where that lasts; else it begins anew at
a later one, unless the moment was one of a guest shut down for it (``is_clean``): then what it makes fails, and says so.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from amiable.blocks.export_map import MapDamaged
from amiable.blocks.nbd_client import NbdFailed
from amiable.database import blocks as rows
from amiable.database import images, snapshots, tags, volumes
from amiable.jobs import moments
from amiable.jobs.changed_blocks import Copier, Inherited
from amiable.jobs.context import JobContext
from amiable.jobs.machine import FAILURES, words
from amiable.jobs.moments import Moment
from amiable.model.consistency import TAG, Consistency
from amiable.model.errors import NotFound, SnapshotNotPending
from amiable.model.image import ImageState, StateReason
from amiable.model.snapshot import PENDING, Snapshot
from amiable.model.volume import Volume
from amiable.services import Services
from amiable.services.content_digests import digest_of
from amiable.vm.machine import MachineFailed

KIND: Final = "take-snapshots"
MOMENTS_MAX: Final = 3
"""How often one run of the job takes the moment, where what serves it ends."""
LOST: Final = (
    "The moment at which the guest had been shut down for it was lost with the end of what served its disks. "
    "Make it again."
)


def take_snapshots(context: JobContext) -> None:
    """Runs the job to its end."""
    if not _wanted(context):
        with suppress(*FAILURES):
            _let_go(context)
        _finish(context)
        return
    try:
        if not context.data.get("is_read"):
            _read(context)
            context.checkpoint({**context.data, "is_read": True}, 99)
        _let_go(context)
        _complete(context)
    except (NbdFailed, MapDamaged, *FAILURES) as error:
        give_up(context, words(error))
        return
    _finish(context)


def give_up(context: JobContext, message: str) -> None:
    """Ends the reading; what was to be made becomes ``error`` and ``failed``, with the words."""
    with suppress(*FAILURES):
        _let_go(context)
    with context.services.database.write() as c:
        fail_all(c, context.data, message)


def fail_all(c: Connection, data: dict[str, Any], message: str) -> None:
    """Puts the job's snapshots into error and its image into failed, as far as they are pending."""
    for _, snapshot_id in data["items"]:
        if snapshots.fail(c, snapshot_id, message):
            rows.delete_pending(c, snapshot_id)
    if data.get("image_id"):
        images.fail(c, data["image_id"], StateReason("Server.InternalError", f"Server.InternalError: {message}"))


# ── the moment ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def volumes_of(context: JobContext) -> list[Volume]:
    """The volumes' rows as they stand; one that was deleted is not among them."""
    with context.services.database.read() as c:
        found = [volumes.get_volume(c, volume_id) for volume_id, _ in context.data["items"]]
    return [volume for volume in found if volume is not None]


def _wanted(context: JobContext) -> list[Snapshot]:
    """The snapshots that are still to be made."""
    with context.services.database.read() as c:
        found = [snapshots.get(c, snapshot_id) for _, snapshot_id in context.data["items"]]
    return [snapshot for snapshot in found if snapshot is not None and snapshot.state == PENDING]


def _read(context: JobContext) -> None:
    """Copies what the volumes held at the moment; where what served it has ended, at a later one, a few times.

    So a snapshot comes of a volume whose instance was stopped or terminated meanwhile, as on EC2.
    """
    for others in reversed(range(MOMENTS_MAX)):
        with context.outside():
            moment = _moment(context)
        try:
            for snapshot in _wanted(context):
                _copy(context, moment, snapshot)
            return
        except (NbdFailed, MachineFailed):
            with context.outside():
                is_there = moments.lasts(context.services, moment, volumes_of(context))
            if is_there:
                raise
            if context.data.get("is_clean"):
                raise moments.MomentLost(LOST) from None
            if others == 0:
                raise


def _moment(context: JobContext) -> Moment:
    """The moment of an earlier run where it lasts, else a new one."""
    services = context.services
    known = context.data.get("moment")
    if known is not None:
        moment = Moment.of_data(known)
        if moments.lasts(services, moment, volumes_of(context)):
            return moment
        if context.data.get("is_clean"):
            raise moments.MomentLost(LOST)
        moments.let_go(services, moment, volumes_of(context))
    return take_moment(context)


def take_moment(context: JobContext) -> Moment:
    """Takes it, and lets each snapshot begin with the blocks of its volume's base, in the transaction that remembers it."""
    services = context.services
    moment = moments.take(context, context.data["items"], lambda: volumes_of(context))
    with services.database.write() as c:
        moment = begin(services, c, context.data, moment)
        context.save(c, {**context.data, "moment": moment.as_data(), "next": {}})
    return moment


def begin(services: Services, c: Connection, data: dict[str, Any], moment: Moment, *, is_off: bool = False) -> Moment:
    """Lets each snapshot hold the one on which it builds, or its volume's base, and nothing else; the moment as it is to be read.

    ``is_off``: the guest had shut down for it.
    """
    on = {each: snapshots.get(c, each) for each in moment.since if each}
    moment = moment.without([each for each, found in on.items() if found is None])
    for volume_id, snapshot_id in data["items"]:
        volume, snapshot = volumes.get_volume(c, volume_id), snapshots.get(c, snapshot_id)
        if volume is None or snapshot is None or snapshot.state != PENDING:
            continue
        services.blocks.drop(c, snapshot_id)
        base = moment.since_of(volume_id) or volume.snapshot_id
        if base is not None:
            services.blocks.inherit(c, snapshot_id, base)
    if moment.is_running and not is_off:
        _label(c, data, moment)
    return moment


def _label(c: Connection, data: dict[str, Any], moment: Moment) -> None:
    """Tags an image that was made under a running guest, and its snapshots, with how whole they are."""
    image_id = data.get("image_id")
    image = images.get(c, data["region"], image_id, viewer="") if image_id else None
    if image is None or image.state is not ImageState.PENDING:
        return
    label = {TAG: (Consistency.FROZEN if moment.is_frozen else Consistency.CRASH_CONSISTENT).value}
    owner = (image.account_id, image.region)
    tags.put(c, tags.TaggedResource(*owner, image.id, "image"), label)
    for _, snapshot_id in data["items"]:
        if snapshots.get(c, snapshot_id) is not None:
            tags.put(c, tags.TaggedResource(*owner, snapshot_id, "snapshot"), label)


def _let_go(context: JobContext) -> None:
    services, held = context.services, volumes_of(context)
    with context.outside():
        if context.data.get("moment") is not None:
            moments.let_go(services, Moment.of_data(context.data["moment"]), held)
            return
        for instance_id in {volume.instance_id for volume in held}:  # a server that was killed may have taken it
            moments.abandon(services, moments.tag_of(context.data["items"][0][1]), instance_id)


# ── the blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _copy(context: JobContext, moment: Moment, snapshot: Snapshot) -> None:
    """Copies what the volume has changed."""
    services = context.services
    volume_id = next(volume_id for volume_id, made in context.data["items"] if made == snapshot.id)
    if volume_id not in moment.volume_ids:  # it was never attached
        return

    def checkpoint(c: Connection, following: int) -> None:
        percent = min(99, 100 * following // snapshot.block_count)
        snapshots.report_progress(c, snapshot.id, percent)
        context.save(c, {**context.data, "next": {**context.data["next"], snapshot.id: following}}, percent)

    inherited = Inherited(services.database, snapshot.id)
    with moments.opened(context, moment, volume_id) as client:
        changes = moments.context_of(moment, volume_id)
        copier = Copier(services.blocks, inherited, snapshot.id, changes, checkpoint)
        with suppress(NotFound):  # it was deleted meanwhile
            copier.copy(client, context.data["next"].get(snapshot.id, 0), stopped=context.go_on)


def _complete(context: JobContext) -> None:
    for snapshot in _wanted(context):
        with suppress(NotFound, SnapshotNotPending):  # it was deleted meanwhile
            context.services.blocks.complete(snapshot.id)


def _finish(context: JobContext) -> None:
    """Makes the image available, once all that it is made of is completed."""
    image_id = context.data.get("image_id")
    services = context.services
    with services.database.write() as c:
        image = images.get(c, context.data["region"], image_id, viewer="") if image_id else None
        if image is not None and image.state is ImageState.PENDING:
            digest = digest_of(c, replace(image, state=ImageState.AVAILABLE))
            images.make_available(c, image.id, content_digest=digest)
        context.save(c, progress_percent=100)
