"""CreateSubnet, CreateDefaultSubnet, DeleteSubnet, ModifySubnetAttribute."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import put_born_tags, the_one
from amiable.api.ec2.network import subnet_of, subnet_views
from amiable.api.ec2.placement import find_zone, zones_of
from amiable.api.ec2.tags import birth_tags
from amiable.api.ec2.unsupported import Check, anything, only, refuse_others
from amiable.api.ec2.vpcs import find_vpc
from amiable.database import interfaces, network
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from amiable.model.network import Subnet
from amiable.model.network_errors import (
    DefaultSubnetAlreadyExists,
    DefaultVpcDoesNotExist,
    DependencyViolation,
    InvalidSubnetConflict,
    SubnetLimitExceeded,
)
from amiable.model.principal import Principal
from amiable.rules.subnet import SUBNETS_MAX, subnet_network
from amiable.services import Services
from amiable.wire.generated import ec2

ASKED: Final[Mapping[str, Check]] = {
    "availability_zone": anything,
    "availability_zone_id": anything,
    "cidr_block": anything,
    "dry_run": anything,
    "ipv6_native": only(False),
    "tag_specifications": anything,
    "vpc_id": anything,
}


def _off(value: ec2.AttributeBooleanValue) -> bool:
    return value.value is False


CHANGED: Final[Mapping[str, Check]] = {
    "assign_ipv6_address_on_creation": _off,
    "disable_lni_at_device_index": anything,
    "enable_dns64": _off,
    "enable_resource_name_dns_a_record_on_launch": _off,
    "enable_resource_name_dns_aaaa_record_on_launch": _off,
    "map_customer_owned_ip_on_launch": _off,
    "map_public_ip_on_launch": anything,
    "private_dns_hostname_type_on_launch": only("ip-name"),
    "subnet_id": anything,
}


def create_subnet(services: Services, principal: Principal, request: ec2.CreateSubnetRequest) -> ec2.CreateSubnetResult:
    """Makes a subnet of a VPC in a zone, the first where none is named."""
    refuse_others(request, ASKED)
    born = birth_tags(request.tag_specifications, ("subnet",))
    if request.cidr_block is None:
        raise MissingParameter(parameter="CidrBlock")
    zone = _zone(services, principal, request.availability_zone, request.availability_zone_id)
    with services.database.write_and_answer() as c:
        vpc = find_vpc(c, principal, request.vpc_id)
        mine = network.list_subnets(c, principal.account_id, principal.region)
        cidr = subnet_network(request.cidr_block, vpc, mine)
        if sum(subnet.vpc_id == vpc.id for subnet in mine) >= SUBNETS_MAX:
            raise SubnetLimitExceeded(vpc_id=vpc.id, maximum=SUBNETS_MAX)
        raise_if_dry_run(request)
        subnet = Subnet(
            services.mint(ids.SUBNET), principal.account_id, principal.region, vpc.id, zone, cidr, is_default=False
        )
        network.insert_subnet(c, subnet)
        put_born_tags(c, principal, subnet.id, "subnet", born)
        (view,) = subnet_views(c, services, principal, [subnet])
    return ec2.CreateSubnetResult(subnet=subnet_of(view))


def _zone(services: Services, principal: Principal, name: str | None, zone_id: str | None) -> str:
    zones = zones_of(services, principal.region)
    if name is not None and zone_id is not None:
        raise InvalidParameterCombination(
            "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together."
        )
    if name is None and zone_id is None:
        return zones[0].name
    zone = find_zone(services, principal.region, name=name, zone_id=zone_id)
    if zone is not None:
        return zone.name
    raise InvalidParameterValue(
        f"Value ({name or zone_id}) for parameter availabilityZone is invalid. "
        f"Subnets can currently only be created in the following availability zones: {', '.join(z.name for z in zones)}."
    )


def create_default_subnet(
    services: Services, principal: Principal, request: ec2.CreateDefaultSubnetRequest
) -> ec2.CreateDefaultSubnetResult:
    """Makes a zone's default subnet, which was deleted, in the first free part of the default VPC."""
    refuse_others(
        request,
        {
            "availability_zone": anything,
            "availability_zone_id": anything,
            "dry_run": anything,
            "ipv6_native": only(False),
        },
    )
    if request.availability_zone is None and request.availability_zone_id is None:
        raise MissingParameter(parameter="AvailabilityZone")
    zone = _zone(services, principal, request.availability_zone, request.availability_zone_id)
    with services.database.write_and_answer() as c:
        vpc = network.find_default_vpc(c, principal.account_id, principal.region)
        if vpc is None:
            raise DefaultVpcDoesNotExist()
        for each in network.list_subnets(c, principal.account_id, principal.region):
            if each.is_default and each.zone == zone:
                raise DefaultSubnetAlreadyExists(subnet_id=each.id, zone=zone)
        raise_if_dry_run(request)
        subnet = network.create_default_subnet(c, vpc, zone, services.mint)
        if subnet is None:
            raise InvalidSubnetConflict(f"The default VPC {vpc.id} has no free /{network.DEFAULT_SUBNET_BITS} left.")
        (view,) = subnet_views(c, services, principal, [subnet])
    return ec2.CreateDefaultSubnetResult(subnet=subnet_of(view))


def find_subnet(c: Connection, principal: Principal, subnet_id: str) -> Subnet:
    """The caller's subnet of this id."""
    return the_one("subnet", ids.SUBNET, subnet_id, network.list_subnets(c, principal.account_id, principal.region))


def delete_subnet(services: Services, principal: Principal, request: ec2.DeleteSubnetRequest) -> None:
    """Deletes a subnet in which no interface is."""
    with services.database.write_and_answer() as c:
        subnet = find_subnet(c, principal, request.subnet_id)
        mine = interfaces.list_interfaces(c, principal.account_id, principal.region)
        users = [interface.id for interface in mine if interface.subnet_id == subnet.id]
        if users:
            raise DependencyViolation(
                f"The subnet '{subnet.id}' has dependencies and cannot be deleted.",
                hint=f"delete {', '.join(users[:5])}, or terminate what has them",
            )
        raise_if_dry_run(request)
        network.delete_subnet(c, subnet.id)


def modify_subnet_attribute(
    services: Services, principal: Principal, request: ec2.ModifySubnetAttributeRequest
) -> None:
    """Records whether launches ask for a public address; what else there is stays as it is."""
    refuse_others(request, CHANGED)
    wanted = request.map_public_ip_on_launch
    if wanted is not None and wanted.value is None:
        raise MissingParameter(parameter="MapPublicIpOnLaunch.Value")
    with services.database.write_and_answer() as c:
        subnet = find_subnet(c, principal, request.subnet_id)
        if wanted is not None and wanted.value is not None:
            network.set_maps_public_ip(c, subnet.id, wanted.value)
