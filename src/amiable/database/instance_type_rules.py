"""Rows of the instance types that may launch an image; an image without rows may be launched on every type."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, insert, select

from amiable.database.schema import image_instance_type as R
from amiable.model.instance_type_rule import InstanceTypeRule

KINDS: Final = ("supported", "unsupported")
NO_RULE: Final = InstanceTypeRule()


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
    return _rules_where(c, R.c.image_id == image_id).get(image_id, NO_RULE)


def rules_of_selected(c: Connection, image_ids: Select[Any]) -> dict[str, InstanceTypeRule]:
    """The rule of each image whose id the query selects; images without one are not there."""
    return _rules_where(c, R.c.image_id.in_(image_ids))


def _rules_where(c: Connection, condition: ColumnElement[bool]) -> dict[str, InstanceTypeRule]:
    found: dict[str, dict[str, list[str]]] = {}
    for row in c.execute(select(R).where(condition).order_by(R.c.image_id, R.c.kind, R.c.position)):
        found.setdefault(row.image_id, {}).setdefault(row.kind, []).append(row.pattern)
    return {image_id: _rule(kinds.get(kind, ()) for kind in KINDS) for image_id, kinds in found.items()}


def _rule(lists: Iterable[Iterable[str]]) -> InstanceTypeRule:
    supported, unsupported = lists
    return InstanceTypeRule(tuple(supported), tuple(unsupported))
