"""The work of ModifyVolume: the disk grows where it is, its machine is told the new rates, and the volume is what was asked for.

Safe to run twice: a disk that is long enough is left.  A volume that a snapshot is being made of waits for that, and one that was
detached meanwhile is looked for anew: the supervisor asks again.
"""

from dataclasses import replace

from amiable.database import volume_modifications, volumes
from amiable.jobs.context import JobContext
from amiable.jobs.machine import FAILURES, words
from amiable.jobs.volume_machine import Held, held, is_being_read, locked_place, running
from amiable.model.units import GIB
from amiable.model.volume import Volume
from amiable.model.volume_modification import Modification, ModificationState
from amiable.rules.volume_type import limits_of
from amiable.services import Services
from amiable.vm import hotplug, volume_files
from amiable.vm.directory import Directory, DirectoryBusy


def modify_volume(context: JobContext) -> None:
    """Runs the job; data: volume_id."""
    services, volume_id = context.services, context.data["volume_id"]
    before = held(services, volume_id)
    if before is None:
        return
    try:
        with locked_place(services, before.volume) as directory:
            change, it = _under_way(services, volume_id), held(services, volume_id)
            was_moved = it is None or it.volume.instance_id != before.volume.instance_id
            if change is None or it is None or was_moved or is_being_read(services, volume_id):
                return
            _grow(directory, Held(changed(it.volume, change), it.instance))
            _complete(context, change)
    except DirectoryBusy:
        raise
    except FAILURES as error:
        if not is_being_read(services, volume_id):
            give_up(context, words(error))


def changed(volume: Volume, change: Modification) -> Volume:
    """The volume after the change."""
    return replace(
        volume,
        size_gib=change.target_size_gib,
        size_bytes=change.target_size_gib * GIB,
        volume_type=change.target_type,
        iops=change.target_iops,
        throughput=change.target_throughput,
    )


def _under_way(services: Services, volume_id: str) -> Modification | None:
    with services.database.read() as c:
        found = volume_modifications.list_modifications(c, volume_id)
    return found[-1] if found and found[-1].state is ModificationState.MODIFYING else None


def _grow(directory: Directory | None, after: Held) -> None:
    """The disk, in the machine of the instance that has it, or in its file."""
    with running(None if after.instance is None else directory) as qmp:
        if qmp is not None and hotplug.has_device(qmp, after.disk):
            hotplug.resize(qmp, after.disk)
            hotplug.limit(qmp, after.disk, limits_of(after.volume))
        elif directory is not None:
            volume_files.fit(directory, after.volume.id, after.volume.size_bytes)


def _complete(context: JobContext, change: Modification) -> None:
    with context.services.database.write() as c:
        context.save(c, progress_percent=90)
        volumes.set_figures(c, change.volume_id, change)
        volume_modifications.end_modification(
            c, change.volume_id, ModificationState.COMPLETED, now=context.services.now()
        )


def give_up(context: JobContext, why: str) -> None:
    """The change has failed; the volume is as it was."""
    with context.services.database.write() as c:
        context.save(c, progress_percent=90)
        volume_modifications.end_modification(
            c,
            context.data["volume_id"],
            ModificationState.FAILED,
            now=context.services.now(),
            message=why[:1000],
        )
