"""What may be asked of the Recycle Bin, and when an image may leave it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from amiable.model.errors import IncorrectState, InvalidParameterValue

IMAGE_IDS_MAX: Final = 20


def check_count(image_ids: Sequence[str] | None) -> None:
    """Refuses more images in one question than EC2 answers."""
    if len(image_ids or ()) > IMAGE_IDS_MAX:
        raise InvalidParameterValue(
            f"A request may name {IMAGE_IDS_MAX} images at most; this one names {len(image_ids or ())}."
        )


def check_snapshots(image_id: str, needed: Sequence[str], there: Mapping[str, datetime | None]) -> None:
    """Refuses an image some of whose snapshots are gone, or are in the bin themselves.

    ``there``: those of ``needed`` that are not gone, and since when each is in the bin.
    """
    gone = [snapshot_id for snapshot_id in needed if snapshot_id not in there]
    if gone:
        raise IncorrectState(
            f"The image {image_id} cannot be restored: {_named(gone)} it needs left the Recycle Bin for good."
        )
    binned = [snapshot_id for snapshot_id in needed if there[snapshot_id] is not None]
    if binned:
        raise IncorrectState(
            f"The image {image_id} cannot be restored while {_named(binned)} it needs "
            f"{'is' if len(binned) == 1 else 'are'} in the Recycle Bin. Restore {'it' if len(binned) == 1 else 'them'} first.",
            hint=f"aws ec2 restore-snapshot-from-recycle-bin --snapshot-id {binned[0]}",
        )


def _named(snapshot_ids: Sequence[str]) -> str:
    word = "the snapshot" if len(snapshot_ids) == 1 else "the snapshots"
    return f"{word} {', '.join(snapshot_ids)} that"
