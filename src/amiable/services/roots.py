"""Converted roots of instance-store images that nobody needs any more."""

from sqlalchemy import Connection

from amiable.database import images, snapshots
from amiable.services import Services


def drop_unused_roots(services: Services, c: Connection) -> None:
    """Drops the internal snapshots of deregistered images that no volume is made of, in the caller's transaction.

    Called where the last user may have gone: by DeregisterImage, and at the end of an instance.
    """
    for snapshot_id in images.forget_unused_roots(c):
        services.blocks.drop(c, snapshot_id)
        snapshots.delete_row(c, snapshot_id)
