"""Queries on security groups and their rules."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from amiable.database.schema import network_interface_group as M
from amiable.database.schema import security_group as G
from amiable.database.schema import security_group_rule as R
from amiable.model import ids
from amiable.model.network import ALL_PROTOCOLS, SecurityGroup, SecurityGroupRule

DEFAULT: Final = "default"
ANYWHERE: Final = "0.0.0.0/0"


def insert_group(c: Connection, group: SecurityGroup, mint: Callable[[str], str]) -> SecurityGroupRule:
    """Adds the group with the one rule that a new one has, returned: its interfaces may reach anything."""
    c.execute(insert(G).values(**asdict(group)))
    rule = SecurityGroupRule(
        mint(ids.SECURITY_GROUP_RULE),
        group.account_id,
        group.region,
        group.id,
        is_egress=True,
        protocol=ALL_PROTOCOLS,
        cidr_ipv4=ANYWHERE,
    )
    insert_rules(c, [rule])
    return rule


def insert_default_group(c: Connection, vpc_id: str, owner: tuple[str, str], mint: Callable[[str], str]) -> None:
    """Adds a VPC's group ``default``, whose interfaces reach each other besides; ``owner``: account and region."""
    group = SecurityGroup(mint(ids.SECURITY_GROUP), *owner, vpc_id, DEFAULT, "default VPC security group")
    insert_group(c, group, mint)
    from_itself = SecurityGroupRule(
        mint(ids.SECURITY_GROUP_RULE),
        *owner,
        group.id,
        is_egress=False,
        protocol=ALL_PROTOCOLS,
        referenced_group_id=group.id,
    )
    insert_rules(c, [from_itself])


def delete_group(c: Connection, group_id: str) -> None:
    """Removes the group and its rules; nothing refers to it."""
    c.execute(delete(R).where(R.c.group_id == group_id))
    c.execute(delete(G).where(G.c.id == group_id))


def interfaces_in(c: Connection, group_id: str) -> list[str]:
    """The ids of the interfaces in the group."""
    return list(
        c.execute(select(M.c.interface_id).where(M.c.group_id == group_id).order_by(M.c.interface_id)).scalars()
    )


def groups_that_name(c: Connection, group_id: str) -> list[str]:
    """The ids of the other groups with a rule that names this one."""
    query = select(R.c.group_id).where(R.c.referenced_group_id == group_id, R.c.group_id != group_id)
    return list(c.execute(query.distinct().order_by(R.c.group_id)).scalars())


def insert_rules(c: Connection, rules: Sequence[SecurityGroupRule]) -> None:
    """Adds them."""
    if rules:
        c.execute(insert(R), [asdict(rule) for rule in rules])


def delete_rules(c: Connection, rule_ids: Sequence[str]) -> None:
    """Removes them."""
    c.execute(delete(R).where(R.c.id.in_(list(rule_ids))))


def update_rule(c: Connection, rule: SecurityGroupRule) -> None:
    """Replaces what the rule of this id says."""
    c.execute(update(R).where(R.c.id == rule.id).values(**{k: v for k, v in asdict(rule).items() if k != "id"}))


def list_rules(c: Connection, account_id: str, region: str) -> list[SecurityGroupRule]:
    """The rules of the account's groups, by id."""
    rows = c.execute(select(R).where(R.c.account_id == account_id, R.c.region == region).order_by(R.c.id))
    return [_rule(row) for row in rows]


def rules_of(c: Connection, group_ids: Iterable[str]) -> dict[str, tuple[SecurityGroupRule, ...]]:
    """Group id → its rules, by id; an entry for each group."""
    found: dict[str, list[SecurityGroupRule]] = {group_id: [] for group_id in group_ids}
    for row in c.execute(select(R).where(R.c.group_id.in_(list(found))).order_by(R.c.id)):
        found[row.group_id].append(_rule(row))
    return {group_id: tuple(rules) for group_id, rules in found.items()}


def _rule(row: Row[Any]) -> SecurityGroupRule:
    return SecurityGroupRule(**row._mapping)
