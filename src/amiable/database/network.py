"""Queries on the network that accounts see: VPCs, subnets, groups, and the free addresses of a subnet.

An account's default network is EC2's: 172.31.0.0/16 with one /20 per zone and one group named ``default``.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select

from amiable.database.schema import instance as I
from amiable.database.schema import security_group as G
from amiable.database.schema import subnet as S
from amiable.database.schema import vpc as V
from amiable.model import ids
from amiable.model.network import SecurityGroup, Subnet, Vpc

DEFAULT_VPC_CIDR: Final = "172.31.0.0/16"
DEFAULT_SUBNET_BITS: Final = 20
RESERVED_FIRST: Final = 4
RESERVED_LAST: Final = 1


def ensure_default_network(
    c: Connection, account_id: str, region: str, *, zones: Sequence[str], mint: Callable[[str], str], now: datetime
) -> None:
    """Makes what is missing of the account's default network: VPC, group, and a subnet for each zone that has none."""
    vpc = next((v for v in list_vpcs(c, account_id, region) if v.is_default), None)
    if vpc is None:
        vpc = Vpc(mint(ids.VPC), account_id, region, DEFAULT_VPC_CIDR, True)
        row = {"id": vpc.id, "account_id": account_id, "region": region, "cidr": vpc.cidr, "is_default": True}
        c.execute(insert(V).values(**row, created_at=now))
        c.execute(
            insert(G).values(
                id=mint(ids.SECURITY_GROUP),
                account_id=account_id,
                region=region,
                vpc_id=vpc.id,
                name="default",
                description="default VPC security group",
            )
        )
    here = [subnet for subnet in list_subnets(c, account_id, region) if subnet.vpc_id == vpc.id]
    taken = {subnet.cidr for subnet in here}
    free = (str(n) for n in IPv4Network(vpc.cidr).subnets(new_prefix=DEFAULT_SUBNET_BITS) if str(n) not in taken)
    for zone in zones:
        if not any(subnet.zone == zone and subnet.is_default for subnet in here):
            row = {"id": mint(ids.SUBNET), "account_id": account_id, "region": region, "vpc_id": vpc.id, "zone": zone}
            c.execute(insert(S).values(**row, cidr=next(free), is_default=True))


def list_vpcs(c: Connection, account_id: str, region: str) -> list[Vpc]:
    """The account's VPCs, by id."""
    rows = c.execute(select(V).where(V.c.account_id == account_id, V.c.region == region).order_by(V.c.id))
    return [Vpc(row.id, row.account_id, row.region, row.cidr, row.is_default) for row in rows]


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


def free_addresses(c: Connection, subnet: Subnet, count: int) -> list[str]:
    """Up to ``count`` free addresses of the subnet, lowest first; EC2 keeps the first four and the last for itself."""
    live = select(I.c.private_ip).where(I.c.subnet_id == subnet.id, I.c.terminated_at.is_(None))
    taken = {row.private_ip for row in c.execute(live)}
    network = IPv4Network(subnet.cidr)
    usable = (str(network[place]) for place in range(RESERVED_FIRST, network.num_addresses - RESERVED_LAST))
    return list(islice((address for address in usable if address not in taken), count))


def is_address_free(c: Connection, subnet: Subnet, address: str) -> bool:
    """Whether no live instance of the subnet has ``address``."""
    query = select(I.c.id).where(I.c.subnet_id == subnet.id, I.c.private_ip == address, I.c.terminated_at.is_(None))
    return c.execute(query).first() is None


def is_usable_address(subnet: Subnet, address: str) -> bool:
    """Whether ``address`` is one of the subnet's and not of the five that EC2 keeps."""
    try:
        place = IPv4Address(address)
    except ValueError:
        return False
    network = IPv4Network(subnet.cidr)
    first, last = network[RESERVED_FIRST], network[network.num_addresses - RESERVED_LAST - 1]
    return first <= place <= last


def count_free_addresses(c: Connection, subnet: Subnet) -> int:
    """How many instances the subnet still has addresses for."""
    live = select(func.count()).where(I.c.subnet_id == subnet.id, I.c.terminated_at.is_(None))
    return IPv4Network(subnet.cidr).num_addresses - RESERVED_FIRST - RESERVED_LAST - int(c.execute(live).scalar_one())


def _subnet(row: Row[Any]) -> Subnet:
    return Subnet(row.id, row.account_id, row.region, row.vpc_id, row.zone, row.cidr, row.is_default)
