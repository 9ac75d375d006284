"""What may be asked of the Recycle Bin, when an image may leave it, and what the rules come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from amiable.model.errors import IncorrectState, InvalidParameterValue
from amiable.model.recycle_bin import PlannedImage
from amiable.model.retention import IMAGE, SNAPSHOT, RetentionRule
from amiable.rules.retention import choose, exit_at

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
            hint=f"amiable recycle-bin restore {' '.join(binned)}",
        )


def _named(snapshot_ids: Sequence[str]) -> str:
    word = "the snapshot" if len(snapshot_ids) == 1 else "the snapshots"
    return f"{word} {', '.join(snapshot_ids)} that"


# ── the plan ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Tagged:
    """The account's rules, and its tags of images and of snapshots: id → key → value."""

    rules: Sequence[RetentionRule]
    image_tags: Mapping[str, Mapping[str, str]]
    snapshot_tags: Mapping[str, Mapping[str, str]]

    def rule_of_snapshot(self, snapshot_id: str) -> RetentionRule | None:
        """The rule that keeps the snapshot once it is deleted."""
        return choose(self.rules, SNAPSHOT, self.snapshot_tags.get(snapshot_id, {}))


def plan(image: PlannedImage, there: Mapping[str, datetime | None], tagged: Tagged, now: datetime) -> PlannedImage:
    """The image with the rule that keeps it, and a warning for each snapshot that would leave the bin before it, deleted ``now`` too.

    ``there``: the snapshots that are not gone, and when each that is in the bin leaves it.
    """
    if image.exit_at is not None:
        lost = [_warn_binned(each, there, tagged, image.exit_at, now) for each in image.snapshot_ids]
        return replace(image, warnings=tuple(warning for warning in lost if warning is not None))
    rule = choose(tagged.rules, IMAGE, tagged.image_tags.get(image.id, {}))
    if rule is None:
        return image
    warnings = []
    for each in image.snapshot_ids:
        keeps = tagged.rule_of_snapshot(each)
        if keeps is not None and keeps.retention_days < rule.retention_days:
            warnings.append(
                f"{each} would be kept for {keeps.retention_days} days by rule {keeps.id}, the image for {rule.retention_days}: "
                "deleted beside it, it goes first, and the image cannot be restored any more"
            )
    return replace(image, rule_id=rule.id, days=rule.retention_days, warnings=tuple(warnings))


def _warn_binned(
    snapshot_id: str, there: Mapping[str, datetime | None], tagged: Tagged, image_exit_at: datetime, now: datetime
) -> str | None:
    if snapshot_id not in there:
        return f"{snapshot_id} is gone: the image cannot be restored any more"
    leaves = there[snapshot_id]
    if leaves is None:
        keeps = tagged.rule_of_snapshot(snapshot_id)
        if keeps is None or exit_at(keeps, now) >= image_exit_at:
            return None
        return (
            f"{snapshot_id} would be kept for {keeps.retention_days} days by rule {keeps.id}, the image is in the bin until "
            f"{image_exit_at:%Y-%m-%dT%H:%M:%SZ}: deleted now, it goes first, and the image cannot be restored any more"
        )
    if leaves >= image_exit_at:
        return None
    return (
        f"{snapshot_id} leaves the bin at {leaves:%Y-%m-%dT%H:%M:%SZ}, the image at {image_exit_at:%Y-%m-%dT%H:%M:%SZ}: "
        "restore it before, or the image cannot be restored any more"
    )
