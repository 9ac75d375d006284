"""Watermark rows.  An image made from another takes over its watermarks as they are, and keeps them."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select

from amiable.database.schema import image_watermark as W
from amiable.model.watermark import Watermark

_FIELDS: Final = tuple(Watermark.__dataclass_fields__)


def attach(c: Connection, image_id: str, watermark: Watermark) -> bool:
    """Adds it behind those that are there; ``False``, and nothing is changed, where the image has one of its key."""
    present = list(c.execute(select(W.c.key).where(W.c.image_id == image_id)).scalars())
    if watermark.key in present:
        return False
    last = c.execute(select(func.max(W.c.position)).where(W.c.image_id == image_id)).scalar()
    c.execute(insert(W).values(**_row(image_id, 0 if last is None else last + 1, watermark)))
    return True


def detach(c: Connection, image_id: str, key: str) -> bool:
    """Takes it away from this image only; ``False`` where there was none."""
    return c.execute(delete(W).where(W.c.image_id == image_id, W.c.key == key)).rowcount == 1


def watermarks_of(c: Connection, image_id: str) -> tuple[Watermark, ...]:
    """The image's, in the order of their attachment."""
    rows = c.execute(select(W).where(W.c.image_id == image_id).order_by(W.c.position))
    return tuple(Watermark(*(getattr(row, name) for name in _FIELDS)) for row in rows)


def inherit(c: Connection, source_image_ids: Iterable[str], image_id: str) -> None:
    """Gives the watermarks of its sources to an image just made from them (CopyImage, CreateImage).

    Who attached one, to which image and when, stays; of two with one key the earlier source's counts.
    """
    for source_id in source_image_ids:
        for watermark in watermarks_of(c, source_id):
            attach(c, image_id, watermark)


def _row(image_id: str, position: int, watermark: Watermark) -> dict[str, Any]:
    values = {name: getattr(watermark, name) for name in _FIELDS}
    return {"image_id": image_id, "position": position, "key": watermark.key} | values
