"""The moment at which volumes are read: taken, found again by a later server, and let go.

    where the volumes are             who serves them                     how long the moment lasts
    a running instance                its QEMU, above its disks           until it is let go, or QEMU ends
    a stopped instance, or detached   qemu-storage-daemon                 as long as nothing writes: a boot waits
    nowhere: never attached           nobody; nothing has changed         -

What a job must remember of it is a :class:`Moment`, which its checkpoint holds.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from amiable.blocks.nbd_client import DEPTH, NbdClient, bitmap_context
from amiable.database import jobs, snapshots
from amiable.database import volumes as volume_rows
from amiable.jobs.context import JobContext
from amiable.jobs.machine import export, facts_of, unexport
from amiable.model import ids
from amiable.model.instance import State
from amiable.model.volume import AttachmentState, Volume
from amiable.rules.hardware import disk_of
from amiable.services import Services
from amiable.services.volume_place import Place, VolumePlace, open_place, place_of
from amiable.vm import disk_export, guest_agent, machine
from amiable.vm.directory import Directory, locked
from amiable.vm.dirty_bitmaps import SINCE
from amiable.vm.disk_export import DiskBusy, Reading
from amiable.vm.machine import MachineFailed, MachineSilent
from amiable.vm.process import Process

TAKERS: Final = ("create-image", "take-snapshots")
"""The kinds of job that take a moment of several volumes."""
LOOK_SECONDS: Final = 0.25
BUSY_SECONDS_MAX: Final = 3600.0
"""How long one reading of a volume waits for another's."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment that was taken.  ``boot`` is the instance's count of boots then; ``instance_id`` None: the volumes are detached.

    ``since``: for each volume the id of the snapshot since which a bitmap tells what was written; ``""`` without one.
    """

    tag: str
    volume_ids: tuple[str, ...]  # those that have a disk, in the order of their numbers
    instance_id: str | None = None
    is_running: bool = False
    boot: int = 0
    is_frozen: bool = False  # by the guest's agent
    since: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """For a job's checkpoint."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> "Moment":
        """From a job's checkpoint."""
        return cls(**{**data, "volume_ids": tuple(data["volume_ids"]), "since": tuple(data["since"])})

    def since_of(self, volume_id: str) -> str:
        """The snapshot on which one of the volume may build; ``""`` where its base is all that is known."""
        return dict(zip(self.volume_ids, self.since, strict=False)).get(volume_id, "")

    def without(self, snapshot_ids: Collection[str]) -> "Moment":
        """The moment, building on none of these."""
        return replace(self, since=tuple("" if each in snapshot_ids else each for each in self.since))


class MomentLost(MachineFailed):
    """It cannot be taken again."""


def tag_of(resource_id: str) -> str:
    """The tag of whoever reads for the resource of this id."""
    return resource_id.rpartition("-")[2]


def take(context: JobContext, items: Sequence[tuple[str, str]], volumes: Callable[[], Sequence[Volume]]) -> Moment:
    """The moment is now: all of one instance's volumes, or one that is detached.  Waits while they cannot be read yet.

    ``items`` are volumes and their snapshots to come; ``volumes`` reads their rows.  For an image the agent of a running guest is asked
    to hold its file systems still meanwhile.

    Raises MachineFailed; what the context raises where the job shall end.
    """
    while True:
        try:
            taken = _try(context.services, dict(items), volumes(), is_asked=context.data.get("image_id") is not None)
        except DiskBusy:
            taken = None
            if busy_seconds(context) > BUSY_SECONDS_MAX:
                raise
        if taken is not None:
            context.data.pop("busy_since", None)
            return taken
        context.wait(LOOK_SECONDS)


def is_awaited(services: Services, volume_id: str) -> bool:
    """Whether a moment of several volumes, of which this is one, is still to be taken: until then it leaves its instance only by force.

    A guest that is off for the moment cannot let go of a disk, and one without it would not be the instance that was to be imaged.
    """
    with services.database.read() as c:
        waiting = [dict(data["items"]) for data in jobs.live_data(c, TAKERS) if data.get("moment") is None]
    return any(volume_id in items and len(items) > 1 for items in waiting)


def busy_seconds(context: JobContext) -> float:
    """How long ago the job found the disks read by another for the first time, in whichever of its runs."""
    now = context.services.now()
    if "busy_since" not in context.data:
        context.checkpoint({**context.data, "busy_since": now.isoformat()})
    return (now - datetime.fromisoformat(context.data["busy_since"])).total_seconds()


def _try(services: Services, items: Mapping[str, str], volumes: Sequence[Volume], *, is_asked: bool) -> Moment | None:
    """None while the instance or a volume is between two states.  ``is_asked``: the guest's agent is."""
    tag = tag_of(next(iter(items.values())))
    gone = items.keys() - {volume.id for volume in volumes}
    if gone:  # nothing is known of what it held, and a snapshot without it would look whole
        raise MomentLost(f"The volume {min(gone)} was deleted before what it held could be read.")
    if not all(_is_settled(services, volume) for volume in volumes):
        return None
    places = {volume.id: place_of(services.data, volume) for volume in volumes}
    held = [volume for volume in volumes if places[volume.id].place is not Place.NOWHERE]
    if not held:
        return Moment(tag, ())
    where = places[held[0].id]
    for volume in held:
        if places[volume.id] != where:
            raise MomentLost(f"The volume {volume.id} was detached before what it held could be read.")
    names = tuple(volume.id for volume in held)
    reading = Reading(tag, tuple(disk_of(volume) for volume in held))
    with open_place(services.data, where) as directory:
        if where.instance_id is None:
            if len(held) > 1:
                raise MomentLost("The volumes are not together any more: their instance has ended.")
            with locked(directory):  # an attachment that begins takes the file out of here under this lock
                if not _are_still_there(services, held):
                    return None
                _hold_still(services, directory, reading, held)
            return Moment(tag, names)
        instance = facts_of(services, where.instance_id).instance
        if instance.state is State.RUNNING:
            qemu = machine.find_machine(directory)
            if qemu is None:
                return None  # it has ended, and is about to be stopping
            taken = Moment(tag, names, instance.id, is_running=True, boot=instance.boot_count)
            return _hold_running(directory, qemu, _marked(services, reading, held, items), taken, is_asked=is_asked)
        if instance.state is State.STOPPED:
            with locked(directory):
                if facts_of(services, instance.id).instance.state is not State.STOPPED:
                    return None
                _hold_still(services, directory, reading, held)
            return Moment(tag, names, instance.id, boot=instance.boot_count)
        if instance.state is State.TERMINATED:
            raise MachineFailed(f"the instance {instance.id} was terminated")
    return None


def _is_settled(services: Services, volume: Volume) -> bool:
    """Whether the volume stays where it is until the moment is taken: what is leaving may wait for that."""
    if volume.is_leaving:
        return is_awaited(services, volume.id)
    return volume.attachment_state in (None, AttachmentState.ATTACHED)


def _are_still_there(services: Services, volumes: Sequence[Volume]) -> bool:
    """Whether the volumes lie among the detached ones, and nobody is about to take them from there."""
    with services.database.read() as c:
        found = [volume_rows.get_volume(c, volume.id) for volume in volumes]
    settled = (None, AttachmentState.ATTACHED)
    return all(
        it is not None and it.attachment_state in settled and place_of(services.data, it).place is Place.DETACHED
        for it in found
    )


def _hold_running(
    directory: Directory, qemu: Process, reading: Reading, taken: Moment, *, is_asked: bool
) -> Moment | None:
    """The moment with what is known of it once it was; None where its QEMU ends, so that the instance is about to be stopping."""
    try:
        if is_asked:  # its agent answers nothing while a guest stands still
            disk_export.release_running(directory, qemu, reading.tag)
            disk_export.check_unread(directory, qemu, reading)
        with guest_agent.frozen(directory, qemu) if is_asked else contextlib.nullcontext() as freeze:
            since = disk_export.hold_running(directory, qemu, reading)
    except MachineSilent:
        if not machine.ends(qemu):
            raise
        return None
    on = tuple("" if each is None else f"{ids.SNAPSHOT}-{each}" for each in since)
    return replace(taken, since=on, is_frozen=freeze is not None and freeze.has_held)


def _marked(services: Services, reading: Reading, held: Sequence[Volume], items: Mapping[str, str]) -> Reading:
    """The reading with the snapshots to come, and those on which they may build."""
    with services.database.read() as c:
        known = tuple(frozenset(map(tag_of, snapshots.completed_of(c, volume.id))) for volume in held)
    return replace(reading, marks=tuple(tag_of(items[volume.id]) for volume in held), known=known)


def _hold_still(services: Services, directory: Directory, reading: Reading, volumes: Sequence[Volume]) -> None:
    for volume in volumes:
        export(services, directory, volume)
    disk_export.hold_still(directory, reading)


def lasts(services: Services, moment: Moment, volumes: Sequence[Volume]) -> bool:
    """Whether a moment that an earlier run took can be gone on with; disks at rest are served again."""
    if not moment.volume_ids:
        return True
    held = _held(moment, volumes)
    reading = Reading(moment.tag, tuple(disk_of(volume) for volume in held))
    where = _where(moment)
    try:
        with open_place(services.data, where) as directory:
            if moment.is_running:
                qemu = machine.find_machine(directory)
                return qemu is not None and disk_export.is_held(directory, qemu, reading)
            with locked(directory):
                if any(place_of(services.data, volume) != where for volume in held):
                    return False
                if moment.instance_id is not None:
                    instance = facts_of(services, moment.instance_id).instance
                    if instance.state is not State.STOPPED or instance.boot_count != moment.boot:
                        return False
                _hold_still(services, directory, reading, held)
                return True
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def opened(context: JobContext, moment: Moment, volume_id: str) -> Iterator[NbdClient]:
    """The disk of one of the moment's volumes."""
    number = moment.volume_ids.index(volume_id)
    reading = Reading(moment.tag, ())
    with open_place(context.services.data, _where(moment)) as directory:
        server = _server(directory, moment)
        socket_name = disk_export.SOCKET if moment.is_running else disk_export.still_socket(moment.tag)
        export, changes = reading.name(disk_export.EXPORT, number), context_of(moment, volume_id)
        with disk_export.connected(directory, server, socket_name) as connection:
            yield NbdClient(connection, export, context=changes, wait=context.wait_for_disk)


def context_of(moment: Moment, volume_id: str) -> bytes:
    """The NBD context that tells what the volume has changed."""
    since = moment.since_of(volume_id)
    return bitmap_context(SINCE + tag_of(since)) if since else DEPTH


def _server(directory: Directory, moment: Moment) -> Process:
    found = machine.find_machine(directory) if moment.is_running else disk_export.find_still(directory, tag=moment.tag)
    if found is None:
        raise MachineFailed("what served the disk has ended")
    return found


def let_go(services: Services, moment: Moment, volumes: Sequence[Volume]) -> None:
    """Ends the moment, as far as there is anything of it left; the instance is as it was."""
    if not moment.volume_ids:
        return
    held = _held(moment, volumes)
    try:
        with open_place(services.data, _where(moment)) as directory:
            qemu = machine.find_machine(directory) if moment.instance_id is not None else None
            if qemu is not None:
                disk_export.release_running(directory, qemu, moment.tag)
                if not moment.is_running:  # what served its disks had ended, and it was started since
                    disk_export.release_still(directory, moment.tag)
                return
            with locked(directory):
                disk_export.release_still(directory, moment.tag)
                if moment.is_running:  # QEMU ended with the moment
                    directory.unlink(disk_export.SOCKET)
                if moment.instance_id is None or _is_stopped(services, moment.instance_id):
                    unexport(services, tuple(held))
    except FileNotFoundError:
        return


def abandon(services: Services, tag: str, instance_id: str | None) -> None:
    """Ends a moment of an instance, or of detached volumes, that no checkpoint remembers, if it was taken; nothing stands still."""
    where = VolumePlace(Place.DETACHED if instance_id is None else Place.INSTANCE, instance_id)
    with contextlib.suppress(FileNotFoundError, MachineFailed):
        with open_place(services.data, where) as directory:
            qemu = machine.find_machine(directory) if instance_id is not None else None
            if qemu is not None:
                disk_export.release_running(directory, qemu, tag)
                guest_agent.thaw(directory, qemu)
            else:
                disk_export.release_still(directory, tag)


def wait_until_unread(context: JobContext, instance_id: str) -> None:
    """Waits while a disk of a stopped instance that is about to start is being read; no reading begins any more."""
    try:
        with open_place(context.services.data, VolumePlace(Place.INSTANCE, instance_id)) as directory:
            while True:
                with locked(directory):
                    if not disk_export.is_read_still(directory):
                        return
                context.wait(LOOK_SECONDS)
    except FileNotFoundError:
        return


def _is_stopped(services: Services, instance_id: str) -> bool:
    return facts_of(services, instance_id).instance.state is State.STOPPED


def _held(moment: Moment, volumes: Sequence[Volume]) -> list[Volume]:
    by_id = {volume.id: volume for volume in volumes}
    return [by_id[volume_id] for volume_id in moment.volume_ids if volume_id in by_id]


def _where(moment: Moment) -> VolumePlace:
    place = Place.DETACHED if moment.instance_id is None else Place.INSTANCE
    return VolumePlace(place, moment.instance_id)
