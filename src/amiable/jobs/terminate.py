"""The end of an instance: its machine, its exports, its directory, and the volumes that go with it."""

import contextlib
from typing import Final

from amiable.database import instances, volumes
from amiable.jobs.context import JobContext
from amiable.jobs.machine import facts_of, forget_volume, unexport
from amiable.jobs.stop import power_off
from amiable.model.instance import State
from amiable.model.volume import Volume
from amiable.rules.lifecycle import Event
from amiable.services import consoles, volume_work
from amiable.services.roots import drop_unused_roots
from amiable.vm import disk_export, machine, volume_files
from amiable.vm.directory import locked, open_directory, remove_directory

POWER_OFF_SECONDS_MAX: Final = 20.0
"""A guest whose disks go away needs no more time to say goodbye."""


def terminate(context: JobContext) -> None:
    """Runs the job; data: instance_id, force."""
    services = context.services
    facts = facts_of(services, context.data["instance_id"])
    if facts.instance.state is not State.SHUTTING_DOWN:
        return
    kept = tuple(volume for volume in facts.volumes if not goes(volume))
    with services.database.read() as c:
        read = [each for each in facts.volumes if goes(each) and volumes.is_being_read(c, each.id)]
    with contextlib.suppress(FileNotFoundError), open_directory(services.data, facts.instance.id) as directory:
        if kept and not context.data.get("force"):
            power_off(context, directory, POWER_OFF_SECONDS_MAX)
        with locked(directory):
            machine.end_machine(directory)
            consoles.keep(services, facts.instance.id, facts.instance.boot_count, directory)
            disk_export.end_still_disk(directory)
            unexport(services, facts.volumes)
            for volume in (*kept, *read):
                volume_files.move_out(services.data, directory, volume.id)
            remove_directory(services.data, facts.instance.id)
    gone = [volume for volume in facts.volumes if goes(volume) and volume not in read]
    with services.database.write() as c:
        context.save(c, progress_percent=90)
        for volume in gone:
            volumes.delete_volume(c, volume.id)
        drop_unused_roots(services, c)
        for volume in kept:
            volumes.detach_volume(c, volume.id)
        for volume in read:  # its bytes go once the snapshot that is being made of it is there
            volumes.detach_volume(c, volume.id)
            volumes.set_deleting(c, volume.id)
            volume_work.enqueue(c, services, volume, volume_work.DELETE)
        instances.set_state(c, facts.instance.id, Event.TERMINATED, now=services.now())
    for volume in gone:
        forget_volume(services, volume.id)


def goes(volume: Volume) -> bool:
    """Whether the volume ends with its instance."""
    return volume.is_instance_store or (volume.delete_on_termination and not volume.is_leaving)


def give_up(context: JobContext, why: str) -> None:
    """Nothing: the instance stays in shutting-down, and the supervisor asks again."""
