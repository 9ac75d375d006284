"""The end of an instance: its machine, its exports, its directory, and the volumes that go with it."""

import contextlib
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from amiable.database import instances, volumes
from amiable.jobs.context import JobContext
from amiable.jobs.machine import facts_of, forget_volume, unexport
from amiable.jobs.stop import power_off
from amiable.model.instance import State
from amiable.model.volume import Volume
from amiable.rules.lifecycle import Event
from amiable.services import Services, consoles, volume_work
from amiable.services.roots import drop_unused_roots
from amiable.vm import disk_export, machine, volume_files
from amiable.vm.directory import Directory, locked, open_directory, remove_directory
from amiable.vm.machine import MachineFailed

POWER_OFF_SECONDS_MAX: Final = 20.0
"""A guest whose disks go away needs no more time to say goodbye."""


def terminate(context: JobContext) -> None:
    """Runs the job; data: instance_id, force."""
    services = context.services
    facts = facts_of(services, context.data["instance_id"])
    if facts.instance.state is not State.SHUTTING_DOWN:
        return
    instance_id, is_forced = facts.instance.id, bool(context.data.get("force"))
    with contextlib.suppress(FileNotFoundError), open_directory(services.data, instance_id) as directory:
        if not is_forced and not all(goes(volume) for volume in facts.volumes):
            power_off(context, directory, POWER_OFF_SECONDS_MAX)
        with locked(directory):
            facts = facts_of(services, instance_id)  # without what was detached meanwhile: another may have it
            if facts.instance.state is not State.SHUTTING_DOWN:
                return
            machine.end_machine(directory)
            consoles.keep(services, instance_id, facts.instance.boot_count, directory)
            disk_export.end_still_disk(directory)
            unexport(services, facts.volumes)
            for volume in facts.volumes:
                _take_out(services, directory, volume)
            remove_directory(services.data, instance_id)
    with services.database.write() as c:
        context.save(c, progress_percent=90)
        gone = _end_volumes(services, c, instance_id)
        instances.set_state(c, instance_id, Event.TERMINATED, now=services.now())
    for volume_id in gone:
        forget_volume(services, volume_id)


def _take_out(services: Services, directory: Directory, volume: Volume) -> None:
    """The file of every volume outlives the directory: while there is a row, a snapshot of it may be asked for."""
    try:
        volume_files.move_out(services.data, directory, volume.id)
    except MachineFailed:  # it is still open to what its guest left behind
        if not goes(volume):
            raise


def _end_volumes(services: Services, c: Connection, instance_id: str) -> list[str]:
    """Deletes the volumes that go and lets the others go free; the ids of those whose bytes are to go."""
    gone = []
    for volume in volumes.volumes_of(c, instance_id):
        if goes(volume) and not volumes.is_being_read(c, volume.id):
            volumes.delete_volume(c, volume.id)
            gone.append(volume.id)
            continue
        volumes.detach_volume(c, volume.id)
        if goes(volume):  # its bytes go once the snapshot that is being made of it is there
            volumes.set_deleting(c, volume.id)
            volume_work.enqueue(c, services, replace(volume, instance_id=None), volume_work.DELETE)
    drop_unused_roots(services, c)
    return gone


def goes(volume: Volume) -> bool:
    """Whether the volume ends with its instance."""
    return volume.is_instance_store or (volume.delete_on_termination and not volume.is_leaving)


def give_up(context: JobContext, why: str) -> None:
    """Nothing: the instance stays in shutting-down, and the supervisor asks again."""
