"""Queries on VPCs and subnets, and on the free addresses of a subnet.

An account's default network is EC2's: 172.31.0.0/16 with one /20 per zone and one group named ``default``.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from amiable.database import routes, security_groups
from amiable.database.schema import default_network as Z
from amiable.database.schema import instance as I
from amiable.database.schema import network_interface as N
from amiable.database.schema import security_group as G
from amiable.database.schema import subnet as S
from amiable.database.schema import vpc as V
from amiable.database.tags import batches, forget
from amiable.model import ids
from amiable.model.network import (
    DhcpOptions,
    InternetGateway,
    NetworkAcl,
    Route,
    RouteTable,
    RouteTableAssociation,
    SecurityGroup,
    Subnet,
    Vpc,
)

DEFAULT_VPC_CIDR: Final = "172.31.0.0/16"
DEFAULT_SUBNET_BITS: Final = 20
RESERVED_FIRST: Final = 4
RESERVED_LAST: Final = 1

_VPC = tuple(each.name for each in fields(Vpc))


def ensure_default_network(
    c: Connection, account_id: str, region: str, *, zones: Sequence[str], mint: Callable[[str], str], now: datetime
) -> None:
    """Gives the account its default network in ``zones``, each zone once: what it deletes does not come back by itself."""
    mine = and_(Z.c.account_id == account_id, Z.c.region == region)
    given = set(c.execute(select(Z.c.zone).where(mine)).scalars())
    new = [zone for zone in zones if zone not in given]
    if not new:
        return
    c.execute(insert(Z), [{"account_id": account_id, "region": region, "zone": zone} for zone in new])
    vpc = find_default_vpc(c, account_id, region)
    if vpc is None and given:
        return
    if vpc is None:
        vpc = create_default_vpc(c, account_id, region, mint=mint, now=now)
    for zone in new:
        create_default_subnet(c, vpc, zone, mint)


def create_default_vpc(
    c: Connection, account_id: str, region: str, *, mint: Callable[[str], str], now: datetime
) -> Vpc:
    """A new default VPC with what belongs to one, but no subnet: a gateway, and a main table that leads to it."""
    vpc = Vpc(mint(ids.VPC), account_id, region, DEFAULT_VPC_CIDR, True)
    gateway = InternetGateway(mint(ids.INTERNET_GATEWAY), account_id, region, vpc.id)
    vpc = insert_vpc(c, vpc, (Route("0.0.0.0/0", gateway_id=gateway.id),), mint=mint, now=now)
    routes.insert_internet_gateway(c, gateway)
    return vpc


def insert_vpc(
    c: Connection, vpc: Vpc, leads: tuple[Route, ...] = (), *, mint: Callable[[str], str], now: datetime
) -> Vpc:
    """Adds a VPC with what every one has: its group ``default``, its main route table, its network ACL, its DHCP options."""
    owner = (vpc.account_id, vpc.region)
    options = next(iter(routes.list_dhcp_options(c, *owner)), None)
    if options is None:
        options = DhcpOptions(mint(ids.DHCP_OPTIONS), *owner)
        routes.insert_dhcp_options(c, options)
    vpc = replace(vpc, dhcp_options_id=options.id)
    c.execute(insert(V).values(**asdict(vpc), created_at=now))
    security_groups.insert_default_group(c, vpc.id, owner, mint)
    routes.insert_network_acl(c, NetworkAcl(mint(ids.NETWORK_ACL), *owner, vpc.id))
    table_id = mint(ids.ROUTE_TABLE)
    main = RouteTableAssociation(mint(ids.ROUTE_TABLE_ASSOCIATION), table_id, None)
    routes.insert_route_table(c, RouteTable(table_id, *owner, vpc.id, leads, (main,)), now)
    return vpc


def create_default_subnet(c: Connection, vpc: Vpc, zone: str, mint: Callable[[str], str]) -> Subnet | None:
    """The zone's default subnet, made in the first free part of the default VPC; None where none is free."""
    taken = [IPv4Network(each.cidr) for each in list_subnets(c, vpc.account_id, vpc.region) if each.vpc_id == vpc.id]
    for part in IPv4Network(vpc.cidr).subnets(new_prefix=DEFAULT_SUBNET_BITS):
        if not any(part.overlaps(each) for each in taken):
            subnet = Subnet(mint(ids.SUBNET), vpc.account_id, vpc.region, vpc.id, zone, str(part), True)
            insert_subnet(c, subnet)
            return subnet
    return None


def find_default_vpc(c: Connection, account_id: str, region: str) -> Vpc | None:
    """The account's default VPC, if it has one."""
    return next((vpc for vpc in list_vpcs(c, account_id, region) if vpc.is_default), None)


def list_vpcs(c: Connection, account_id: str, region: str) -> list[Vpc]:
    """The account's VPCs, by id."""
    rows = c.execute(select(V).where(V.c.account_id == account_id, V.c.region == region).order_by(V.c.id))
    return [Vpc(**{name: row._mapping[name] for name in _VPC}) for row in rows]


def existing_vpcs(c: Connection, vpc_ids: Sequence[str]) -> set[str]:
    """Those of the ids that there are rows of, whoever owns them."""
    return {row.id for some in batches(vpc_ids) for row in c.execute(select(V.c.id).where(V.c.id.in_(some)))}


def set_vpc_attributes(c: Connection, vpc_id: str, **attributes: bool) -> None:
    """Changes ``has_dns_support`` or ``has_dns_hostnames``."""
    c.execute(update(V).where(V.c.id == vpc_id).values(**attributes))


def delete_vpc(c: Connection, vpc: Vpc) -> None:
    """Removes the VPC with what came with it: its group ``default``, main table and ACL; nothing else is in it."""
    for group in list_security_groups(c, vpc.account_id, vpc.region):
        if group.vpc_id == vpc.id:
            security_groups.delete_group(c, group.id)
            forget(c, group.id)
    for table in routes.list_route_tables(c, vpc.account_id, vpc.region):
        if table.vpc_id == vpc.id:
            routes.delete_route_table(c, table.id)
    for acl in routes.list_network_acls(c, vpc.account_id, vpc.region):
        if acl.vpc_id == vpc.id:
            routes.delete_network_acl(c, acl.id)
    c.execute(delete(V).where(V.c.id == vpc.id))
    forget(c, vpc.id)


def list_subnets(c: Connection, account_id: str, region: str) -> list[Subnet]:
    """The account's subnets, by id."""
    rows = c.execute(select(S).where(S.c.account_id == account_id, S.c.region == region).order_by(S.c.id))
    return [_subnet(row) for row in rows]


def get_subnet(c: Connection, subnet_id: str) -> Subnet | None:
    """The subnet, whoever owns it."""
    row = c.execute(select(S).where(S.c.id == subnet_id)).first()
    return None if row is None else _subnet(row)


def list_security_groups(c: Connection, account_id: str, region: str) -> list[SecurityGroup]:
    """The account's security groups, by id."""
    rows = c.execute(select(G).where(G.c.account_id == account_id, G.c.region == region).order_by(G.c.id))
    return [SecurityGroup(row.id, row.account_id, row.region, row.vpc_id, row.name, row.description) for row in rows]


def insert_subnet(c: Connection, subnet: Subnet) -> None:
    """Adds it."""
    c.execute(insert(S).values(**asdict(subnet)))


def set_maps_public_ip(c: Connection, subnet_id: str, maps_public_ip: bool) -> None:
    """Records whether launches in the subnet ask for a public address."""
    c.execute(update(S).where(S.c.id == subnet_id).values(maps_public_ip=maps_public_ip))


def delete_subnet(c: Connection, subnet_id: str) -> None:
    """Removes the subnet with its route table association and its tags."""
    routes.delete_associations_of(c, subnet_id)
    c.execute(delete(S).where(S.c.id == subnet_id))
    forget(c, subnet_id)


def free_addresses(c: Connection, subnet: Subnet, count: int) -> list[str]:
    """Up to ``count`` free addresses of the subnet, lowest first; EC2 keeps the first four and the last for itself."""
    taken = _taken(c, subnet)
    network = IPv4Network(subnet.cidr)
    usable = (str(network[place]) for place in range(RESERVED_FIRST, network.num_addresses - RESERVED_LAST))
    return list(islice((address for address in usable if address not in taken), count))


def is_address_free(c: Connection, subnet: Subnet, address: str) -> bool:
    """Whether no interface and no live instance of the subnet has ``address``."""
    return address not in _taken(c, subnet)


def _taken(c: Connection, subnet: Subnet) -> set[str]:
    live = select(I.c.private_ip).where(I.c.subnet_id == subnet.id, I.c.terminated_at.is_(None))
    return set(c.execute(live.union(select(N.c.private_ip).where(N.c.subnet_id == subnet.id))).scalars())


def is_usable_address(subnet: Subnet, address: str) -> bool:
    """Whether ``address`` is one of the subnet's and not of the five that EC2 keeps."""
    try:
        place = IPv4Address(address)
    except ValueError:
        return False
    network = IPv4Network(subnet.cidr)
    first, last = network[RESERVED_FIRST], network[network.num_addresses - RESERVED_LAST - 1]
    return first <= place <= last


def count_free_addresses(c: Connection, subnets: Sequence[Subnet]) -> dict[str, int]:
    """Subnet id → how many interfaces it still has addresses for."""
    taken: dict[str, int] = {}
    for some in batches([subnet.id for subnet in subnets]):
        live = select(I.c.subnet_id, I.c.private_ip).where(I.c.subnet_id.in_(some), I.c.terminated_at.is_(None))
        held = select(N.c.subnet_id, N.c.private_ip).where(N.c.subnet_id.in_(some))
        both = live.union(held).subquery()
        counted = select(both.c.subnet_id, func.count().label("count")).group_by(both.c.subnet_id)
        taken |= {row[0]: row[1] for row in c.execute(counted)}
    sizes = {subnet.id: IPv4Network(subnet.cidr).num_addresses for subnet in subnets}
    return {key: size - RESERVED_FIRST - RESERVED_LAST - taken.get(key, 0) for key, size in sizes.items()}


def _subnet(row: Row[Any]) -> Subnet:
    return Subnet(**row._mapping)
