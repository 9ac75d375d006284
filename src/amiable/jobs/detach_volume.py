"""The work of DetachVolume: the disk out of the machine if that runs, then the volume's file out of its instance's directory.

A guest that does not let go in time keeps the volume in ``detaching``; the job ends, and is asked for again when QEMU tells that the
guest has let go, when the machine has ended, and now and then.  With force the disk's file is taken all the same, and the guest gets
errors.  A volume of which a moment is still to be taken together with others waits for that.  Safe to run twice.
"""

from amiable.database import volumes
from amiable.jobs import moments
from amiable.jobs.context import JobContext
from amiable.jobs.machine import unexport
from amiable.jobs.volume_machine import held, is_out, locked_directory
from amiable.vm import volume_files


def detach_volume(context: JobContext) -> None:
    """Runs the job; data: volume_id, force."""
    services, volume_id = context.services, context.data["volume_id"]
    before = held(services, volume_id)
    if before is None or before.volume.instance_id is None or not before.volume.is_leaving:
        return
    is_forced = bool(context.data.get("force"))
    while not is_forced and moments.is_awaited(services, volume_id):
        context.wait(moments.LOOK_SECONDS)
    with locked_directory(services, before.volume.instance_id) as directory:
        it = held(services, volume_id)
        if it is None or it.volume.instance_id != before.volume.instance_id or not it.volume.is_leaving:
            return
        if not is_out(directory, it, is_forced=is_forced):
            return
        unexport(services, (it.volume,))
        if directory is not None:
            volume_files.move_out(services.data, directory, volume_id)
        with services.database.write() as c:
            context.save(c, progress_percent=90)
            volumes.detach_volume(c, volume_id)


def give_up(context: JobContext, why: str) -> None:
    """Nothing: the volume stays in detaching, and the supervisor asks again."""
