"""CreateTags, DeleteTags, DescribeTags; and tags at birth for the operations that make something.

Tags are private to the account that put them: an image that is shared can be tagged by whoever sees it, and nobody sees
another's tags.  Source: EC2 API, CreateTags and DeleteTags.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.paging import Page, PageBounds, open_page
from amiable.database import instances
from amiable.database import tags as tag_rows
from amiable.database.tags import TagSelection
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, Malformed, MissingParameter, NotFound
from amiable.model.principal import Principal
from amiable.model.tags import RESOURCES_PER_CALL_MAX, Tag
from amiable.rules import filters
from amiable.rules.metadata_options import check_tag_keys
from amiable.rules.tags import check_tag, merge, predicate
from amiable.services import Services
from amiable.services.allowed_images import hidden_images
from amiable.wire.generated import ec2

NOUNS: Final = {
    "image": "image",
    "snapshot": "snapshot",
    "instance": "instance",
    "volume": "volume",
    "key-pair": "key_pair",
    "launch-template": "launch_template",
    "vpc": "vpc",
    "subnet": "subnet",
    "security-group": "security_group",
    "security-group-rule": "security_group_rule",
    "network-interface": "network_interface",
    "internet-gateway": "internet_gateway",
    "route-table": "route_table",
    "network-acl": "network_acl",
    "dhcp-options": "dhcp_options",
    "elastic-ip": "address",
    "import-snapshot-task": "import_task",
    "image-usage-report": "usage_report",
    "replace-root-volume-task": "replace_root_volume_task",
}
"""Tag type → the noun of ``model/errors`` whose codes say that it is not there."""


def create_tags(services: Services, principal: Principal, request: ec2.CreateTagsRequest) -> None:
    """Puts tags on resources, over those with the same keys: all of them or, refused, none."""
    added = read_tags(request.tags)
    with services.database.write_and_answer() as c:
        types = _types(request.resources)
        may_tag = tag_rows.existing(c, principal.account_id, principal.region, types)
        _check_there(types, may_tag - hidden_images(services, c, principal, _images(types)))
        present = tag_rows.tags_of(c, principal.account_id, types)
        for resource_id in types:
            merge(present.get(resource_id, {}), added)
        _check_told(c, types, added)
        raise_if_dry_run(request)
        for resource_id, resource_type in types.items():
            tag_rows.put(
                c, tag_rows.TaggedResource(principal.account_id, principal.region, resource_id, resource_type), added
            )


def _check_told(c: Connection, types: Mapping[str, str], keys: Iterable[str]) -> None:
    """Refuses keys that cannot stand in a path, where one of the resources is an instance whose metadata tells its tags."""
    if instances.tell_tags(c, [each for each, resource_type in types.items() if resource_type == "instance"]):
        check_tag_keys(keys)


def delete_tags(services: Services, principal: Principal, request: ec2.DeleteTagsRequest) -> None:
    """Takes tags off resources: a key alone any value, a key with a value only that; no list at all takes every tag.

    What the caller tagged it may untag, whether it still sees it or not: the tags are its own.
    """
    for tag in request.tags or []:
        if not tag.key:
            raise MissingParameter(parameter="Tag.Key")
        check_tag(tag.key, tag.value or "")
    with services.database.write_and_answer() as c:
        types = _types(request.resources)
        there = tag_rows.existing(c, principal.account_id, principal.region, types)
        _check_there(types, there | tag_rows.tagged(c, principal.account_id, principal.region, types))
        raise_if_dry_run(request)
        for resource_id in types:
            if not request.tags:
                tag_rows.remove(c, principal.account_id, resource_id)
            for tag in request.tags or []:
                tag_rows.remove(c, principal.account_id, resource_id, key=tag.key, value=tag.value)


def describe_tags(services: Services, principal: Principal, request: ec2.DescribeTagsRequest) -> ec2.DescribeTagsResult:
    """The account's own tags in the region."""
    wanted = parse_filters(request.filters)
    predicate(wanted)
    page = open_page(services, principal, request, PageBounds(size_min=5))
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = tag_rows.list_tags(c, _selection(principal, wanted, page))
    shown, token = page.cut(found, _page_key)
    items = [
        ec2.TagDescription(key=tag.key, resource_id=tag.resource_id, resource_type=tag.resource_type, value=tag.value)
        for tag in shown
    ]
    return ec2.DescribeTagsResult(tags=items, next_token=token)


def _selection(principal: Principal, wanted: tuple[filters.Filter, ...], page: Page) -> TagSelection:
    resource_id, _, key = (page.after or "").partition("\0")
    return TagSelection(
        principal.account_id,
        principal.region,
        filters=wanted,
        after=None if page.after is None else (resource_id, key),
        size=None if page.size is None else page.size + 1,
    )


def _page_key(tag: Tag) -> str:
    return f"{tag.resource_id}\0{tag.key}"


def _types(resource_ids: Sequence[str]) -> dict[str, str]:
    """Resource id → tag type, each once; refuses too many, and ids of the wrong form."""
    if not resource_ids:
        raise MissingParameter(parameter="ResourceId")
    if len(resource_ids) > RESOURCES_PER_CALL_MAX:
        raise InvalidParameterValue(
            f"A request may name {RESOURCES_PER_CALL_MAX} resources at most; this one names {len(resource_ids)}."
        )
    types = {each: tag_rows.resource_type_of(ids.prefix_of(each)) for each in resource_ids}
    unknown = [each for each, resource_type in types.items() if resource_type is None]
    if unknown:
        raise NotFound("resource", unknown[:1], *unknown[1:])
    bad = [each for each in types if not ids.is_well_formed(ids.prefix_of(each), each)]
    known = {each: resource_type for each, resource_type in types.items() if resource_type is not None}
    if bad:
        raise Malformed(NOUNS[known[bad[0]]], bad[0], ids.prefix_of(bad[0]), *bad[1:])
    return known


def _images(types: Mapping[str, str]) -> list[str]:
    return [resource_id for resource_id, resource_type in types.items() if resource_type == "image"]


def _check_there(types: Mapping[str, str], there: Collection[str]) -> None:
    """Refuses ids that name nothing the caller may tag."""
    missing = [resource_id for resource_id in types if resource_id not in there]
    if missing:
        raise NotFound(NOUNS[types[missing[0]]], missing[:1], *missing[1:])


def read_tags(tags: Sequence[ec2.Tag] | None) -> dict[str, str]:
    """Keys and values of a request's tags, checked; refuses a key that stands twice."""
    if not tags:
        raise MissingParameter(parameter="Tag")
    read: dict[str, str] = {}
    for tag in tags:
        if tag.key is None:
            raise MissingParameter(parameter="Tag.Key")
        check_tag(tag.key, tag.value or "")
        if tag.key in read:
            raise InvalidParameterValue(f"Duplicate tag key '{tag.key}' specified.")
        read[tag.key] = tag.value or ""
    return merge({}, read)


def birth_tags(
    specifications: Sequence[ec2.TagSpecification] | None, allowed: Collection[str]
) -> dict[str, dict[str, str]]:
    """Resource type → tags that a request's TagSpecifications give to what it makes; refuses a type that it does not make."""
    read: dict[str, dict[str, str]] = {}
    for specification in specifications or []:
        resource_type = specification.resource_type
        if not resource_type:
            raise MissingParameter(parameter="TagSpecification.ResourceType")
        if resource_type not in allowed:
            raise InvalidParameterValue(
                f"'{resource_type}' is not a valid taggable resource type for this operation. Expecting {', '.join(sorted(allowed))}."
            )
        if resource_type in read:
            raise InvalidParameterValue(
                f"The resource type '{resource_type}' stands in more than one TagSpecification."
            )
        read[resource_type] = read_tags(specification.tags)
    return read


def tag_set(tags: Mapping[str, str]) -> list[ec2.Tag] | None:
    """Tags as an answer's element; None, hence no element, when there are none."""
    return [ec2.Tag(key=key, value=value) for key, value in tags.items()] or None


def parse_filters(wanted: Sequence[ec2.Filter] | None) -> tuple[filters.Filter, ...]:
    """A request's filters as values."""
    return filters.parse((each.name, each.values) for each in wanted or [])
