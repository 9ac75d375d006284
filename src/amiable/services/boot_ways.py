"""How an instance's root can start, as its image has it: the first sectors of the snapshot that the volume was made of."""

import logging

from amiable.database import volumes
from amiable.model.errors import BlockDamaged
from amiable.model.instance import Instance
from amiable.rules.boot_ways import BootWays, ways_of
from amiable.rules.partition_table import HEAD_BYTES
from amiable.rules.volume import root_of
from amiable.services import Services

log = logging.getLogger("amiable.boot_ways")


def root_ways(services: Services, instance: Instance) -> BootWays | None:
    """The ways of the root; None where it is of no snapshot, or cannot be read."""
    with services.database.read() as c:
        root = root_of(volumes.volumes_of(c, instance.id), instance.root_device_name)
    if root is None or root.snapshot_id is None:
        return None
    try:
        block = services.blocks.read(root.snapshot_id, 0)
    except BlockDamaged as error:
        log.warning("%s: its root's first sectors cannot be read: %s", instance.id, error)
        return None
    return ways_of(bytes(HEAD_BYTES) if block is None else block[:HEAD_BYTES])
