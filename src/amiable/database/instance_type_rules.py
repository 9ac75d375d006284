"""Rows of the instance types that may launch an image; an image without rows may be launched on every type."""

from typing import Final

from sqlalchemy import Connection, delete, insert, select

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


def rule_of(c: Connection, image_id: str) -> InstanceTypeRule:
    """The image's rule, empty where its owner has set none."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for row in c.execute(select(R).where(R.c.image_id == image_id).order_by(R.c.position)):
        found[row.kind].append(row.pattern)
    return InstanceTypeRule(*(tuple(found[kind]) for kind in KINDS))
