"""What no call asks for any more, of volumes: work without a job, and files without a volume."""

import logging

from amiable.database import volumes
from amiable.jobs.machine import forget_volume
from amiable.services import Services, volume_work
from amiable.vm import volume_files

log = logging.getLogger("amiable.supervise")


def sweep_volumes(services: Services) -> None:
    """Asks for the jobs of volumes that have none, and removes the files of volumes that are gone."""
    with services.database.write() as c:
        asked = volume_work.enqueue_moving(c, services)
    if asked:
        log.info("resumed: %s", " ".join(asked))
        services.wake()
    left = set(volume_files.list_detached(services.data))
    left |= {path.stem for path in (services.data / "exports").glob("vol-*.map")}
    with services.database.read() as c:
        left -= volumes.existing_volumes(c, sorted(left))
    for volume_id in sorted(left):
        log.warning("%s: left over from a volume that is gone; removing it", volume_id)
        forget_volume(services, volume_id)


def let_go(services: Services, instance_id: str) -> None:
    """A guest has let go of a disk, or its machine has ended: what is being detached from it may go on."""
    with services.database.write() as c:
        asked = volume_work.enqueue_moving(c, services, instance_id=instance_id)
    if asked:
        services.wake()
