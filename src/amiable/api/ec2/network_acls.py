"""DescribeNetworkAcls and DescribeDhcpOptions: what every VPC has, which cannot be changed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.api.ec2.listing import Listing, Tagged, list_page
from amiable.api.ec2.tags import tag_set
from amiable.database import network, routes
from amiable.model import ids
from amiable.model.network import DhcpOptions, NetworkAcl, Subnet
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.services import Services
from amiable.wire.generated import ec2

ANYWHERE: Final = "0.0.0.0/0"
RULES: Final = ((100, "allow"), (32_767, "deny"))
"""A default ACL's entries, in each direction: everything passes, and then nothing would."""


@dataclass(frozen=True, slots=True)
class SeenAcl:
    """A network ACL and the subnets of its VPC, which it serves all."""

    acl: NetworkAcl
    subnets: tuple[Subnet, ...]

    @property
    def id(self) -> str:
        return self.acl.id


def seen_acls(c: Connection, account_id: str, region: str) -> list[SeenAcl]:
    """The account's ACLs, by id."""
    subnets = network.list_subnets(c, account_id, region)
    return [
        SeenAcl(acl, tuple(subnet for subnet in subnets if subnet.vpc_id == acl.vpc_id))
        for acl in routes.list_network_acls(c, account_id, region)
    ]


def association_id(subnet: Subnet) -> str:
    """The id of the tie between a subnet and its VPC's only ACL."""
    return "aclassoc-" + subnet.id.removeprefix("subnet-")


def _entries() -> Iterator[ec2.NetworkAclEntry]:
    for egress in (True, False):
        for number, action in RULES:
            yield ec2.NetworkAclEntry(
                cidr_block=ANYWHERE, egress=egress, protocol="-1", rule_action=action, rule_number=number
            )


def _subnets(read: Callable[[Subnet], str]) -> filters.Field[Tagged[SeenAcl]]:
    return lambda v: (read(subnet) for subnet in v.it.subnets)


ACL_FIELDS: Final[Mapping[str, filters.Field[Tagged[SeenAcl]]]] = {
    "association.association-id": _subnets(association_id),
    "association.network-acl-id": lambda v: [v.id for _ in v.it.subnets],
    "association.subnet-id": _subnets(lambda subnet: subnet.id),
    "default": lambda v: ("true",),
    "entry.cidr": lambda v: (ANYWHERE,),
    "entry.egress": lambda v: (boolean(True), boolean(False)),
    "entry.icmp.code": lambda v: (),
    "entry.icmp.type": lambda v: (),
    "entry.ipv6-cidr": lambda v: (),
    "entry.port-range.from": lambda v: (),
    "entry.port-range.to": lambda v: (),
    "entry.protocol": lambda v: ("-1",),
    "entry.rule-action": lambda v: [action for _, action in RULES],
    "entry.rule-number": lambda v: [str(number) for number, _ in RULES],
    "network-acl-id": lambda v: (v.id,),
    "owner-id": lambda v: (v.it.acl.account_id,),
    "vpc-id": lambda v: (v.it.acl.vpc_id,),
}
ACLS: Final[Listing[SeenAcl]] = Listing("network_acl", ids.NETWORK_ACL, ACL_FIELDS, seen_acls)


def describe_network_acls(
    services: Services, principal: Principal, request: ec2.DescribeNetworkAclsRequest
) -> ec2.DescribeNetworkAclsResult:
    """The caller's network ACLs: the default one of each VPC."""
    shown, token = list_page(services, principal, request, ACLS, request.network_acl_ids)
    return ec2.DescribeNetworkAclsResult(network_acls=[_acl(each) for each in shown], next_token=token)


def _acl(view: Tagged[SeenAcl]) -> ec2.NetworkAcl:
    acl = view.it.acl
    return ec2.NetworkAcl(
        network_acl_id=acl.id,
        vpc_id=acl.vpc_id,
        owner_id=acl.account_id,
        is_default=True,
        entries=list(_entries()),
        associations=[
            ec2.NetworkAclAssociation(
                network_acl_association_id=association_id(subnet), network_acl_id=acl.id, subnet_id=subnet.id
            )
            for subnet in view.it.subnets
        ],
        tags=tag_set(view.tags) or [],
    )


def configurations(region: str) -> dict[str, str]:
    """What guests of the region are told by DHCP, besides their address."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return {"domain-name": domain, "domain-name-servers": "AmazonProvidedDNS"}


DHCP: Final[Listing[DhcpOptions]] = Listing(
    "dhcp_options",
    ids.DHCP_OPTIONS,
    {
        "dhcp-options-id": lambda v: (v.id,),
        "key": lambda v: configurations(v.it.region),
        "owner-id": lambda v: (v.it.account_id,),
        "value": lambda v: configurations(v.it.region).values(),
    },
    routes.list_dhcp_options,
)


def describe_dhcp_options(
    services: Services, principal: Principal, request: ec2.DescribeDhcpOptionsRequest
) -> ec2.DescribeDhcpOptionsResult:
    """The caller's DHCP options: one set a region, EC2's defaults."""
    shown, token = list_page(services, principal, request, DHCP, request.dhcp_options_ids)
    return ec2.DescribeDhcpOptionsResult(
        dhcp_options=[
            ec2.DhcpOptions(
                dhcp_options_id=each.id,
                owner_id=each.it.account_id,
                dhcp_configurations=[
                    ec2.DhcpConfiguration(key=key, values=[ec2.AttributeValue(value=value)])
                    for key, value in configurations(each.it.region).items()
                ],
                tags=tag_set(each.tags) or [],
            )
            for each in shown
        ],
        next_token=token,
    )
