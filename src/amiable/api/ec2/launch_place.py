"""Where RunInstances puts its instances: subnet, groups, addresses, and the interface of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from amiable.api.ec2.launch_request import AskedPlace
from amiable.api.ec2.listing import put_born_tags, the_one
from amiable.api.ec2.placement import find_zone
from amiable.database import interfaces, network
from amiable.database.security_groups import DEFAULT
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, NotFound
from amiable.model.instance import Instance
from amiable.model.network import NetworkInterface, SecurityGroup, Subnet
from amiable.model.network_errors import (
    DifferentNetworksOfLaunch,
    GroupNameNotFound,
    InsufficientFreeAddressesInSubnet,
    InvalidIPAddressInUse,
    InvalidNetworkInterfaceInUse,
    NoDefaultSubnet,
    NoSubnets,
    VPCIdNotSpecified,
)
from amiable.model.principal import Principal
from amiable.rules.identifiers import check_form
from amiable.rules.security_group import check_groups
from amiable.services import Services
from amiable.wire.generated import ec2


@dataclass(frozen=True, slots=True)
class Counts:
    """How many instances are asked for, and how many of them the host takes."""

    minimum: int
    maximum: int
    chosen: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where the instances go, and the address of each; ``interface`` is one that was there, for the one instance."""

    subnet: Subnet
    group_ids: tuple[str, ...]
    addresses: tuple[str, ...]
    interface: NetworkInterface | None = None
    description: str = ""
    delete_on_termination: bool = True


def choose_place(c: Connection, services: Services, principal: Principal, asked: AskedPlace, counts: Counts) -> Place:
    """The place that is asked for; raises where there is none, or too little of it."""
    asked = replace(asked, zone=_zone(services, principal, asked))
    if asked.interface_id is not None:
        return _place_of(c, principal, asked, counts)
    subnet = _choose_subnet(c, services, principal, asked)
    group_ids = choose_groups(c, principal, subnet, asked.group_ids, names=asked.group_names)
    if asked.private_ip is not None and counts.maximum > 1:
        raise InvalidParameterCombination("A PrivateIpAddress can be given for one instance only.")
    addresses = choose_addresses(c, subnet, asked.private_ip, counts.chosen)
    if len(addresses) < counts.minimum:
        raise InsufficientFreeAddressesInSubnet(subnet_id=subnet.id)
    goes = asked.delete_on_termination is not False
    return Place(subnet, group_ids, addresses, description=asked.description, delete_on_termination=goes)


def _place_of(c: Connection, principal: Principal, asked: AskedPlace, counts: Counts) -> Place:
    """The place of an interface that is there, and free."""
    assert asked.interface_id is not None
    mine = interfaces.list_interfaces(c, principal.account_id, principal.region)
    interface = the_one("network_interface", ids.NETWORK_INTERFACE, asked.interface_id, mine)
    if counts.maximum > 1:
        raise InvalidParameterCombination("A NetworkInterfaceId can be given for one instance only.")
    if interface.attachment is not None:
        raise InvalidNetworkInterfaceInUse(interface_id=interface.id)
    if asked.zone not in (None, interface.zone):
        raise InvalidParameterCombination(f"The interface {interface.id} is in {interface.zone}, not in {asked.zone}.")
    subnet = network.get_subnet(c, interface.subnet_id)
    assert subnet is not None, interface
    goes = bool(asked.delete_on_termination)
    return Place(subnet, interface.group_ids, (interface.private_ip,), interface, delete_on_termination=goes)


def _zone(services: Services, principal: Principal, asked: AskedPlace) -> str | None:
    """The zone that is named, by its name or its id; None where none is."""
    if asked.zone is None and asked.zone_id is None:
        return None
    zone = find_zone(services, principal.region, name=asked.zone, zone_id=asked.zone_id)
    if zone is None:
        raise InvalidParameterValue(f"Invalid availability zone: [{asked.zone or asked.zone_id}]")
    return zone.name


def said_zone(c: Connection, services: Services, principal: Principal, request: ec2.RunInstancesRequest) -> str | None:
    """The zone that the request itself says, by its name, its id or its subnet; None without, and where there is no such one."""
    said = request.placement or ec2.Placement()
    zone = find_zone(services, principal.region, name=said.availability_zone, zone_id=said.availability_zone_id)
    if zone is not None:
        return zone.name
    mine = network.list_subnets(c, principal.account_id, principal.region) if request.subnet_id else []
    return next((subnet.zone for subnet in mine if subnet.id == request.subnet_id), None)


def _choose_subnet(c: Connection, services: Services, principal: Principal, asked: AskedPlace) -> Subnet:
    """The subnet named, else the default one of the zone named, else that of the first zone."""
    zones = services.settings.zones_in(principal.region)
    mine = network.list_subnets(c, principal.account_id, principal.region)
    if asked.subnet_id is not None:
        found = the_one("subnet", ids.SUBNET, asked.subnet_id, mine)
        if asked.zone not in (None, found.zone):
            raise InvalidParameterCombination(f"The subnet {found.id} is in {found.zone}, not in {asked.zone}.")
        return found
    wanted = [asked.zone] if asked.zone is not None else zones
    for zone in wanted:
        for subnet in mine:
            if subnet.is_default and subnet.zone == zone:
                return subnet
    vpc = network.find_default_vpc(c, principal.account_id, principal.region)
    if vpc is None:
        raise VPCIdNotSpecified()
    raise NoSubnets(vpc_id=vpc.id) if asked.zone is None else NoDefaultSubnet(zone=asked.zone)


def choose_groups(
    c: Connection, principal: Principal, subnet: Subnet, group_ids: Sequence[str], *, names: Sequence[str] = ()
) -> tuple[str, ...]:
    """The ids of the groups of the subnet's VPC that are named by id or by name; its default group where none is."""
    mine = network.list_security_groups(c, principal.account_id, principal.region)
    here = [group for group in mine if group.vpc_id == subnet.vpc_id]
    check_form("security_group", ids.SECURITY_GROUP, group_ids)
    if not group_ids:
        chosen = _groups_named(here, names or (DEFAULT,), subnet.vpc_id)
        check_groups(chosen)
        return chosen
    missing = [each for each in group_ids if each not in {group.id for group in here}]
    for each in missing:
        if each in {group.id for group in mine}:
            raise DifferentNetworksOfLaunch(group_id=each, subnet_id=subnet.id)
    if missing:
        raise NotFound("security_group", missing)
    chosen = tuple(dict.fromkeys(group_ids))
    check_groups(chosen)
    return chosen


def _groups_named(here: Sequence[SecurityGroup], names: Sequence[str], vpc_id: str) -> tuple[str, ...]:
    known = {group.name: group.id for group in here}
    for name in names:
        if name not in known:
            raise GroupNameNotFound(name=name, vpc_id=vpc_id)
    return tuple(dict.fromkeys(known[name] for name in names))


def choose_addresses(c: Connection, subnet: Subnet, address: str | None, count: int) -> tuple[str, ...]:
    """The address that is asked for, or else up to ``count`` free ones of the subnet."""
    if address is None:
        return tuple(network.free_addresses(c, subnet, count))
    if not network.is_usable_address(subnet, address):
        raise InvalidParameterValue(
            parameter="PrivateIpAddress", value=address, why=f"It is no free address of {subnet.id}, {subnet.cidr}."
        )
    if not network.is_address_free(c, subnet, address):
        raise InvalidIPAddressInUse(address=address)
    return (address,)


def new_mac(services: Services) -> str:
    """A locally administered address of chance."""
    return "02:" + services.entropy(5).hex(":")


def place_interfaces(
    c: Connection,
    principal: Principal,
    place: Place,
    launched: Sequence[Instance],
    born: Mapping[str, Mapping[str, str]],
) -> None:
    """The interface of each instance: a new one, or the one that was there, attached."""
    for instance in launched:
        goes = place.delete_on_termination
        primary = interfaces.primary_of(instance, description=place.description, delete_on_termination=goes)
        if place.interface is None:
            interfaces.insert_interface(c, primary)
        else:
            assert primary.attachment is not None
            interfaces.attach(c, place.interface.id, primary.attachment)
        put_born_tags(c, principal, primary.id, "network-interface", born)
