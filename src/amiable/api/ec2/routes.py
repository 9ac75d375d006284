"""CreateRoute, DeleteRoute."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import the_one
from amiable.api.ec2.network_interfaces import find_interface
from amiable.api.ec2.route_tables import find_route_table
from amiable.api.ec2.unsupported import Check, anything, refuse_others
from amiable.api.ec2.vpcs import find_vpc
from amiable.database import instances, interfaces, routes
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.network import Route, RouteTable
from amiable.model.network_errors import InvalidRouteNotFound
from amiable.model.principal import Principal
from amiable.rules.route import check_new_route, destination_of
from amiable.services import Services
from amiable.wire.generated import ec2

ASKED: Final[Mapping[str, Check]] = dict.fromkeys(
    (
        "destination_cidr_block",
        "destination_ipv6_cidr_block",
        "dry_run",
        "gateway_id",
        "instance_id",
        "network_interface_id",
        "route_table_id",
    ),
    anything,
)


def create_route(services: Services, principal: Principal, request: ec2.CreateRouteRequest) -> ec2.CreateRouteResult:
    """Adds a route to an internet gateway, an interface, or an instance (its primary interface)."""
    refuse_others(request, ASKED)
    destination = destination_of(request.destination_cidr_block, request.destination_ipv6_cidr_block)
    targets = [request.gateway_id, request.instance_id, request.network_interface_id]
    if sum(target is not None for target in targets) != 1:
        raise InvalidParameterCombination(
            "Exactly one of GatewayId, InstanceId and NetworkInterfaceId must be specified."
        )
    with services.database.write_and_answer() as c:
        table = find_route_table(c, principal, request.route_table_id)
        vpc = find_vpc(c, principal, table.vpc_id)
        check_new_route(table, vpc, destination, is_to_gateway=request.gateway_id is not None)
        route = _route(services, c, principal, table, request, destination)
        raise_if_dry_run(request)
        routes.insert_route(c, table.id, route)
    return ec2.CreateRouteResult(return_=True)


def _route(
    services: Services,
    c: Connection,
    principal: Principal,
    table: RouteTable,
    request: ec2.CreateRouteRequest,
    destination: str,
) -> Route:
    """The route to what the request names, which is in the table's VPC."""
    if request.gateway_id is not None:
        mine = routes.list_internet_gateways(c, principal.account_id, principal.region)
        gateway = the_one("internet_gateway", ids.INTERNET_GATEWAY, request.gateway_id, mine)
        _check_network(table, gateway.id, gateway.vpc_id, "network gateway")
        return Route(destination, gateway_id=gateway.id)
    if request.network_interface_id is not None:
        interface = find_interface(c, principal, request.network_interface_id)
    else:
        assert request.instance_id is not None
        seen = instances.list_visible(c, principal.account_id, principal.region, now=services.now())
        instance = the_one("instance", ids.INSTANCE, request.instance_id, seen)
        held = interfaces.interfaces_of(c, [instance.id])[instance.id]
        if not held:
            raise InvalidParameterValue(f"The instance {instance.id} has no network interface.")
        interface = held[0]
    _check_network(table, interface.id, interface.vpc_id, "interface")
    return Route(destination, interface_id=interface.id)


def _check_network(table: RouteTable, target_id: str, vpc_id: str | None, what: str) -> None:
    if vpc_id != table.vpc_id:
        raise InvalidParameterValue(f"route table {table.id} and {what} {target_id} belong to different networks")


def delete_route(services: Services, principal: Principal, request: ec2.DeleteRouteRequest) -> None:
    """Removes a route; the VPC's own stays."""
    refuse_others(request, ASKED)
    destination = destination_of(request.destination_cidr_block, request.destination_ipv6_cidr_block)
    with services.database.write_and_answer() as c:
        table = find_route_table(c, principal, request.route_table_id)
        if destination == find_vpc(c, principal, table.vpc_id).cidr:
            raise InvalidParameterValue(f"cannot remove local route {destination} in route table {table.id}")
        if destination not in {route.destination for route in table.routes}:
            raise InvalidRouteNotFound(destination=destination, route_table_id=table.id)
        raise_if_dry_run(request)
        routes.delete_route(c, table.id, destination)
