"""What retirement changes in an image's row."""

from datetime import datetime

from sqlalchemy import Connection, delete, update

from amiable.database.schema import image as I
from amiable.database.schema import launch_permission as P
from amiable.model.image import ImageState


def set_deprecation(c: Connection, image_id: str, moment: datetime | None) -> None:
    """Sets when the image is deprecated; None: never."""
    c.execute(update(I).where(I.c.id == image_id).values(deprecation_at=moment))


def disable(c: Connection, image_id: str) -> None:
    """available → disabled; nobody but the owner has anything of it any more."""
    here = (I.c.id == image_id) & (I.c.state == ImageState.AVAILABLE)
    c.execute(update(I).where(here).values(state=str(ImageState.DISABLED)))
    c.execute(delete(P).where(P.c.image_id == image_id))


def enable(c: Connection, image_id: str) -> None:
    """disabled → available; it is shared with nobody."""
    here = (I.c.id == image_id) & (I.c.state == ImageState.DISABLED)
    c.execute(update(I).where(here).values(state=str(ImageState.AVAILABLE)))


def set_protection(c: Connection, image_id: str, protection: str | None, *, until: datetime | None) -> None:
    """Sets how the image is protected from deregistration, and the end of the cooldown after that."""
    c.execute(update(I).where(I.c.id == image_id).values(deregistration_protection=protection, protected_until=until))


def note_launch(c: Connection, image_id: str, now: datetime) -> None:
    """Notes that the image was launched."""
    c.execute(update(I).where(I.c.id == image_id).values(last_launched_at=now))
