"""Content digests of images, and the images that have one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select, update

from amiable.database import allowed_images
from amiable.database.organizations import grantee_words
from amiable.database.schema import image as I
from amiable.database.schema import launch_permission as P
from amiable.database.schema import resource_product_code as R
from amiable.database.schema import snapshot as S
from amiable.model.allowed_images import AllowedImagesState
from amiable.model.image import ImageState, ImageType
from amiable.model.snapshot import COMPLETED

HELD = (ImageState.AVAILABLE.value, ImageState.DISABLED.value)
"""States in which an image has content."""


def set_digest(c: Connection, image_id: str, digest: bytes) -> None:
    """Keeps the image's digest."""
    c.execute(update(I).where(I.c.id == image_id).values(content_digest=digest))


def set_disk_digest(c: Connection, snapshot_id: str, digest: bytes) -> None:
    """Keeps the content digest of a completed snapshot's disk."""
    c.execute(update(S).where(S.c.id == snapshot_id).values(content_digest=digest))


def disks_without_digest(c: Connection, limit: int, *, after: str) -> list[tuple[str, int]]:
    """(id, GiB) of completed snapshots that have no digest, by id, those after ``after``; not the roots of instance-store images."""
    without = (S.c.state == COMPLETED) & S.c.content_digest.is_(None) & S.c.is_internal.is_(False)
    query = select(S.c.id, S.c.size_gib).where(without, S.c.id > after)
    return [(row.id, row.size_gib) for row in c.execute(query.order_by(S.c.id).limit(limit))]


def images_without_digest(
    c: Connection, types: Sequence[ImageType], limit: int, *, after: str
) -> list[tuple[str, str]]:
    """(id, region) of images of these types that have content and no digest, by id, those after ``after``."""
    without = I.c.content_digest.is_(None) & I.c.state.in_(HELD) & I.c.image_type.in_(types)
    query = select(I.c.id, I.c.region).where(without, I.c.id > after)
    return [(row.id, row.region) for row in c.execute(query.order_by(I.c.id).limit(limit))]


@dataclass(frozen=True, slots=True)
class Seeker:
    """Who looks for images, where and when."""

    viewer: str
    region: str
    now: datetime


def equal_images(c: Connection, digest: bytes, seeker: Seeker, *, limit: int) -> list[str]:
    """Ids of the machine images of this digest that the seeker may launch now, the best first, ``limit`` at most.

    The seeker's own come first, then those without product codes, then the oldest; what its allowed images settings hide is not there.
    """
    viewer = seeker.viewer
    granted = select(P.c.image_id).where(P.c.grantee.in_(grantee_words(c, viewer)))
    costs = select(R.c.resource_id).where(R.c.resource_id == I.c.id).exists()
    query = select(I.c.id).where(
        I.c.content_digest == digest,
        I.c.region == seeker.region,
        I.c.state == ImageState.AVAILABLE.value,
        I.c.image_type == ImageType.MACHINE.value,
        or_(I.c.account_id == viewer, I.c.id.in_(granted)),
    )
    settings = allowed_images.find(c, viewer, seeker.region)
    if settings.state is AllowedImagesState.ENABLED:
        query = query.where(allowed_images.allows(settings, viewer, seeker.now))
    query = query.order_by((I.c.account_id != viewer), costs, I.c.created_at, I.c.id)
    return list(c.execute(query.limit(limit)).scalars())
