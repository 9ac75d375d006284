"""CreateRouteTable, DeleteRouteTable, DescribeRouteTables, AssociateRouteTable, DisassociateRouteTable.

Every VPC has a main table, which serves the subnets that have none of their own.  All of it is kept and told: guests of a VPC
reach each other, and nothing leads out, whatever the tables say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import Listing, Tagged, list_page, put_born_tags, the_one
from amiable.api.ec2.subnets import find_subnet
from amiable.api.ec2.tags import birth_tags, tag_set
from amiable.api.ec2.unsupported import anything, refuse_others
from amiable.api.ec2.vpcs import find_vpc
from amiable.api.idempotency import Repeatable, check_token
from amiable.database import interfaces, network, routes, tags
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, MissingParameter, NotFound
from amiable.model.network import Route, RouteTable, RouteTableAssociation
from amiable.model.network_errors import DependencyViolation, ResourceAlreadyAssociated, RouteTableLimitExceeded
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.rules.identifiers import check_form
from amiable.rules.route import LOCAL, TABLES_MAX
from amiable.services import Services
from amiable.wire.generated import ec2

NOUN: Final = "route_table"
CREATE: Final = "CreateRouteTable"


@dataclass(frozen=True, slots=True)
class SeenRoute:
    """A route with what becomes of what it leads to; the VPC's own is ``local``."""

    route: Route
    origin: str
    is_active: bool
    instance_id: str | None = None

    @property
    def state(self) -> str:
        return "active" if self.is_active else "blackhole"

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.route.destination


@dataclass(frozen=True, slots=True)
class SeenTable:
    """A route table with its routes as they are now, the VPC's own first."""

    table: RouteTable
    routes: tuple[SeenRoute, ...]

    @property
    def id(self) -> str:
        return self.table.id


def seen_tables(c: Connection, account_id: str, region: str) -> list[SeenTable]:
    """The account's tables: a route is a black hole where its gateway is not attached, or its interface to no instance."""
    cidrs = {vpc.id: vpc.cidr for vpc in network.list_vpcs(c, account_id, region)}
    gateways = {each.id: each.vpc_id for each in routes.list_internet_gateways(c, account_id, region)}
    attached = {
        each.id: each.attachment.instance_id
        for each in interfaces.list_interfaces(c, account_id, region)
        if each.attachment is not None
    }

    def seen(table: RouteTable, route: Route) -> SeenRoute:
        if route.gateway_id is not None:
            return SeenRoute(route, "CreateRoute", gateways.get(route.gateway_id) == table.vpc_id)
        instance_id = attached.get(route.interface_id or "")
        return SeenRoute(route, "CreateRoute", instance_id is not None, instance_id)

    return [
        SeenTable(
            table,
            (
                SeenRoute(Route(cidrs[table.vpc_id], LOCAL), CREATE, True),
                *(seen(table, route) for route in table.routes),
            ),
        )
        for table in routes.list_route_tables(c, account_id, region)
    ]


def _associations(read: Callable[[RouteTableAssociation], str | None]) -> filters.Field[Tagged[SeenTable]]:
    return lambda v: (read(each) for each in v.it.table.associations)


def _routes(read: Callable[[SeenRoute], str | None]) -> filters.Field[Tagged[SeenTable]]:
    return lambda v: (read(each) for each in v.it.routes)


FIELDS: Final[Mapping[str, filters.Field[Tagged[SeenTable]]]] = {
    "association.gateway-id": lambda v: (),
    "association.main": _associations(lambda a: boolean(a.is_main)),
    "association.route-table-association-id": _associations(lambda a: a.id),
    "association.route-table-id": _associations(lambda a: a.route_table_id),
    "association.subnet-id": _associations(lambda a: a.subnet_id),
    "owner-id": lambda v: (v.it.table.account_id,),
    "route-table-id": lambda v: (v.id,),
    "route.destination-cidr-block": _routes(lambda r: None if r.is_ipv6 else r.route.destination),
    "route.destination-ipv6-cidr-block": _routes(lambda r: r.route.destination if r.is_ipv6 else None),
    "route.destination-prefix-list-id": lambda v: (),
    "route.egress-only-internet-gateway-id": lambda v: (),
    "route.gateway-id": _routes(lambda r: r.route.gateway_id),
    "route.instance-id": _routes(lambda r: r.instance_id),
    "route.nat-gateway-id": lambda v: (),
    "route.network-interface-id": _routes(lambda r: r.route.interface_id),
    "route.origin": _routes(lambda r: r.origin),
    "route.state": _routes(lambda r: r.state),
    "route.transit-gateway-id": lambda v: (),
    "route.vpc-peering-connection-id": lambda v: (),
    "vpc-id": lambda v: (v.it.table.vpc_id,),
}
LISTING: Final[Listing[SeenTable]] = Listing(NOUN, ids.ROUTE_TABLE, FIELDS, seen_tables)


def describe_route_tables(
    services: Services, principal: Principal, request: ec2.DescribeRouteTablesRequest
) -> ec2.DescribeRouteTablesResult:
    """The caller's route tables."""
    shown, token = list_page(services, principal, request, LISTING, request.route_table_ids)
    return ec2.DescribeRouteTablesResult(route_tables=[_told(each) for each in shown], next_token=token)


def _told(view: Tagged[SeenTable]) -> ec2.RouteTable:
    table = view.it.table
    return ec2.RouteTable(
        route_table_id=table.id,
        vpc_id=table.vpc_id,
        owner_id=table.account_id,
        propagating_vgws=[],
        associations=[
            ec2.RouteTableAssociation(
                main=each.is_main,
                route_table_association_id=each.id,
                route_table_id=table.id,
                subnet_id=each.subnet_id,
                association_state=ec2.RouteTableAssociationState(state="associated"),
            )
            for each in table.associations
        ],
        routes=[_route(each, table.account_id) for each in view.it.routes],
        tags=tag_set(view.tags) or [],  # EC2 always tells it here; Ansible relies on it
    )


def _route(seen: SeenRoute, account_id: str) -> ec2.Route:
    route = seen.route
    return ec2.Route(
        destination_cidr_block=None if seen.is_ipv6 else route.destination,
        destination_ipv6_cidr_block=route.destination if seen.is_ipv6 else None,
        gateway_id=route.gateway_id,
        network_interface_id=route.interface_id,
        instance_id=seen.instance_id,
        instance_owner_id=account_id if seen.instance_id else None,
        origin=seen.origin,
        state=seen.state,
    )


def find_route_table(c: Connection, principal: Principal, table_id: str) -> RouteTable:
    """The caller's route table of this id."""
    mine = routes.list_route_tables(c, principal.account_id, principal.region)
    return the_one(NOUN, ids.ROUTE_TABLE, table_id, mine)


def create_route_table(
    services: Services, principal: Principal, request: ec2.CreateRouteTableRequest
) -> ec2.CreateRouteTableResult:
    """Makes a table of a VPC with nothing but its own route; the same client token answers with the same one."""
    check_token(request)
    born = birth_tags(request.tag_specifications, ("route-table",))
    owner = (principal.account_id, principal.region)
    with services.database.write_and_answer() as c:
        once = Repeatable(services, principal, request)
        made = None if request.dry_run else once.recall(c)
        if made is None:
            vpc = find_vpc(c, principal, request.vpc_id)
            mine = routes.list_route_tables(c, *owner)
            if sum(table.vpc_id == vpc.id for table in mine) >= TABLES_MAX:
                raise RouteTableLimitExceeded(vpc_id=vpc.id, maximum=TABLES_MAX)
            raise_if_dry_run(request)
            table = RouteTable(services.mint(ids.ROUTE_TABLE), *owner, vpc.id)
            routes.insert_route_table(c, table, services.now())
            put_born_tags(c, principal, table.id, "route-table", born)
            once.remember(c, [table.id])
            made = (table.id,)
        seen = the_one(NOUN, ids.ROUTE_TABLE, made[0], seen_tables(c, *owner))
        given = tags.tags_of(c, principal.account_id, [seen.id]).get(seen.id, {})
    return ec2.CreateRouteTableResult(route_table=_told(Tagged(seen, given)), client_token=request.client_token)


def delete_route_table(services: Services, principal: Principal, request: ec2.DeleteRouteTableRequest) -> None:
    """Deletes a table that serves no subnet and is not its VPC's main one."""
    with services.database.write_and_answer() as c:
        table = find_route_table(c, principal, request.route_table_id)
        if table.associations:
            raise DependencyViolation(
                f"The routeTable '{table.id}' has dependencies and cannot be deleted.",
                hint="a main table goes with its VPC"
                if table.is_main
                else f"disassociate {', '.join(each.id for each in table.associations)}",
            )
        raise_if_dry_run(request)
        routes.delete_route_table(c, table.id)


def associate_route_table(
    services: Services, principal: Principal, request: ec2.AssociateRouteTableRequest
) -> ec2.AssociateRouteTableResult:
    """Lets a table serve a subnet; asked again, the association is the same."""
    refuse_others(request, dict.fromkeys(("dry_run", "route_table_id", "subnet_id"), anything))
    if request.subnet_id is None:
        raise MissingParameter(parameter="SubnetId")
    with services.database.write_and_answer() as c:
        table = find_route_table(c, principal, request.route_table_id)
        subnet = find_subnet(c, principal, request.subnet_id)
        if subnet.vpc_id != table.vpc_id:
            raise InvalidParameterValue(f"Route table {table.id} and subnet {subnet.id} belong to different networks.")
        for other in routes.list_route_tables(c, principal.account_id, principal.region):
            for each in other.associations:
                if each.subnet_id != subnet.id:
                    continue
                if other.id != table.id:
                    raise ResourceAlreadyAssociated(
                        f"the specified association for route table {table.id} conflicts with an existing association",
                        hint=f"disassociate {each.id} first",
                    )
                raise_if_dry_run(request)
                return _associated(each)
        raise_if_dry_run(request)
        association = RouteTableAssociation(services.mint(ids.ROUTE_TABLE_ASSOCIATION), table.id, subnet.id)
        routes.insert_association(c, association)
    return _associated(association)


def _associated(association: RouteTableAssociation) -> ec2.AssociateRouteTableResult:
    state = ec2.RouteTableAssociationState(state="associated")
    return ec2.AssociateRouteTableResult(association_id=association.id, association_state=state)


def disassociate_route_table(
    services: Services, principal: Principal, request: ec2.DisassociateRouteTableRequest
) -> None:
    """Lets the main table serve the subnet again."""
    check_form("route_table_association", ids.ROUTE_TABLE_ASSOCIATION, [request.association_id])
    with services.database.write_and_answer() as c:
        mine = routes.list_route_tables(c, principal.account_id, principal.region)
        found = [each for table in mine for each in table.associations if each.id == request.association_id]
        if not found:
            raise NotFound("route_table_association", [request.association_id])
        if found[0].is_main:
            raise InvalidParameterValue(
                f"cannot disassociate the main route table association {request.association_id}"
            )
        raise_if_dry_run(request)
        routes.delete_association(c, request.association_id)
