"""What a route may say.  Source: EC2 API, CreateRoute, DeleteRoute; VPC User Guide, "Route tables", quotas."""

from ipaddress import IPv4Network
from typing import Final

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.network import RouteTable, Vpc
from amiable.model.network_errors import RouteAlreadyExists, RouteLimitExceeded
from amiable.rules.security_group import ipv4_network, ipv6_network

TABLES_MAX: Final = 200
ROUTES_MAX: Final = 50
LOCAL: Final = "local"


def destination_of(ipv4: str | None, ipv6: str | None) -> str:
    """The network that a request names in one of the two ways, without host bits."""
    if (ipv4 is None) == (ipv6 is None):
        raise InvalidParameterCombination(
            "Exactly one of DestinationCidrBlock and DestinationIpv6CidrBlock must be specified."
        )
    return ipv4_network(ipv4) if ipv4 is not None else ipv6_network(ipv6 or "")


def check_new_route(table: RouteTable, vpc: Vpc, destination: str, *, is_to_gateway: bool) -> None:
    """Refuses a route that is there, one of a part of the VPC's own network to a gateway, and one too many."""
    if destination == vpc.cidr or destination in {route.destination for route in table.routes}:
        raise RouteAlreadyExists(destination=destination)
    if is_to_gateway and ":" not in destination and IPv4Network(destination).subnet_of(IPv4Network(vpc.cidr)):
        raise InvalidParameterValue(
            f"The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks. "
            "This route can target only an interface or an instance."
        )
    if len(table.routes) >= ROUTES_MAX:
        raise RouteLimitExceeded(route_table_id=table.id, maximum=ROUTES_MAX)
