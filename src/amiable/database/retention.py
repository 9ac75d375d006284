"""Rows of retention rules, of what they match, and of their own tags."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from amiable.database.schema import retention_rule as R
from amiable.database.schema import retention_rule_match as M
from amiable.database.schema import retention_rule_tag as T
from amiable.model.retention import RetentionRule, TagMatch


def list_rules(c: Connection, account_id: str, region: str) -> list[RetentionRule]:
    """The account's rules in the region, in the order of their ids."""
    return _read(c, R.c.account_id == account_id, R.c.region == region)


def get(c: Connection, account_id: str, region: str, rule_id: str) -> RetentionRule | None:
    """The account's rule of this id in the region."""
    found = _read(c, R.c.account_id == account_id, R.c.region == region, R.c.id == rule_id)
    return found[0] if found else None


def _read(c: Connection, *where: Any) -> list[RetentionRule]:
    rows = c.execute(select(R).where(*where).order_by(R.c.id)).all()
    named: dict[tuple[str, bool], list[TagMatch]] = {}
    query = select(M).where(M.c.rule_id.in_(select(R.c.id).where(*where))).order_by(M.c.rule_id, M.c.position)
    for row in c.execute(query):
        named.setdefault((row.rule_id, row.is_exclusion), []).append(TagMatch(row.key, row.value))
    return [
        RetentionRule(
            **row._mapping,
            resource_tags=tuple(named.get((row.id, False), ())),
            exclude_tags=tuple(named.get((row.id, True), ())),
        )
        for row in rows
    ]


def insert_rule(c: Connection, rule: RetentionRule) -> None:
    """Writes a new rule."""
    c.execute(insert(R).values(id=rule.id, account_id=rule.account_id, region=rule.region, **_values(rule)))
    _put_matches(c, rule)


def put(c: Connection, rule: RetentionRule) -> None:
    """Writes a rule that is there as it is now."""
    c.execute(update(R).where(R.c.id == rule.id).values(**_values(rule)))
    c.execute(delete(M).where(M.c.rule_id == rule.id))
    _put_matches(c, rule)


def _values(rule: RetentionRule) -> dict[str, Any]:
    return {
        column.name: getattr(rule, column.name) for column in R.c if column.name not in ("id", "account_id", "region")
    }


def _put_matches(c: Connection, rule: RetentionRule) -> None:
    named = [*((tag, False) for tag in rule.resource_tags), *((tag, True) for tag in rule.exclude_tags)]
    rows = [
        {"rule_id": rule.id, "position": position, "is_exclusion": is_exclusion, "key": tag.key, "value": tag.value}
        for position, (tag, is_exclusion) in enumerate(named)
    ]
    if rows:
        c.execute(insert(M), rows)


def delete_rule(c: Connection, rule_id: str) -> None:
    """Removes a rule with all that is its own; what it put into the bin stays there."""
    c.execute(delete(R).where(R.c.id == rule_id))


def tags(c: Connection, rule_id: str) -> dict[str, str]:
    """The rule's own tags, keys in order."""
    return {row.key: row.value for row in c.execute(select(T).where(T.c.rule_id == rule_id).order_by(T.c.key))}


def put_tags(c: Connection, rule_id: str, after: Mapping[str, str]) -> None:
    """Makes ``after`` the rule's own tags."""
    c.execute(delete(T).where(T.c.rule_id == rule_id))
    if after:
        c.execute(insert(T), [{"rule_id": rule_id, "key": key, "value": value} for key, value in after.items()])
