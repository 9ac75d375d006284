"""Tag rows, and whether what is to be tagged exists.

A tag is its tagger's: every query here is for one account.  What can be tagged is one table, ``_OWNED``, and the images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, or_, select

from amiable.database import schema, sharing
from amiable.database.organizations import grantee_words
from amiable.database.schema import tag as T
from amiable.database.text_match import matches
from amiable.model import ids
from amiable.model.tags import Tag
from amiable.rules.filters import Filter

IDS_PER_STATEMENT_MAX: Final = 500
"""SQLite bounds the variables of one statement."""

IMAGE_PREFIXES: Final = (ids.AMI, ids.AKI, ids.ARI)

_OWNED: Final[dict[str, tuple[str, Table]]] = {
    ids.SNAPSHOT: ("snapshot", schema.snapshot),
    ids.INSTANCE: ("instance", schema.instance),
    ids.VOLUME: ("volume", schema.volume),
    ids.KEY_PAIR: ("key-pair", schema.key_pair),
    ids.LAUNCH_TEMPLATE: ("launch-template", schema.launch_template),
    ids.IMPORT_SNAPSHOT_TASK: ("import-snapshot-task", schema.import_snapshot_task),
    ids.IMAGE_USAGE_REPORT: ("image-usage-report", schema.image_usage_report),
    ids.REPLACE_ROOT_VOLUME_TASK: ("replace-root-volume-task", schema.root_replacement),
    ids.VPC: ("vpc", schema.vpc),
    ids.SUBNET: ("subnet", schema.subnet),
    ids.SECURITY_GROUP: ("security-group", schema.security_group),
    ids.SECURITY_GROUP_RULE: ("security-group-rule", schema.security_group_rule),
    ids.NETWORK_INTERFACE: ("network-interface", schema.network_interface),
    ids.INTERNET_GATEWAY: ("internet-gateway", schema.internet_gateway),
    ids.ROUTE_TABLE: ("route-table", schema.route_table),
    ids.NETWORK_ACL: ("network-acl", schema.network_acl),
    ids.DHCP_OPTIONS: ("dhcp-options", schema.dhcp_options),
    ids.ADDRESS_ALLOCATION: ("elastic-ip", schema.address),
}


def resource_type_of(prefix: str) -> str | None:
    """The tag type of ids with this prefix; None when they cannot be tagged."""
    if prefix in IMAGE_PREFIXES:
        return "image"
    return _OWNED[prefix][0] if prefix in _OWNED else None


def existing(c: Connection, account_id: str, region: str, resource_ids: Iterable[str]) -> set[str]:
    """Those of ``resource_ids`` that are there and that the account may tag: its own, images and snapshots that it can see."""
    by_prefix: dict[str, list[str]] = {}
    for resource_id in resource_ids:
        by_prefix.setdefault(ids.prefix_of(resource_id), []).append(resource_id)
    found: set[str] = set()
    for prefix, wanted in by_prefix.items():
        for some in batches(wanted):
            found |= (
                _visible_images(c, account_id, region, some)
                if prefix in IMAGE_PREFIXES
                else _owned(c, account_id, region, prefix, some)
            )
    return found


def _visible_images(c: Connection, account_id: str, region: str, wanted: Sequence[str]) -> set[str]:
    image = schema.image
    seen = sharing.sees_image(account_id, grantee_words(c, account_id))
    there = or_(image.c.deregistered_at.is_(None), and_(image.c.state == "binned", image.c.account_id == account_id))
    here = select(image.c.id).where(image.c.id.in_(wanted), image.c.region == region, there, seen)
    return set(c.execute(here).scalars())


def _owned(c: Connection, account_id: str, region: str, prefix: str, wanted: Sequence[str]) -> set[str]:
    if prefix not in _OWNED:
        return set()
    table = _OWNED[prefix][1]
    may_tag = table.c.account_id == account_id
    if table is schema.snapshot:  # in the Recycle Bin its owner tags it still
        may_tag = or_(sharing.sees_snapshot(account_id), and_(may_tag, table.c.binned_at.is_not(None)))
    query = select(table.c.id).where(table.c.id.in_(wanted), table.c.region == region, may_tag)
    return set(c.execute(query).scalars())


def tags_of(c: Connection, account_id: str, resource_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """The account's tags of each resource that has any: id → key → value, keys in order."""
    found: dict[str, dict[str, str]] = {}
    for some in batches(list(resource_ids)):
        query = select(T.c.resource_id, T.c.key, T.c.value).where(
            T.c.account_id == account_id, T.c.resource_id.in_(some)
        )
        for row in c.execute(query.order_by(T.c.resource_id, T.c.key)):
            found.setdefault(row.resource_id, {})[row.key] = row.value
    return found


def tags_of_type(c: Connection, account_id: str, region: str, resource_type: str) -> dict[str, dict[str, str]]:
    """All of the account's tags on resources of one type, in one query: id → key → value."""
    mine = (T.c.account_id == account_id) & (T.c.region == region) & (T.c.resource_type == resource_type)
    found: dict[str, dict[str, str]] = {}
    for row in c.execute(select(T.c.resource_id, T.c.key, T.c.value).where(mine).order_by(T.c.resource_id, T.c.key)):
        found.setdefault(row.resource_id, {})[row.key] = row.value
    return found


@dataclass(frozen=True, slots=True)
class TaggedResource:
    """A resource with an account's tags of it in a region, which are nobody else's."""

    account_id: str
    region: str
    resource_id: str
    resource_type: str


def put(c: Connection, tagged: TaggedResource, tags: Mapping[str, str]) -> None:
    """Puts tags on the resource, over those with the same keys."""
    if not tags:
        return
    same = (T.c.account_id == tagged.account_id) & (T.c.resource_id == tagged.resource_id) & T.c.key.in_(list(tags))
    c.execute(delete(T).where(same))
    common = asdict(tagged)
    c.execute(insert(T), [{**common, "key": key, "value": value} for key, value in tags.items()])


def remove(
    c: Connection, account_id: str, resource_id: str, *, key: str | None = None, value: str | None = None
) -> None:
    """Takes the account's tags off one resource: all, those of ``key``, or only where ``key`` has ``value``."""
    query = delete(T).where(T.c.account_id == account_id, T.c.resource_id == resource_id)
    if key is not None:
        query = query.where(T.c.key == key)
    if value is not None:
        query = query.where(T.c.value == value)
    c.execute(query)


def forget(c: Connection, resource_id: str) -> None:
    """Drops everybody's tags of a resource that is no more."""
    c.execute(delete(T).where(T.c.resource_id == resource_id))


def tagged(c: Connection, account_id: str, region: str, resource_ids: Iterable[str]) -> set[str]:
    """Those of ``resource_ids`` that carry a tag of the account's, whatever the account may see of them by now."""
    mine = (T.c.account_id == account_id) & (T.c.region == region)
    found: set[str] = set()
    for some in batches(list(resource_ids)):
        found |= set(c.execute(select(T.c.resource_id).where(mine, T.c.resource_id.in_(some))).scalars())
    return found


@dataclass(frozen=True, slots=True)
class TagSelection:
    """Which of the account's tags in the region a list is of; ``rules/tags`` says the same of its filters in values."""

    account_id: str
    region: str
    filters: tuple[Filter, ...] = ()
    after: tuple[str, str] | None = None  # a resource and a key
    size: int | None = None


_FILTERED: Final = {
    "key": T.c.key,
    "resource-id": T.c.resource_id,
    "resource-type": T.c.resource_type,
    "tag-key": T.c.key,
    "value": T.c.value,
}


def list_tags(c: Connection, selection: TagSelection) -> list[Tag]:
    """The selected tags, by resource and key."""
    query = select(T.c.resource_id, T.c.resource_type, T.c.key, T.c.value).where(
        T.c.account_id == selection.account_id,
        T.c.region == selection.region,
        *(_condition(each) for each in selection.filters),
    )
    if selection.after is not None:
        resource_id, key = selection.after
        query = query.where(T.c.resource_id >= resource_id, or_(T.c.resource_id > resource_id, T.c.key > key))
    return [Tag(*row) for row in c.execute(query.order_by(T.c.resource_id, T.c.key).limit(selection.size))]


def _condition(wanted: Filter) -> ColumnElement[bool]:
    if wanted.name in _FILTERED:
        return matches(_FILTERED[wanted.name], wanted.values, is_indexed=wanted.name == "resource-id")
    kind, _, key = wanted.name.partition(":")
    assert kind == "tag" and key, wanted.name
    return and_(T.c.key == key, matches(T.c.value, wanted.values))


def batches(values: Sequence[str]) -> Iterable[Sequence[str]]:
    """``values`` in runs that fit one statement."""
    return (values[at : at + IDS_PER_STATEMENT_MAX] for at in range(0, len(values), IDS_PER_STATEMENT_MAX))
