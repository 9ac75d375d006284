"""Rows of the instance types that may launch an image; they are read with it."""

from typing import Final

from sqlalchemy import Connection, delete, insert

from amiable.database.schema import image_instance_type as R
from amiable.model.instance_type_rule import InstanceTypeRule

KINDS: Final = ("supported", "unsupported")


def replace_rule(c: Connection, image_id: str, rule: InstanceTypeRule) -> None:
    """Sets the image's rule; an empty one takes it away."""
    c.execute(delete(R).where(R.c.image_id == image_id))
    rows = [
        {"image_id": image_id, "kind": kind, "position": position, "pattern": pattern}
        for kind, patterns in zip(KINDS, (rule.supported, rule.unsupported), strict=True)
        for position, pattern in enumerate(patterns)
    ]
    if rows:
        c.execute(insert(R), rows)
