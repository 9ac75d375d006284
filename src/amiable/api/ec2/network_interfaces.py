"""CreateNetworkInterface, DeleteNetworkInterface, DescribeNetworkInterfaces.

An interface lives in a subnet with one private address.  A launch makes one for its instance, or takes one that is there.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.interface_views import InterfaceView, interface_views, network_interface
from amiable.api.ec2.launch_place import choose_addresses, choose_groups, new_mac
from amiable.api.ec2.launch_request import primary_address
from amiable.api.ec2.listing import PAGE_SIZE_MIN, put_born_tags, refuse_page_of_ids, the_one, those_named
from amiable.api.ec2.placement import zones_of
from amiable.api.ec2.tags import birth_tags, parse_filters
from amiable.api.ec2.unsupported import Check, anything, only, refuse_others
from amiable.api.idempotency import Repeatable, check_token
from amiable.api.paging import PageBounds, open_page
from amiable.database import instances, interfaces, network
from amiable.model import ids
from amiable.model.network import Address, Attachment, NetworkInterface
from amiable.model.network_errors import (
    InsufficientFreeAddressesInSubnet,
    InvalidNetworkInterfaceInUse,
    NetworkInterfaceLimitExceeded,
)
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.rules.identifiers import check_form
from amiable.rules.security_group import check_text
from amiable.services import Services
from amiable.wire.generated import ec2

NOUN: Final = "network_interface"
INTERFACES_MAX: Final = 5000
TYPES: Final = ("network-interface",)
ASKED: Final[Mapping[str, Check]] = {
    "client_token": anything,
    "description": anything,
    "dry_run": anything,
    "enable_primary_ipv6": only(False),
    "groups": anything,
    "interface_type": only("interface"),
    "ipv6_address_count": only(0),
    "private_ip_address": anything,
    "private_ip_addresses": anything,
    "secondary_private_ip_address_count": only(0),
    "subnet_id": anything,
    "tag_specifications": anything,
}


def create_network_interface(
    services: Services, principal: Principal, request: ec2.CreateNetworkInterfaceRequest
) -> ec2.CreateNetworkInterfaceResult:
    """Makes an interface that is in no instance; the same client token answers with the same one."""
    refuse_others(request, ASKED)
    check_token(request)
    check_text(request.description or "", "network interface")
    asked = primary_address(request.private_ip_address, request.private_ip_addresses)
    born = birth_tags(request.tag_specifications, TYPES)
    owner = (principal.account_id, principal.region)
    with services.database.write_and_answer() as c:
        once = Repeatable(services, principal, request)
        made = None if request.dry_run else once.recall(c)
        if made is not None:
            return _made(services, c, principal, request, made[0])
        subnet = the_one("subnet", ids.SUBNET, request.subnet_id, network.list_subnets(c, *owner))
        group_ids = choose_groups(c, principal, subnet, request.groups or ())
        if len(interfaces.list_interfaces(c, *owner)) >= INTERFACES_MAX:
            raise NetworkInterfaceLimitExceeded(maximum=INTERFACES_MAX)
        addresses = choose_addresses(c, subnet, asked, 1)
        if not addresses:
            raise InsufficientFreeAddressesInSubnet(
                f"The specified subnet does not have enough free addresses to satisfy the request: {subnet.id}."
            )
        raise_if_dry_run(request)
        interface = NetworkInterface(
            id=services.mint(ids.NETWORK_INTERFACE),
            account_id=principal.account_id,
            region=principal.region,
            zone=subnet.zone,
            vpc_id=subnet.vpc_id,
            subnet_id=subnet.id,
            private_ip=addresses[0],
            mac=new_mac(services),
            group_ids=group_ids,
            description=request.description or "",
            has_source_dest_check=True,
            created_at=services.now(),
        )
        interfaces.insert_interface(c, interface)
        put_born_tags(c, principal, interface.id, TYPES[0], born)
        once.remember(c, [interface.id])
        return _made(services, c, principal, request, interface.id)


def _made(
    services: Services,
    c: Connection,
    principal: Principal,
    request: ec2.CreateNetworkInterfaceRequest,
    interface_id: str,
) -> ec2.CreateNetworkInterfaceResult:
    interface = find_interface(c, principal, interface_id)
    (view,) = interface_views(c, principal, [interface], zone_ids=_zone_ids(services, principal))
    return ec2.CreateNetworkInterfaceResult(
        network_interface=network_interface(view), client_token=request.client_token
    )


def find_interface(c: Connection, principal: Principal, interface_id: str) -> NetworkInterface:
    """The caller's interface of this id."""
    mine = interfaces.list_interfaces(c, principal.account_id, principal.region)
    return the_one(NOUN, ids.NETWORK_INTERFACE, interface_id, mine)


def interface_of_instance(
    services: Services, c: Connection, principal: Principal, instance_id: str
) -> NetworkInterface | None:
    """The interface of the caller's instance; ``None`` once the instance is terminated."""
    mine = instances.list_visible(c, principal.account_id, principal.region, now=services.now())
    instance = the_one("instance", ids.INSTANCE, instance_id, mine)
    return next(iter(interfaces.interfaces_of(c, [instance.id])[instance.id]), None)


def delete_network_interface(
    services: Services, principal: Principal, request: ec2.DeleteNetworkInterfaceRequest
) -> None:
    """Deletes an interface that is in no instance; an elastic address of it is free again."""
    with services.database.write_and_answer() as c:
        interface = find_interface(c, principal, request.network_interface_id)
        if interface.attachment is not None:
            raise InvalidNetworkInterfaceInUse(interface_id=interface.id)
        raise_if_dry_run(request)
        interfaces.delete_interface(c, interface.id)


# ── describing them ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _attached(read: Callable[[Attachment], str | None]) -> filters.Field[InterfaceView]:
    """A filter on the attachment; without one, none matches."""
    return lambda v: (None if v.it.attachment is None else read(v.it.attachment),)


def _public(read: Callable[[Address], str | None]) -> filters.Field[InterfaceView]:
    """A filter on the elastic address; without one, none matches."""
    return lambda v: (None if v.address is None else read(v.address),)


FIELDS: Final[Mapping[str, filters.Field[InterfaceView]]] = {
    "addresses.association.owner-id": _public(lambda a: a.account_id),
    "addresses.association.public-ip": _public(lambda a: a.public_ip),
    "addresses.primary": lambda v: ("true",),
    "addresses.private-ip-address": lambda v: (v.it.private_ip,),
    "association.allocation-id": _public(lambda a: a.id),
    "association.association-id": _public(lambda a: a.association_id),
    "association.ip-owner-id": _public(lambda a: a.account_id),
    "association.public-dns-name": _public(lambda a: ""),
    "association.public-ip": _public(lambda a: a.public_ip),
    "attachment.attach-time": _attached(lambda a: a.attached_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")),
    "attachment.attachment-id": _attached(lambda a: a.id),
    "attachment.delete-on-termination": _attached(lambda a: boolean(a.delete_on_termination)),
    "attachment.device-index": _attached(lambda a: str(a.device_index)),
    "attachment.instance-id": _attached(lambda a: a.instance_id),
    "attachment.instance-owner-id": lambda v: (v.it.account_id if v.it.attachment else None,),
    "attachment.status": lambda v: ("attached" if v.it.attachment else "detached",),
    "availability-zone": lambda v: (v.it.zone,),
    "availability-zone-id": lambda v: (v.zone_id,),
    "description": lambda v: (v.it.description,),
    "group-id": lambda v: v.it.group_ids,
    "group-name": lambda v: (v.group_names.get(group_id) for group_id in v.it.group_ids),
    "interface-type": lambda v: ("interface",),
    "mac-address": lambda v: (v.it.mac,),
    "network-interface-id": lambda v: (v.it.id,),
    "operator.managed": lambda v: ("false",),
    "operator.principal": lambda v: (),
    "owner-id": lambda v: (v.it.account_id,),
    "private-dns-name": lambda v: (v.private_dns_name,),
    "private-ip-address": lambda v: (v.it.private_ip,),
    "requester-managed": lambda v: ("false",),
    "source-dest-check": lambda v: (boolean(v.it.has_source_dest_check),),
    "status": lambda v: (v.it.status,),
    "subnet-id": lambda v: (v.it.subnet_id,),
    "vpc-id": lambda v: (v.it.vpc_id,),
    "ipv6-addresses.ipv6-address": lambda v: (),
    "requester-id": lambda v: (),
}


def describe_network_interfaces(
    services: Services, principal: Principal, request: ec2.DescribeNetworkInterfacesRequest
) -> ec2.DescribeNetworkInterfacesResult:
    """The caller's interfaces: those of its instances, and those in none."""
    named = request.network_interface_ids
    check_form(NOUN, ids.NETWORK_INTERFACE, named)
    refuse_page_of_ids(named, request.max_results)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = interfaces.list_interfaces(c, principal.account_id, principal.region)
        there = those_named(NOUN, named, mine, lambda interface: interface.id)
        views = interface_views(c, principal, there, zone_ids=_zone_ids(services, principal))
    found = [view for view in views if wanted(view)]
    shown, token = page.cut(found, lambda view: view.it.id)
    return ec2.DescribeNetworkInterfacesResult(
        network_interfaces=[network_interface(view) for view in shown], next_token=token
    )


def _zone_ids(services: Services, principal: Principal) -> dict[str, str]:
    return {zone.name: zone.id for zone in zones_of(services, principal.region)}
