"""CreateVpc, DeleteVpc, CreateDefaultVpc, DescribeVpcAttribute, ModifyVpcAttribute."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import put_born_tags, the_one
from amiable.api.ec2.network import VpcView, vpc_of
from amiable.api.ec2.tags import birth_tags
from amiable.api.ec2.unsupported import Check, anything, only, refuse_others
from amiable.database import interfaces, network, routes, security_groups
from amiable.model import ids
from amiable.model.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from amiable.model.network import Vpc
from amiable.model.network_errors import DefaultVpcAlreadyExists, DependencyViolation, VpcLimitExceeded
from amiable.model.principal import Principal
from amiable.rules.subnet import VPCS_MAX, vpc_network
from amiable.services import Services
from amiable.wire.generated import ec2

ASKED: Final[Mapping[str, Check]] = {
    "amazon_provided_ipv6_cidr_block": only(False),
    "cidr_block": anything,
    "dry_run": anything,
    "instance_tenancy": only("default"),
    "tag_specifications": anything,
}
ATTRIBUTES: Final[Mapping[str, str]] = {
    "enableDnsHostnames": "has_dns_hostnames",
    "enableDnsSupport": "has_dns_support",
}
"""EC2's attribute → the column."""
NO_METRICS: Final = "enableNetworkAddressUsageMetrics"


def create_vpc(services: Services, principal: Principal, request: ec2.CreateVpcRequest) -> ec2.CreateVpcResult:
    """Makes a VPC with its default group, main route table and network ACL."""
    refuse_others(request, ASKED)
    born = birth_tags(request.tag_specifications, ("vpc",))
    if request.cidr_block is None:
        raise MissingParameter(parameter="CidrBlock")
    cidr = vpc_network(request.cidr_block)
    with services.database.write_and_answer() as c:
        _check_room(c, principal)
        raise_if_dry_run(request)
        vpc = Vpc(services.mint(ids.VPC), principal.account_id, principal.region, cidr, False, has_dns_hostnames=False)
        vpc = network.insert_vpc(c, vpc, mint=services.mint, now=services.now())
        given = put_born_tags(c, principal, vpc.id, "vpc", born)
    return ec2.CreateVpcResult(vpc=vpc_of(VpcView(vpc, given)))


def _check_room(c: Connection, principal: Principal) -> None:
    if len(network.list_vpcs(c, principal.account_id, principal.region)) >= VPCS_MAX:
        raise VpcLimitExceeded(maximum=VPCS_MAX)


def create_default_vpc(
    services: Services, principal: Principal, request: ec2.CreateDefaultVpcRequest
) -> ec2.CreateDefaultVpcResult:
    """Makes the default network that the account began with, which it deleted."""
    with services.database.write_and_answer() as c:
        there = network.find_default_vpc(c, principal.account_id, principal.region)
        if there is not None:
            raise DefaultVpcAlreadyExists(vpc_id=there.id)
        _check_room(c, principal)
        raise_if_dry_run(request)
        vpc = network.create_default_vpc(
            c, principal.account_id, principal.region, mint=services.mint, now=services.now()
        )
        for zone in services.settings.zones_in(principal.region):
            network.create_default_subnet(c, vpc, zone, services.mint)
    return ec2.CreateDefaultVpcResult(vpc=vpc_of(VpcView(vpc)))


def find_vpc(c: Connection, principal: Principal, vpc_id: str) -> Vpc:
    """The caller's VPC of this id."""
    return the_one("vpc", ids.VPC, vpc_id, network.list_vpcs(c, principal.account_id, principal.region))


def delete_vpc(services: Services, principal: Principal, request: ec2.DeleteVpcRequest) -> None:
    """Deletes a VPC in which there is nothing but what came with it."""
    with services.database.write_and_answer() as c:
        vpc = find_vpc(c, principal, request.vpc_id)
        users = _things_in(c, vpc)
        if users:
            raise DependencyViolation(
                f"The vpc '{vpc.id}' has dependencies and cannot be deleted.", hint=f"delete {', '.join(users[:5])}"
            )
        raise_if_dry_run(request)
        network.delete_vpc(c, vpc)


def _things_in(c: Connection, vpc: Vpc) -> list[str]:
    """The ids of what was made in the VPC or attached to it."""
    owner = (vpc.account_id, vpc.region)
    groups = [each for each in network.list_security_groups(c, *owner) if each.name != security_groups.DEFAULT]
    tables = [each for each in routes.list_route_tables(c, *owner) if not each.is_main]
    return [
        each.id
        for some in (
            interfaces.list_interfaces(c, *owner),
            network.list_subnets(c, *owner),
            routes.list_internet_gateways(c, *owner),
            groups,
            tables,
        )
        for each in some
        if each.vpc_id == vpc.id
    ]


def describe_vpc_attribute(
    services: Services, principal: Principal, request: ec2.DescribeVpcAttributeRequest
) -> ec2.DescribeVpcAttributeResult:
    """One attribute of a VPC."""
    if request.attribute not in ATTRIBUTES and request.attribute != NO_METRICS:
        raise InvalidParameterValue(
            parameter="attribute",
            value=request.attribute,
            why=f"Expecting one of {', '.join([*ATTRIBUTES, NO_METRICS])}.",
        )
    with services.database.read() as c:
        vpc = find_vpc(c, principal, request.vpc_id)
    raise_if_dry_run(request)
    if request.attribute == "enableDnsSupport":
        value = ec2.AttributeBooleanValue(value=vpc.has_dns_support)
        return ec2.DescribeVpcAttributeResult(vpc_id=vpc.id, enable_dns_support=value)
    if request.attribute == "enableDnsHostnames":
        value = ec2.AttributeBooleanValue(value=vpc.has_dns_hostnames)
        return ec2.DescribeVpcAttributeResult(vpc_id=vpc.id, enable_dns_hostnames=value)
    value = ec2.AttributeBooleanValue(value=False)
    return ec2.DescribeVpcAttributeResult(vpc_id=vpc.id, enable_network_address_usage_metrics=value)


def modify_vpc_attribute(services: Services, principal: Principal, request: ec2.ModifyVpcAttributeRequest) -> None:
    """Changes one attribute of a VPC; kept and told."""
    asked = {
        "enableDnsHostnames": request.enable_dns_hostnames,
        "enableDnsSupport": request.enable_dns_support,
        NO_METRICS: request.enable_network_address_usage_metrics,
    }
    given = {name: each for name, each in asked.items() if each is not None}
    if len(given) > 1:
        raise InvalidParameterCombination("Only one attribute of a VPC can be changed at a time: " + ", ".join(given))
    if not given:
        raise MissingParameter("No attributes specified.")
    ((name, wanted),) = given.items()
    if wanted.value is None:
        raise MissingParameter(parameter=f"{name[0].upper()}{name[1:]}.Value")
    if name == NO_METRICS and wanted.value:
        raise UnsupportedOperation("Network address usage metrics are not supported by Amiable.")
    with services.database.write_and_answer() as c:
        vpc = find_vpc(c, principal, request.vpc_id)
        if name in ATTRIBUTES:
            network.set_vpc_attributes(c, vpc.id, **{ATTRIBUTES[name]: wanted.value})
