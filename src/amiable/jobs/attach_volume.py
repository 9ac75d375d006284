"""The work of AttachVolume: the volume's file into its instance's directory, and the disk into the machine if that runs.

Safe to run twice: a file that has moved stays, a device that is there is left.  What cannot be attached is available again, once its
machine, if that has the disk all the same, has let go of it.  A volume that is being read where it lies waits for that: the supervisor
asks again.  A snapshot that was asked for and has not begun waits for the attachment.
"""

import logging

from amiable.database import volumes
from amiable.jobs.context import JobContext
from amiable.jobs.machine import FAILURES, unexport, words
from amiable.jobs.volume_machine import held, is_out, locked_directory, move_in, plug, running
from amiable.model.volume import AttachmentState, Volume
from amiable.services import Services, volume_work
from amiable.vm import volume_files
from amiable.vm.directory import Directory, DirectoryBusy
from amiable.vm.machine import MachineFailed

log = logging.getLogger("amiable.volumes")


def attach_volume(context: JobContext) -> None:
    """Runs the job; data: volume_id."""
    volume = _attaching(context.services, context.data["volume_id"])
    if volume is None or volume.instance_id is None:
        return
    try:
        _attach(context, volume.instance_id)
    except DirectoryBusy:
        raise
    except FAILURES as error:
        give_up(context, words(error))


def _attaching(services: Services, volume_id: str) -> Volume | None:
    it = held(services, volume_id)
    is_wanted = it is not None and it.volume.attachment_state is AttachmentState.ATTACHING
    return it.volume if it is not None and is_wanted else None


def _attach(context: JobContext, instance_id: str) -> None:
    services, volume_id = context.services, context.data["volume_id"]
    with locked_directory(services, instance_id) as directory:
        it = held(services, volume_id)
        if it is None or it.volume.instance_id != instance_id or _attaching(services, volume_id) is None:
            return
        if directory is not None:
            if not move_in(services, directory, volume_id):
                return
            with running(directory) as qmp:
                if qmp is not None:
                    plug(services, directory, qmp, it)
        with services.database.write() as c:
            context.save(c, progress_percent=90)
            volumes.set_attachment(c, volume_id, AttachmentState.ATTACHED)


def give_up(context: JobContext, why: str) -> None:
    """The volume is available again; detaching first where its machine may have it."""
    services, volume_id = context.services, context.data["volume_id"]
    volume = _attaching(services, volume_id)
    if volume is None or volume.instance_id is None:
        return
    log.error("%s: cannot be attached to %s: %s", volume_id, volume.instance_id, why)
    with locked_directory(services, volume.instance_id) as directory:
        if _attaching(services, volume_id) is None:
            return
        if not _is_surely_out(services, directory, volume_id):
            with services.database.write() as c:
                context.save(c, progress_percent=90)
                volumes.set_attachment(c, volume_id, AttachmentState.DETACHING)
                volume_work.enqueue(c, services, volume, volume_work.KIND_OF[AttachmentState.DETACHING])
            return
        unexport(services, (volume,))
        if directory is not None:
            volume_files.move_out(services.data, directory, volume_id)
        with services.database.write() as c:
            context.save(c, progress_percent=90)
            volumes.detach_volume(c, volume_id)


def _is_surely_out(services: Services, directory: Directory | None, volume_id: str) -> bool:
    it = held(services, volume_id)
    try:
        return it is None or is_out(directory, it)
    except MachineFailed:
        return False
