"""The Recycle Bin in Amiable's own API: what is in it, by which rules, and what the rules come to for each image."""

from dataclasses import dataclass

from amiable.database import recycle_bin, retention, tags
from amiable.model.principal import Principal
from amiable.model.recycle_bin import BinnedImage, PlannedImage
from amiable.model.retention import RetentionRule
from amiable.model.snapshot import Snapshot
from amiable.rules.recycle_bin import Tagged, plan
from amiable.services import Services


@dataclass(frozen=True, slots=True)
class Contents:
    """All that the account has in the bin."""

    images: tuple[BinnedImage, ...]
    snapshots: tuple[Snapshot, ...]


def read_contents(services: Services, principal: Principal) -> Contents:
    """What the caller has in the bin, images and snapshots."""
    owner, now = (principal.account_id, principal.region), services.now()
    with services.database.read() as c:
        return Contents(
            tuple(recycle_bin.list_images(c, *owner, now=now)), tuple(recycle_bin.list_snapshots(c, *owner, now=now))
        )


def list_rules(services: Services, principal: Principal) -> list[RetentionRule]:
    """The caller's retention rules, of every type."""
    with services.database.read() as c:
        return retention.list_rules(c, principal.account_id, principal.region)


def read_plan(services: Services, principal: Principal) -> list[PlannedImage]:
    """The caller's images with what would keep them, and warnings where snapshots would leave the bin before their image."""
    owner, now = (principal.account_id, principal.region), services.now()
    with services.database.read() as c:
        there = recycle_bin.snapshots_to_plan(c, *owner, now)
        tagged = Tagged(
            retention.list_rules(c, *owner),
            tags.tags_of_type(c, *owner, "image"),
            tags.tags_of_type(c, *owner, "snapshot"),
        )
        return [plan(image, there, tagged, now) for image in recycle_bin.images_to_plan(c, *owner, now)]
