"""DescribeVpcs, DescribeSubnets and DescribeSecurityGroups: the caller's own, from rows.

Groups have no rules yet, and say so with empty lists: in *slirp* mode nothing comes in but through the tunnel, and nothing
goes out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.placement import zones_of
from amiable.api.ec2.tags import parse_filters, tag_set
from amiable.api.paging import cut_page, open_page
from amiable.database import network, tags
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, NotFound
from amiable.model.network import SecurityGroup, Subnet, Vpc
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.rules.identifiers import check_form
from amiable.services import Services
from amiable.wire.generated import ec2

T = TypeVar("T")
PAGE_SIZE_MIN: Final = 5


@dataclass(frozen=True, slots=True)
class VpcView:
    """A VPC and the caller's tags of it."""

    vpc: Vpc
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubnetView:
    """A subnet, how many addresses it has left, its zone's id, and the caller's tags of it."""

    subnet: Subnet
    free: int
    zone_id: str | None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:ec2:{self.subnet.region}:{self.subnet.account_id}:subnet/{self.subnet.id}"


@dataclass(frozen=True, slots=True)
class GroupView:
    """A security group and the caller's tags of it."""

    group: SecurityGroup
    tags: Mapping[str, str] = field(default_factory=dict)


VPC_FIELDS: Final[Mapping[str, filters.Field[VpcView]]] = {
    "cidr": lambda v: (v.vpc.cidr,),
    "cidr-block-association.cidr-block": lambda v: (v.vpc.cidr,),
    "is-default": lambda v: (boolean(v.vpc.is_default),),
    "isDefault": lambda v: (boolean(v.vpc.is_default),),
    "owner-id": lambda v: (v.vpc.account_id,),
    "state": lambda v: ("available",),
    "vpc-id": lambda v: (v.vpc.id,),
}
SUBNET_FIELDS: Final[Mapping[str, filters.Field[SubnetView]]] = {
    "availability-zone": lambda v: (v.subnet.zone,),
    "availability-zone-id": lambda v: (v.zone_id,),
    "availabilityZone": lambda v: (v.subnet.zone,),
    "available-ip-address-count": lambda v: (str(v.free),),
    "cidr": lambda v: (v.subnet.cidr,),
    "cidr-block": lambda v: (v.subnet.cidr,),
    "cidrBlock": lambda v: (v.subnet.cidr,),
    "default-for-az": lambda v: (boolean(v.subnet.is_default),),
    "defaultForAz": lambda v: (boolean(v.subnet.is_default),),
    "map-public-ip-on-launch": lambda v: ("false",),
    "owner-id": lambda v: (v.subnet.account_id,),
    "state": lambda v: ("available",),
    "subnet-arn": lambda v: (v.arn,),
    "subnet-id": lambda v: (v.subnet.id,),
    "vpc-id": lambda v: (v.subnet.vpc_id,),
}
GROUP_FIELDS: Final[Mapping[str, filters.Field[GroupView]]] = {
    "description": lambda v: (v.group.description,),
    "group-id": lambda v: (v.group.id,),
    "group-name": lambda v: (v.group.name,),
    "owner-id": lambda v: (v.group.account_id,),
    "vpc-id": lambda v: (v.group.vpc_id,),
}


def describe_vpcs(services: Services, principal: Principal, request: ec2.DescribeVpcsRequest) -> ec2.DescribeVpcsResult:
    """The caller's VPCs."""
    check_form("vpc", ids.VPC, request.vpc_ids)
    _refuse_page_of_ids(request.vpc_ids, request.max_results)
    wanted = filters.predicate(parse_filters(request.filters), VPC_FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, "DescribeVpcs", request, size_min=PAGE_SIZE_MIN)
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = network.list_vpcs(c, principal.account_id, principal.region)
        tagged = tags.tags_of(c, principal.account_id, [vpc.id for vpc in mine])
    named = _named("vpc", request.vpc_ids, mine, lambda vpc: vpc.id)
    found = [view for vpc in named if wanted(view := VpcView(vpc, tagged.get(vpc.id, {})))]
    shown, token = cut_page(services, principal, "DescribeVpcs", request, page, found, lambda view: view.vpc.id)
    return ec2.DescribeVpcsResult(vpcs=[_vpc(view) for view in shown], next_token=token)


def _vpc(view: VpcView) -> ec2.Vpc:
    vpc = view.vpc
    state = ec2.VpcCidrBlockState(state="associated")
    association_id = "vpc-cidr-assoc-" + vpc.id.removeprefix("vpc-")
    block = ec2.VpcCidrBlockAssociation(association_id=association_id, cidr_block=vpc.cidr, cidr_block_state=state)
    return ec2.Vpc(
        vpc_id=vpc.id,
        owner_id=vpc.account_id,
        cidr_block=vpc.cidr,
        cidr_block_association_set=[block],
        is_default=vpc.is_default,
        instance_tenancy="default",
        state="available",
        tags=tag_set(view.tags),
    )


def describe_subnets(
    services: Services, principal: Principal, request: ec2.DescribeSubnetsRequest
) -> ec2.DescribeSubnetsResult:
    """The caller's subnets; the count of free addresses is taken now."""
    check_form("subnet", ids.SUBNET, request.subnet_ids)
    _refuse_page_of_ids(request.subnet_ids, request.max_results)
    wanted = filters.predicate(parse_filters(request.filters), SUBNET_FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, "DescribeSubnets", request, size_min=PAGE_SIZE_MIN)
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = network.list_subnets(c, principal.account_id, principal.region)
        named = _named("subnet", request.subnet_ids, mine, lambda subnet: subnet.id)
        views = _subnet_views(c, services, principal, named)
    found = [view for view in views if wanted(view)]
    shown, token = cut_page(services, principal, "DescribeSubnets", request, page, found, lambda view: view.subnet.id)
    return ec2.DescribeSubnetsResult(subnets=[_subnet(view) for view in shown], next_token=token)


def _subnet_views(
    c: Connection, services: Services, principal: Principal, subnets: Sequence[Subnet]
) -> list[SubnetView]:
    zone_ids = {zone.name: zone.id for zone in zones_of(services, principal.region)}
    tagged = tags.tags_of(c, principal.account_id, [subnet.id for subnet in subnets])
    return [
        SubnetView(
            subnet, network.count_free_addresses(c, subnet), zone_ids.get(subnet.zone), tagged.get(subnet.id, {})
        )
        for subnet in subnets
    ]


def _subnet(view: SubnetView) -> ec2.Subnet:
    subnet = view.subnet
    return ec2.Subnet(
        subnet_id=subnet.id,
        subnet_arn=view.arn,
        owner_id=subnet.account_id,
        vpc_id=subnet.vpc_id,
        cidr_block=subnet.cidr,
        availability_zone=subnet.zone,
        availability_zone_id=view.zone_id,
        available_ip_address_count=view.free,
        default_for_az=subnet.is_default,
        map_public_ip_on_launch=False,
        assign_ipv6_address_on_creation=False,
        state="available",
        tags=tag_set(view.tags),
    )


def describe_security_groups(
    services: Services, principal: Principal, request: ec2.DescribeSecurityGroupsRequest
) -> ec2.DescribeSecurityGroupsResult:
    """The caller's security groups, by id or by name."""
    check_form("security_group", ids.SECURITY_GROUP, request.group_ids)
    _refuse_page_of_ids([*(request.group_ids or []), *(request.group_names or [])], request.max_results)
    wanted = filters.predicate(parse_filters(request.filters), GROUP_FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, "DescribeSecurityGroups", request, size_min=PAGE_SIZE_MIN)
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = network.list_security_groups(c, principal.account_id, principal.region)
        tagged = tags.tags_of(c, principal.account_id, [group.id for group in mine])
    named = _named("security_group", request.group_ids, mine, lambda group: group.id)
    named = _named("security_group", request.group_names, named, lambda group: group.name)
    found = [view for group in named if wanted(view := GroupView(group, tagged.get(group.id, {})))]
    key: Callable[[GroupView], str] = lambda view: view.group.id  # noqa: E731
    shown, token = cut_page(services, principal, "DescribeSecurityGroups", request, page, found, key)
    return ec2.DescribeSecurityGroupsResult(security_groups=[_group(view) for view in shown], next_token=token)


def _group(view: GroupView) -> ec2.SecurityGroup:
    group = view.group
    return ec2.SecurityGroup(
        group_id=group.id,
        group_name=group.name,
        description=group.description,
        owner_id=group.account_id,
        vpc_id=group.vpc_id,
        security_group_arn=f"arn:aws:ec2:{group.region}:{group.account_id}:security-group/{group.id}",
        ip_permissions=[],
        ip_permissions_egress=[],
        tags=tag_set(view.tags),
    )


def _refuse_page_of_ids(named: Sequence[str] | None, max_results: int | None) -> None:
    if named and max_results is not None:
        raise InvalidParameterCombination("Ids cannot be used with the parameter MaxResults.")


def _named(noun: str, named: Sequence[str] | None, mine: Sequence[T], key: Callable[[T], Any]) -> list[T]:
    """Those of ``mine`` that are named, all without names; every name must be there."""
    if not named:
        return list(mine)
    there = {key(thing) for thing in mine}
    missing = [each for each in dict.fromkeys(named) if each not in there]
    if missing:
        raise NotFound(noun, missing)
    return [thing for thing in mine if key(thing) in set(named)]
