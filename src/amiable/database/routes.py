"""Queries on what leads out of a VPC and between its subnets: route tables, internet gateways, network ACLs, DHCP options.

All of it is kept and told; none of it moves a packet.
"""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from amiable.database.schema import dhcp_options as D
from amiable.database.schema import internet_gateway as G
from amiable.database.schema import network_acl as L
from amiable.database.schema import route as R
from amiable.database.schema import route_table as T
from amiable.database.schema import route_table_association as S
from amiable.database.tags import forget
from amiable.model.network import (
    DhcpOptions,
    InternetGateway,
    NetworkAcl,
    Route,
    RouteTable,
    RouteTableAssociation,
)


def list_route_tables(c: Connection, account_id: str, region: str) -> list[RouteTable]:
    """The account's route tables with their routes (by destination) and associations, by id."""
    rows = c.execute(select(T).where(T.c.account_id == account_id, T.c.region == region).order_by(T.c.id)).all()
    routes: dict[str, list[Route]] = {row.id: [] for row in rows}
    associations: dict[str, list[RouteTableAssociation]] = {row.id: [] for row in rows}
    for row in c.execute(select(R).where(R.c.route_table_id.in_(list(routes))).order_by(R.c.destination)):
        routes[row.route_table_id].append(Route(row.destination, row.gateway_id, row.interface_id))
    for row in c.execute(select(S).where(S.c.route_table_id.in_(list(routes))).order_by(S.c.id)):
        associations[row.route_table_id].append(_association(row))
    return [
        RouteTable(row.id, row.account_id, row.region, row.vpc_id, tuple(routes[row.id]), tuple(associations[row.id]))
        for row in rows
    ]


def insert_route_table(c: Connection, table: RouteTable, now: datetime) -> None:
    """Adds the table with its routes and associations."""
    owner = {"id": table.id, "account_id": table.account_id, "region": table.region}
    c.execute(insert(T).values(**owner, vpc_id=table.vpc_id, created_at=now))
    for route in table.routes:
        insert_route(c, table.id, route)
    for association in table.associations:
        insert_association(c, association)


def delete_route_table(c: Connection, table_id: str) -> None:
    """Removes the table with its routes, associations and tags."""
    c.execute(delete(R).where(R.c.route_table_id == table_id))
    c.execute(delete(S).where(S.c.route_table_id == table_id))
    c.execute(delete(T).where(T.c.id == table_id))
    forget(c, table_id)


def insert_route(c: Connection, table_id: str, route: Route) -> None:
    """Adds the route."""
    c.execute(insert(R).values(route_table_id=table_id, **asdict(route)))


def delete_route(c: Connection, table_id: str, destination: str) -> None:
    """Removes the route."""
    c.execute(delete(R).where(R.c.route_table_id == table_id, R.c.destination == destination))


def insert_association(c: Connection, association: RouteTableAssociation) -> None:
    """Adds the association."""
    c.execute(insert(S).values(**asdict(association)))


def delete_association(c: Connection, association_id: str) -> None:
    """Removes the association: the main table serves the subnet again."""
    c.execute(delete(S).where(S.c.id == association_id))


def delete_associations_of(c: Connection, subnet_id: str) -> None:
    """Removes a subnet's association."""
    c.execute(delete(S).where(S.c.subnet_id == subnet_id))


def list_internet_gateways(c: Connection, account_id: str, region: str) -> list[InternetGateway]:
    """The account's gateways, by id."""
    rows = c.execute(select(G).where(G.c.account_id == account_id, G.c.region == region).order_by(G.c.id))
    return [InternetGateway(row.id, row.account_id, row.region, row.vpc_id) for row in rows]


def insert_internet_gateway(c: Connection, gateway: InternetGateway) -> None:
    """Adds it."""
    c.execute(insert(G).values(**asdict(gateway)))


def set_gateway_vpc(c: Connection, gateway: InternetGateway, vpc_id: str | None) -> InternetGateway:
    """Attaches the gateway to a VPC, or (None) to none."""
    c.execute(update(G).where(G.c.id == gateway.id).values(vpc_id=vpc_id))
    return replace(gateway, vpc_id=vpc_id)


def delete_internet_gateway(c: Connection, gateway_id: str) -> None:
    """Removes it with its tags."""
    c.execute(delete(G).where(G.c.id == gateway_id))
    forget(c, gateway_id)


def list_network_acls(c: Connection, account_id: str, region: str) -> list[NetworkAcl]:
    """The account's network ACLs, one a VPC, by id."""
    rows = c.execute(select(L).where(L.c.account_id == account_id, L.c.region == region).order_by(L.c.id))
    return [NetworkAcl(row.id, row.account_id, row.region, row.vpc_id) for row in rows]


def insert_network_acl(c: Connection, acl: NetworkAcl) -> None:
    """Adds it."""
    c.execute(insert(L).values(**asdict(acl)))


def delete_network_acl(c: Connection, acl_id: str) -> None:
    """Removes it with its tags."""
    c.execute(delete(L).where(L.c.id == acl_id))
    forget(c, acl_id)


def list_dhcp_options(c: Connection, account_id: str, region: str) -> list[DhcpOptions]:
    """The account's DHCP options, by id."""
    rows = c.execute(select(D).where(D.c.account_id == account_id, D.c.region == region).order_by(D.c.id))
    return [DhcpOptions(row.id, row.account_id, row.region) for row in rows]


def insert_dhcp_options(c: Connection, options: DhcpOptions) -> None:
    """Adds them."""
    c.execute(insert(D).values(**asdict(options)))


def _association(row: Row[Any]) -> RouteTableAssociation:
    return RouteTableAssociation(row.id, row.route_table_id, row.subnet_id)
