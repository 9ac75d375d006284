"""CreateRoute, DeleteRoute."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import the_one
from amiable.api.ec2.network_interfaces import find_interface, interface_of_instance
from amiable.api.ec2.route_tables import find_route_table
from amiable.api.ec2.unsupported import Check, anything, refuse_others
from amiable.api.ec2.vpcs import find_vpc
from amiable.database import routes
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.network import InternetGateway, NetworkInterface, Route, RouteTable
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
        route = _route(table, destination, _target(services, c, principal, request))
        raise_if_dry_run(request)
        routes.insert_route(c, table.id, route)
    return ec2.CreateRouteResult(return_=True)


def _target(
    services: Services, c: Connection, principal: Principal, request: ec2.CreateRouteRequest
) -> InternetGateway | NetworkInterface:
    """What the request names, of an instance its interface."""
    if request.gateway_id is not None:
        mine = routes.list_internet_gateways(c, principal.account_id, principal.region)
        return the_one("internet_gateway", ids.INTERNET_GATEWAY, request.gateway_id, mine)
    if request.network_interface_id is not None:
        return find_interface(c, principal, request.network_interface_id)
    assert request.instance_id is not None
    held = interface_of_instance(services, c, principal, request.instance_id)
    if held is None:
        raise InvalidParameterValue(f"The instance {request.instance_id} has no network interface.")
    return held


def _route(table: RouteTable, destination: str, target: InternetGateway | NetworkInterface) -> Route:
    """The route to ``target``, which is in the table's VPC."""
    is_gateway = isinstance(target, InternetGateway)
    if target.vpc_id != table.vpc_id:
        what = "network gateway" if is_gateway else "interface"
        raise InvalidParameterValue(f"route table {table.id} and {what} {target.id} belong to different networks")
    return Route(destination, gateway_id=target.id) if is_gateway else Route(destination, interface_id=target.id)


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
