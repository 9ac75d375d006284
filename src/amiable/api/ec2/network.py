"""DescribeVpcs and DescribeSubnets: the caller's own, from rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import PAGE_SIZE_MIN, refuse_page_of_ids, those_named
from amiable.api.ec2.placement import zones_of
from amiable.api.ec2.tags import parse_filters, tag_set
from amiable.api.paging import PageBounds, open_page
from amiable.database import network, tags
from amiable.model import ids
from amiable.model.network import Subnet, Vpc
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.rules.identifiers import check_form
from amiable.services import Services
from amiable.wire.generated import ec2


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


VPC_FIELDS: Final[Mapping[str, filters.Field[VpcView]]] = {
    "cidr": lambda v: (v.vpc.cidr,),
    "cidr-block": lambda v: (v.vpc.cidr,),
    "cidrBlock": lambda v: (v.vpc.cidr,),
    "cidr-block-association.association-id": lambda v: (cidr_association_id(v.vpc),),
    "cidr-block-association.cidr-block": lambda v: (v.vpc.cidr,),
    "cidr-block-association.state": lambda v: ("associated",),
    "dhcp-options-id": lambda v: (v.vpc.dhcp_options_id,),
    "ipv6-cidr-block-association.association-id": lambda v: (),
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda v: (),
    "ipv6-cidr-block-association.ipv6-pool": lambda v: (),
    "ipv6-cidr-block-association.state": lambda v: (),
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
    "customer-owned-ipv4-pool": lambda v: (),
    "default-for-az": lambda v: (boolean(v.subnet.is_default),),
    "defaultForAz": lambda v: (boolean(v.subnet.is_default),),
    "enable-dns64": lambda v: ("false",),
    "enable-lni-at-device-index": lambda v: (),
    "ipv6-cidr-block-association.association-id": lambda v: (),
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda v: (),
    "ipv6-cidr-block-association.state": lambda v: (),
    "ipv6-native": lambda v: ("false",),
    "map-customer-owned-ip-on-launch": lambda v: ("false",),
    "map-public-ip-on-launch": lambda v: (boolean(v.subnet.maps_public_ip),),
    "outpost-arn": lambda v: (),
    "owner-id": lambda v: (v.subnet.account_id,),
    "private-dns-name-options-on-launch.enable-resource-name-dns-a-record": lambda v: ("false",),
    "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": lambda v: ("false",),
    "private-dns-name-options-on-launch.hostname-type": lambda v: ("ip-name",),
    "state": lambda v: ("available",),
    "subnet-arn": lambda v: (v.arn,),
    "subnet-id": lambda v: (v.subnet.id,),
    "vpc-id": lambda v: (v.subnet.vpc_id,),
}


def describe_vpcs(services: Services, principal: Principal, request: ec2.DescribeVpcsRequest) -> ec2.DescribeVpcsResult:
    """The caller's VPCs."""
    check_form("vpc", ids.VPC, request.vpc_ids)
    refuse_page_of_ids(request.vpc_ids, request.max_results)
    wanted = filters.predicate(parse_filters(request.filters), VPC_FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = network.list_vpcs(c, principal.account_id, principal.region)
        tagged = tags.tags_of(c, principal.account_id, [vpc.id for vpc in mine])
    named = those_named("vpc", request.vpc_ids, mine, lambda vpc: vpc.id)
    found = [view for vpc in named if wanted(view := VpcView(vpc, tagged.get(vpc.id, {})))]
    shown, token = page.cut(found, lambda view: view.vpc.id)
    return ec2.DescribeVpcsResult(vpcs=[vpc_of(view) for view in shown], next_token=token)


def cidr_association_id(vpc: Vpc) -> str:
    """The id of the VPC's one network."""
    return "vpc-cidr-assoc-" + vpc.id.removeprefix("vpc-")


def vpc_of(view: VpcView) -> ec2.Vpc:
    """A VPC as EC2 tells it."""
    vpc = view.vpc
    state = ec2.VpcCidrBlockState(state="associated")
    block = ec2.VpcCidrBlockAssociation(
        association_id=cidr_association_id(vpc), cidr_block=vpc.cidr, cidr_block_state=state
    )
    return ec2.Vpc(
        vpc_id=vpc.id,
        owner_id=vpc.account_id,
        cidr_block=vpc.cidr,
        cidr_block_association_set=[block],
        dhcp_options_id=vpc.dhcp_options_id,
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
    refuse_page_of_ids(request.subnet_ids, request.max_results)
    wanted = filters.predicate(parse_filters(request.filters), SUBNET_FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = network.list_subnets(c, principal.account_id, principal.region)
        named = those_named("subnet", request.subnet_ids, mine, lambda subnet: subnet.id)
        views = subnet_views(c, services, principal, named)
    found = [view for view in views if wanted(view)]
    shown, token = page.cut(found, lambda view: view.subnet.id)
    return ec2.DescribeSubnetsResult(subnets=[subnet_of(view) for view in shown], next_token=token)


def subnet_views(
    c: Connection, services: Services, principal: Principal, subnets: Sequence[Subnet]
) -> list[SubnetView]:
    """The subnets with their free addresses and tags, in the same order."""
    zone_ids = {zone.name: zone.id for zone in zones_of(services, principal.region)}
    tagged = tags.tags_of(c, principal.account_id, [subnet.id for subnet in subnets])
    free = network.count_free_addresses(c, subnets)
    return [
        SubnetView(subnet, free[subnet.id], zone_ids.get(subnet.zone), tagged.get(subnet.id, {})) for subnet in subnets
    ]


def subnet_of(view: SubnetView) -> ec2.Subnet:
    """A subnet as EC2 tells it."""
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
        map_public_ip_on_launch=subnet.maps_public_ip,
        map_customer_owned_ip_on_launch=False,
        assign_ipv6_address_on_creation=False,
        ipv6_cidr_block_association_set=[],
        enable_dns64=False,
        ipv6_native=False,
        private_dns_name_options_on_launch=ec2.PrivateDnsNameOptionsOnLaunch(
            hostname_type="ip-name",
            enable_resource_name_dns_a_record=False,
            enable_resource_name_dns_aaaa_record=False,
        ),
        state="available",
        tags=tag_set(view.tags),
    )
