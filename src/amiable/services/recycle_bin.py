"""Whether what is deleted goes into the Recycle Bin, and its end there.

The callers delete in a transaction of their own: what they hand over is either in the bin afterwards or still theirs to drop.
Kept are EBS-backed machine images and completed snapshots; the rest has no blocks of its own to bring back.
"""

import logging
from typing import Final

from sqlalchemy import Connection

from amiable.database import images, recycle_bin, retention, snapshots
from amiable.database import tags as tag_rows
from amiable.model.image import Image, ImageState, ImageType, RootDeviceType
from amiable.model.retention import IMAGE, SNAPSHOT, RetentionRule
from amiable.model.snapshot import COMPLETED, Snapshot
from amiable.rules.retention import choose, exit_at
from amiable.services import Services

log = logging.getLogger("amiable.recycle-bin")

ENDS_AT_ONCE_MAX: Final = 500
"""How many things one sweep ends: the rest waits for the next."""


def rule_for_image(c: Connection, image: Image) -> RetentionRule | None:
    """The rule that keeps the image once it is deregistered; None where it goes for good."""
    is_kept = image.image_type is ImageType.MACHINE and image.root_device_type is RootDeviceType.EBS
    if not is_kept or image.state not in (ImageState.AVAILABLE, ImageState.DISABLED):
        return None
    tags = tag_rows.tags_of(c, image.account_id, [image.id]).get(image.id, {})
    return choose(retention.list_rules(c, image.account_id, image.region), IMAGE, tags)


def rule_for_snapshot(c: Connection, snapshot: Snapshot) -> RetentionRule | None:
    """The rule that keeps the snapshot once it is deleted; None where it goes for good."""
    if snapshot.state != COMPLETED or snapshot.is_internal:
        return None
    tags = tag_rows.tags_of(c, snapshot.account_id, [snapshot.id]).get(snapshot.id, {})
    return choose(retention.list_rules(c, snapshot.account_id, snapshot.region), SNAPSHOT, tags)


def keep_image(services: Services, c: Connection, image: Image) -> bool:
    """Moves the image into the bin where a rule keeps it; whether one does."""
    rule = rule_for_image(c, image)
    if rule is None:
        return False
    now = services.now()
    recycle_bin.put_image(c, image.id, now=now, exit_at=exit_at(rule, now))
    return True


def keep_snapshot(services: Services, c: Connection, snapshot: Snapshot) -> bool:
    """Moves the snapshot into the bin where a rule keeps it; whether one does."""
    rule = rule_for_snapshot(c, snapshot)
    if rule is None:
        return False
    now = services.now()
    recycle_bin.put_snapshot(c, snapshot.id, now=now, exit_at=exit_at(rule, now))
    return True


def drop_snapshot(services: Services, c: Connection, snapshot_id: str) -> None:
    """Drops a snapshot that nothing needs: its map, its row and everybody's tags of it; its bytes become reclaimable."""
    services.blocks.drop(c, snapshot_id)
    snapshots.delete_row(c, snapshot_id)
    tag_rows.forget(c, snapshot_id)


def end_what_is_over(services: Services) -> int:
    """Ends what has been in the bin for its time; how many things there were.  Images first: they need the snapshots."""
    with services.database.write() as c:
        now = services.now()
        image_ids = recycle_bin.images_over(c, now, ENDS_AT_ONCE_MAX)
        for image_id in image_ids:
            images.deregister(c, image_id, now=now)
            tag_rows.forget(c, image_id)
        snapshot_ids = recycle_bin.snapshots_over(c, now, ENDS_AT_ONCE_MAX)
        for snapshot_id in snapshot_ids:
            drop_snapshot(services, c, snapshot_id)
    if image_ids or snapshot_ids:
        log.info("left the Recycle Bin for good: %s", " ".join([*image_ids, *snapshot_ids]))
    return len(image_ids) + len(snapshot_ids)
