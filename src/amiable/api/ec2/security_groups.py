"""CreateSecurityGroup, DeleteSecurityGroup, DescribeSecurityGroups.

A group is known by its id, or by its name in the default VPC.  Enforced where guests are routed (``docs/network.md``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import put_born_tags, refuse_page_of_ids, the_one, those_named
from amiable.api.ec2.security_group_views import permissions_of
from amiable.api.ec2.tags import birth_tags, parse_filters, tag_set
from amiable.api.paging import PageBounds, open_page
from amiable.database import network, security_groups, tags
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, MissingParameter, NotFound
from amiable.model.network import SecurityGroup, SecurityGroupRule
from amiable.model.network_errors import (
    CannotDelete,
    DependencyViolation,
    InvalidGroupDuplicate,
    SecurityGroupLimitExceeded,
    VPCIdNotSpecified,
)
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.identifiers import check_form
from amiable.rules.security_group import GROUPS_MAX, check_description, check_name
from amiable.services import Services
from amiable.wire.generated import ec2


@dataclass(frozen=True, slots=True)
class GroupView:
    """A security group with its rules, the names of the groups that they name, and the caller's tags of it."""

    group: SecurityGroup
    rules: Sequence[SecurityGroupRule] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def of(self, *, is_egress: bool) -> list[SecurityGroupRule]:
        return [rule for rule in self.rules if rule.is_egress is is_egress]

    def peer_names(self, *, is_egress: bool) -> Iterable[str | None]:
        return (self.names.get(rule.referenced_group_id or "") for rule in self.of(is_egress=is_egress))


def _rule_fields(prefix: str, is_egress: bool) -> dict[str, filters.Field[GroupView]]:
    """The filters of one direction's rules."""

    def of(view: GroupView) -> list[SecurityGroupRule]:
        return view.of(is_egress=is_egress)

    return {
        f"{prefix}.cidr": lambda v: (rule.cidr_ipv4 for rule in of(v)),
        f"{prefix}.from-port": lambda v: (_number(rule.from_port) for rule in of(v)),
        f"{prefix}.group-id": lambda v: (rule.referenced_group_id for rule in of(v)),
        f"{prefix}.group-name": lambda v: v.peer_names(is_egress=is_egress),
        f"{prefix}.ipv6-cidr": lambda v: (rule.cidr_ipv6 for rule in of(v)),
        f"{prefix}.prefix-list-id": lambda v: (rule.prefix_list_id for rule in of(v)),
        f"{prefix}.protocol": lambda v: (rule.protocol for rule in of(v)),
        f"{prefix}.to-port": lambda v: (_number(rule.to_port) for rule in of(v)),
        f"{prefix}.user-id": lambda v: (rule.account_id for rule in of(v) if rule.referenced_group_id),
    }


def _number(port: int | None) -> str | None:
    return None if port is None else str(port)


FIELDS: Final[Mapping[str, filters.Field[GroupView]]] = {
    "description": lambda v: (v.group.description,),
    "group-id": lambda v: (v.group.id,),
    "group-name": lambda v: (v.group.name,),
    "owner-id": lambda v: (v.group.account_id,),
    "vpc-id": lambda v: (v.group.vpc_id,),
    **_rule_fields("ip-permission", False),
    **_rule_fields("egress.ip-permission", True),
}


def create_security_group(
    services: Services, principal: Principal, request: ec2.CreateSecurityGroupRequest
) -> ec2.CreateSecurityGroupResult:
    """Makes a group that lets everything out and nothing in; in the default VPC without another."""
    check_name(request.group_name)
    check_description(request.description)
    born = birth_tags(request.tag_specifications, ("security-group",))
    owner = (principal.account_id, principal.region)
    with services.database.write_and_answer() as c:
        vpc_id = _vpc_id(c, principal, request.vpc_id)
        mine = network.list_security_groups(c, *owner)
        if any(group.vpc_id == vpc_id and group.name == request.group_name for group in mine):
            raise InvalidGroupDuplicate(name=request.group_name, vpc_id=vpc_id)
        if len(mine) >= GROUPS_MAX:
            raise SecurityGroupLimitExceeded(maximum=GROUPS_MAX)
        raise_if_dry_run(request)
        new_id = services.mint(ids.SECURITY_GROUP)
        group = SecurityGroup(new_id, *owner, vpc_id, request.group_name, request.description)
        security_groups.insert_group(c, group, services.mint)
        given = put_born_tags(c, principal, group.id, "security-group", born)
    return ec2.CreateSecurityGroupResult(group_id=group.id, tags=tag_set(given), security_group_arn=arn_of(group))


def _vpc_id(c: Connection, principal: Principal, vpc_id: str | None) -> str:
    if vpc_id is not None:
        return the_one("vpc", ids.VPC, vpc_id, network.list_vpcs(c, principal.account_id, principal.region)).id
    default = network.find_default_vpc(c, principal.account_id, principal.region)
    if default is None:
        raise VPCIdNotSpecified()
    return default.id


def find_group(c: Connection, principal: Principal, group_id: str | None, group_name: str | None) -> SecurityGroup:
    """The caller's group of this id, or of this name in the default VPC; one of the two is given."""
    if group_id and group_name:
        raise InvalidParameterCombination("The parameters groupId and groupName cannot be used together.")
    mine = network.list_security_groups(c, principal.account_id, principal.region)
    if group_id:
        return the_one("security_group", ids.SECURITY_GROUP, group_id, mine)
    if not group_name:
        raise MissingParameter("The request must contain the parameter GroupId or GroupName")
    return _by_name(c, principal, [group_name], mine)[0]


def _by_name(
    c: Connection, principal: Principal, names: Sequence[str], groups: Sequence[SecurityGroup]
) -> list[SecurityGroup]:
    """Those of the default VPC with these names."""
    default = network.find_default_vpc(c, principal.account_id, principal.region)
    there = [group for group in groups if default is not None and group.vpc_id == default.id]
    missing = [name for name in dict.fromkeys(names) if name not in {group.name for group in there}]
    if missing:
        raise NotFound("security_group", missing)
    return [group for group in there if group.name in set(names)]


def delete_security_group(
    services: Services, principal: Principal, request: ec2.DeleteSecurityGroupRequest
) -> ec2.DeleteSecurityGroupResult:
    """Deletes a group that no interface is in and no other group's rule names; a VPC's default group stays."""
    with services.database.write_and_answer() as c:
        group = find_group(c, principal, request.group_id, request.group_name)
        if group.name == security_groups.DEFAULT:
            raise CannotDelete(group_id=group.id, name=group.name)
        users = [*security_groups.interfaces_in(c, group.id), *security_groups.groups_that_name(c, group.id)]
        if users:
            raise DependencyViolation(
                f"resource {group.id} has a dependent object",
                hint=f"take {', '.join(users[:3])} out of it, or what names it out of them",
            )
        raise_if_dry_run(request)
        for rule in security_groups.rules_of(c, [group.id])[group.id]:
            tags.forget(c, rule.id)
        security_groups.delete_group(c, group.id)
        tags.forget(c, group.id)
    return ec2.DeleteSecurityGroupResult(return_=True, group_id=group.id)


def describe_security_groups(
    services: Services, principal: Principal, request: ec2.DescribeSecurityGroupsRequest
) -> ec2.DescribeSecurityGroupsResult:
    """The caller's security groups with their rules, by id, or by name in the default VPC."""
    check_form("security_group", ids.SECURITY_GROUP, request.group_ids)
    refuse_page_of_ids([*(request.group_ids or []), *(request.group_names or [])], request.max_results)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, request, PageBounds(size_min=5))
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = network.list_security_groups(c, principal.account_id, principal.region)
        named = those_named("security_group", request.group_ids, mine, lambda group: group.id)
        if request.group_names:
            named = _by_name(c, principal, request.group_names, named)
        tagged = tags.tags_of(c, principal.account_id, [group.id for group in named])
        rules = _rules(c, principal)
    names = {group.id: group.name for group in mine}
    views = [GroupView(group, rules.get(group.id, ()), names, tagged.get(group.id, {})) for group in named]
    found = [view for view in views if wanted(view)]
    shown, token = page.cut(found, lambda view: view.group.id)
    return ec2.DescribeSecurityGroupsResult(security_groups=[_group(view) for view in shown], next_token=token)


def _rules(c: Connection, principal: Principal) -> dict[str, list[SecurityGroupRule]]:
    """The caller's rules by group."""
    found: dict[str, list[SecurityGroupRule]] = {}
    for rule in security_groups.list_rules(c, principal.account_id, principal.region):
        found.setdefault(rule.group_id, []).append(rule)
    return found


def _group(view: GroupView) -> ec2.SecurityGroup:
    group = view.group
    return ec2.SecurityGroup(
        group_id=group.id,
        group_name=group.name,
        description=group.description,
        owner_id=group.account_id,
        vpc_id=group.vpc_id,
        security_group_arn=arn_of(group),
        ip_permissions=permissions_of(view.of(is_egress=False)),
        ip_permissions_egress=permissions_of(view.of(is_egress=True)),
        tags=tag_set(view.tags),
    )


def arn_of(group: SecurityGroup) -> str:
    """The group's ARN."""
    return f"arn:aws:ec2:{group.region}:{group.account_id}:security-group/{group.id}"
