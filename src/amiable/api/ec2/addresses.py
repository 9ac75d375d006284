"""AllocateAddress, ReleaseAddress, AssociateAddress, DisassociateAddress, DescribeAddresses.

An elastic address comes out of the setting ``elastic_range``.  It is a record: it is told wherever EC2 tells it, and leads to the
guest only where the installation's own network maps it so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import put_born_tags, the_one, those_named
from amiable.api.ec2.network_interfaces import find_interface, interface_of_instance
from amiable.api.ec2.tags import birth_tags, parse_filters, tag_set
from amiable.api.ec2.unsupported import anything, only, refuse_others
from amiable.database import addresses, interfaces, routes, tags
from amiable.model import ids
from amiable.model.errors import (
    IncorrectInstanceState,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    NotFound,
)
from amiable.model.network import Address, NetworkInterface
from amiable.model.network_errors import (
    AddressInUse,
    AddressLimitExceeded,
    GatewayNotAttached,
    InsufficientAddressCapacity,
    InvalidAddressNotFound,
    InvalidIPAddressInUse,
    ResourceAlreadyAssociated,
)
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.identifiers import check_form
from amiable.services import Services
from amiable.wire.generated import ec2

NOUN: Final = "address"
ADDRESSES_MAX: Final = 5
DOMAIN: Final = "vpc"


@dataclass(frozen=True, slots=True)
class AddressView:
    """An address with the interface that it stands for, and the caller's tags."""

    address: Address
    interface: NetworkInterface | None
    tags: Mapping[str, str]

    @property
    def instance_id(self) -> str | None:
        attachment = self.interface.attachment if self.interface else None
        return None if attachment is None else attachment.instance_id


FIELDS: Final[Mapping[str, filters.Field[AddressView]]] = {
    "allocation-id": lambda v: (v.address.id,),
    "association-id": lambda v: (v.address.association_id,),
    "domain": lambda v: (DOMAIN,),
    "instance-id": lambda v: (v.instance_id,),
    "network-border-group": lambda v: (v.address.region,),
    "network-interface-id": lambda v: (v.address.interface_id,),
    "network-interface-owner-id": lambda v: (v.address.account_id if v.address.interface_id else None,),
    "private-ip-address": lambda v: (v.address.private_ip,),
    "public-ip": lambda v: (v.address.public_ip,),
}


def describe_addresses(
    services: Services, principal: Principal, request: ec2.DescribeAddressesRequest
) -> ec2.DescribeAddressesResult:
    """The caller's elastic addresses."""
    check_form(NOUN, ids.ADDRESS_ALLOCATION, request.allocation_ids)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda view: view.tags)
    raise_if_dry_run(request)
    owner = (principal.account_id, principal.region)
    with services.database.read() as c:
        mine = addresses.list_addresses(c, *owner)
        held = {interface.id: interface for interface in interfaces.list_interfaces(c, *owner)}
        tagged = tags.tags_of(c, principal.account_id, [address.id for address in mine])
    named = those_named(NOUN, request.allocation_ids, mine, lambda address: address.id)
    for public_ip in request.public_ips or []:
        if public_ip not in {address.public_ip for address in mine}:
            raise InvalidAddressNotFound(public_ip=public_ip)
    views = [
        AddressView(address, held.get(address.interface_id or ""), tagged.get(address.id, {}))
        for address in named
        if not request.public_ips or address.public_ip in request.public_ips
    ]
    return ec2.DescribeAddressesResult(addresses=[_told(view) for view in views if wanted(view)])


def _told(view: AddressView) -> ec2.Address:
    address = view.address
    return ec2.Address(
        allocation_id=address.id,
        association_id=address.association_id,
        domain=DOMAIN,
        instance_id=view.instance_id,
        network_border_group=address.region,
        network_interface_id=address.interface_id,
        network_interface_owner_id=address.account_id if address.interface_id else None,
        private_ip_address=address.private_ip,
        public_ip=address.public_ip,
        public_ipv4_pool="amazon",
        tags=tag_set(view.tags),
    )


def allocate_address(
    services: Services, principal: Principal, request: ec2.AllocateAddressRequest
) -> ec2.AllocateAddressResult:
    """Gives the account an address of the range: the one that is asked for, else the lowest that is free."""
    checks = {
        "address": anything,
        "domain": only(DOMAIN),
        "dry_run": anything,
        "network_border_group": only(principal.region),
        "public_ipv4_pool": only("amazon"),
        "tag_specifications": anything,
    }
    refuse_others(request, checks)
    born = birth_tags(request.tag_specifications, ("elastic-ip",))
    owner = (principal.account_id, principal.region)
    with services.database.write_and_answer() as c:
        if len(addresses.list_addresses(c, *owner)) >= ADDRESSES_MAX:
            raise AddressLimitExceeded(maximum=ADDRESSES_MAX)
        public_ip = _choose(c, services.settings.elastic_range, request.address)
        raise_if_dry_run(request)
        address = Address(services.mint(ids.ADDRESS_ALLOCATION), *owner, public_ip, services.now())
        addresses.insert_address(c, address)
        put_born_tags(c, principal, address.id, "elastic-ip", born)
    return ec2.AllocateAddressResult(
        allocation_id=address.id,
        public_ip=public_ip,
        domain=DOMAIN,
        public_ipv4_pool="amazon",
        network_border_group=principal.region,
    )


def _choose(c: Connection, elastic_range: str, asked: str | None) -> str:
    taken, network = addresses.taken(c), IPv4Network(elastic_range)
    if asked is not None:
        try:
            is_there = IPv4Address(asked) in network
        except ValueError:
            is_there = False
        if not is_there:
            raise InvalidParameterValue(
                parameter="Address", value=asked, why=f"Elastic addresses are given out of {elastic_range}."
            )
        if asked in taken:
            raise InvalidIPAddressInUse(address=asked)
        return asked
    for each in network.hosts():
        if str(each) not in taken:
            return str(each)
    raise InsufficientAddressCapacity(range=elastic_range)


def find_address(c: Connection, principal: Principal, allocation_id: str | None, public_ip: str | None) -> Address:
    """The caller's address, named in one of the two ways."""
    if allocation_id is not None and public_ip is not None:
        raise InvalidParameterCombination("You may specify public IP or allocation id, but not both in the same call")
    mine = addresses.list_addresses(c, principal.account_id, principal.region)
    if allocation_id is not None:
        return the_one(NOUN, ids.ADDRESS_ALLOCATION, allocation_id, mine)
    if public_ip is None:
        raise MissingParameter("Either public IP or allocation id must be specified")
    return _by_public_ip(mine, public_ip)


def _by_public_ip(mine: Sequence[Address], public_ip: str) -> Address:
    for address in mine:
        if address.public_ip == public_ip:
            return address
    raise InvalidAddressNotFound(public_ip=public_ip)


def release_address(services: Services, principal: Principal, request: ec2.ReleaseAddressRequest) -> None:
    """Gives an address back that stands for nothing."""
    refuse_others(
        request,
        {
            "allocation_id": anything,
            "dry_run": anything,
            "network_border_group": only(principal.region),
            "public_ip": anything,
        },
    )
    with services.database.write_and_answer() as c:
        address = find_address(c, principal, request.allocation_id, request.public_ip)
        if address.interface_id is not None:
            raise AddressInUse(public_ip=address.public_ip, interface_id=address.interface_id)
        raise_if_dry_run(request)
        addresses.delete_address(c, address.id)


def associate_address(
    services: Services, principal: Principal, request: ec2.AssociateAddressRequest
) -> ec2.AssociateAddressResult:
    """Lets an address stand for an interface, or an instance's primary one; what stood for it before is free again."""
    if (request.instance_id is None) == (request.network_interface_id is None):
        raise InvalidParameterCombination("Exactly one of InstanceId and NetworkInterfaceId must be specified.")
    with services.database.write_and_answer() as c:
        address = find_address(c, principal, request.allocation_id, request.public_ip)
        interface = _interface(services, c, principal, request)
        if request.private_ip_address not in (None, interface.private_ip):
            raise InvalidParameterValue(
                parameter="PrivateIpAddress",
                value=request.private_ip_address,
                why=f"The interface {interface.id} has {interface.private_ip}.",
            )
        if address.interface_id == interface.id:
            raise_if_dry_run(request)
            return ec2.AssociateAddressResult(association_id=address.association_id)
        if address.interface_id is not None and request.allow_reassociation is False:
            raise ResourceAlreadyAssociated(
                f"resource {address.id} is already associated with associate-id {address.association_id}"
            )
        _check_gateway(c, principal, interface)
        raise_if_dry_run(request)
        for other in addresses.addresses_of(c, [interface.id]).values():
            addresses.associate(c, replace(other, association_id=None, interface_id=None, private_ip=None))
        new_id = services.mint(ids.ADDRESS_ASSOCIATION)
        placed = replace(address, association_id=new_id, interface_id=interface.id, private_ip=interface.private_ip)
        addresses.associate(c, placed)
    return ec2.AssociateAddressResult(association_id=new_id)


def _interface(
    services: Services, c: Connection, principal: Principal, request: ec2.AssociateAddressRequest
) -> NetworkInterface:
    if request.network_interface_id is not None:
        return find_interface(c, principal, request.network_interface_id)
    assert request.instance_id is not None
    held = interface_of_instance(services, c, principal, request.instance_id)
    if held is None:
        raise IncorrectInstanceState(instance_id=request.instance_id, verb="given an address")
    return held


def _check_gateway(c: Connection, principal: Principal, interface: NetworkInterface) -> None:
    mine = routes.list_internet_gateways(c, principal.account_id, principal.region)
    if interface.vpc_id not in {gateway.vpc_id for gateway in mine}:
        raise GatewayNotAttached(f"Network {interface.vpc_id} is not attached to any internet gateway")


def disassociate_address(services: Services, principal: Principal, request: ec2.DisassociateAddressRequest) -> None:
    """Frees an address of what it stands for; one that stands for nothing stays so."""
    if request.association_id is not None and request.public_ip is not None:
        raise InvalidParameterCombination("You may specify public IP or association id, but not both in the same call")
    with services.database.write_and_answer() as c:
        mine = addresses.list_addresses(c, principal.account_id, principal.region)
        if request.association_id is not None:
            address = _by_association(mine, request.association_id)
        elif request.public_ip is not None:
            address = _by_public_ip(mine, request.public_ip)
        else:
            raise MissingParameter("Either public IP or association id must be specified")
        raise_if_dry_run(request)
        addresses.associate(c, replace(address, association_id=None, interface_id=None, private_ip=None))


def _by_association(mine: Sequence[Address], association_id: str) -> Address:
    check_form("address_association", ids.ADDRESS_ASSOCIATION, [association_id])
    for address in mine:
        if address.association_id == association_id:
            return address
    raise NotFound("address_association", [association_id])
