"""The work of DeleteVolume: the row goes, then the bytes; what a crash leaves of them is swept (``server/volume_sweep``).

A volume that a snapshot is being made of waits for that: the supervisor asks again.
"""

from amiable.database import volumes
from amiable.jobs.context import JobContext
from amiable.jobs.machine import forget_volume
from amiable.model.volume import VolumeState
from amiable.services.roots import drop_unused_roots


def delete_volume(context: JobContext) -> None:
    """Runs the job; data: volume_id."""
    services, volume_id = context.services, context.data["volume_id"]
    with services.database.write() as c:
        volume = volumes.get_volume(c, volume_id)
        if volume is None or volume.state is not VolumeState.DELETING or volumes.is_being_read(c, volume_id):
            return
        context.save(c, progress_percent=90)
        volumes.delete_volume(c, volume_id)
        drop_unused_roots(services, c)
    forget_volume(services, volume_id)


def give_up(context: JobContext, why: str) -> None:
    """Nothing: the volume stays in deleting, and the supervisor asks again."""
