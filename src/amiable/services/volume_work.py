"""The jobs of volumes: which there is work for, found in the facts.

    attaching   attach-volume        detaching   detach-volume        deleting   delete-volume
    a change that is under way       modify-volume

They run on the host of the volume's instance; the work on one that has none is done by any host.
"""

from typing import Any, Final

from sqlalchemy import Connection

from amiable.database import instances, jobs, volume_modifications, volumes
from amiable.model.volume import AttachmentState, Volume
from amiable.services import Services

KIND_OF: Final = {
    AttachmentState.ATTACHING: "attach-volume",
    AttachmentState.DETACHING: "detach-volume",
}
DELETE: Final = "delete-volume"
MODIFY: Final = "modify-volume"


def enqueue(c: Connection, services: Services, volume: Volume, kind: str, **facts: Any) -> bool:
    """Asks for the job; ``False`` where it is live already."""
    instance = None if volume.instance_id is None else instances.get_instance(c, volume.instance_id)
    key = f"{volume.id}:{kind}" + (":force" if facts.get("force") else "")
    data = {"volume_id": volume.id, **facts}
    host = services.host if instance is None else instance.host
    return jobs.enqueue(c, jobs.NewJob(kind, key, data, host), now=services.now())


def enqueue_moving(c: Connection, services: Services, *, instance_id: str | None = None) -> list[str]:
    """Asks for the job of every volume that has work without one, of one instance if given; their ids."""
    asked = []
    for volume in volumes.list_moving(c):
        if instance_id not in (None, volume.instance_id):
            continue
        kind = DELETE if volume.attachment_state is None else KIND_OF[volume.attachment_state]
        if enqueue(c, services, volume, kind):
            asked.append(volume.id)
    if instance_id is None:
        for volume_id in volume_modifications.list_under_way(c):
            found = volumes.get_volume(c, volume_id)
            if found is not None and enqueue(c, services, found, MODIFY):
                asked.append(volume_id)
    return asked
