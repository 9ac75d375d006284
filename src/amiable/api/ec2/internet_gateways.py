"""CreateInternetGateway, AttachInternetGateway, DetachInternetGateway, DeleteInternetGateway, DescribeInternetGateways.

Kept and told: nothing leads out of a VPC.
"""

from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import Listing, Tagged, list_page, put_born_tags, the_one
from amiable.api.ec2.tags import birth_tags, tag_set
from amiable.api.ec2.vpcs import find_vpc
from amiable.database import addresses, interfaces, routes
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue
from amiable.model.network import InternetGateway
from amiable.model.network_errors import (
    DependencyViolation,
    GatewayNotAttached,
    InternetGatewayLimitExceeded,
    ResourceAlreadyAssociated,
)
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2

NOUN: Final = "internet_gateway"
GATEWAYS_MAX: Final = 5

LISTING: Final[Listing[InternetGateway]] = Listing(
    NOUN,
    ids.INTERNET_GATEWAY,
    {
        "attachment.state": lambda v: ("available" if v.it.vpc_id else None,),
        "attachment.vpc-id": lambda v: (v.it.vpc_id,),
        "internet-gateway-id": lambda v: (v.id,),
        "owner-id": lambda v: (v.it.account_id,),
    },
    routes.list_internet_gateways,
)


def describe_internet_gateways(
    services: Services, principal: Principal, request: ec2.DescribeInternetGatewaysRequest
) -> ec2.DescribeInternetGatewaysResult:
    """The caller's internet gateways."""
    shown, token = list_page(services, principal, request, LISTING, request.internet_gateway_ids)
    return ec2.DescribeInternetGatewaysResult(internet_gateways=[_told(each) for each in shown], next_token=token)


def _told(view: Tagged[InternetGateway]) -> ec2.InternetGateway:
    gateway = view.it
    attachments = [ec2.InternetGatewayAttachment(state="available", vpc_id=gateway.vpc_id)] if gateway.vpc_id else []
    return ec2.InternetGateway(
        internet_gateway_id=gateway.id,
        owner_id=gateway.account_id,
        attachments=attachments,
        tags=tag_set(view.tags) or [],  # EC2 always tells it here; Ansible relies on it
    )


def find_internet_gateway(c: Connection, principal: Principal, gateway_id: str) -> InternetGateway:
    """The caller's internet gateway of this id."""
    mine = routes.list_internet_gateways(c, principal.account_id, principal.region)
    return the_one(NOUN, ids.INTERNET_GATEWAY, gateway_id, mine)


def create_internet_gateway(
    services: Services, principal: Principal, request: ec2.CreateInternetGatewayRequest
) -> ec2.CreateInternetGatewayResult:
    """Makes a gateway that is attached to no VPC."""
    born = birth_tags(request.tag_specifications, ("internet-gateway",))
    owner = (principal.account_id, principal.region)
    with services.database.write_and_answer() as c:
        if len(routes.list_internet_gateways(c, *owner)) >= GATEWAYS_MAX:
            raise InternetGatewayLimitExceeded(maximum=GATEWAYS_MAX)
        raise_if_dry_run(request)
        gateway = InternetGateway(services.mint(ids.INTERNET_GATEWAY), *owner, None)
        routes.insert_internet_gateway(c, gateway)
        given = put_born_tags(c, principal, gateway.id, "internet-gateway", born)
    return ec2.CreateInternetGatewayResult(internet_gateway=_told(Tagged(gateway, given)))


def attach_internet_gateway(
    services: Services, principal: Principal, request: ec2.AttachInternetGatewayRequest
) -> None:
    """Attaches a gateway to a VPC that has none."""
    with services.database.write_and_answer() as c:
        gateway = find_internet_gateway(c, principal, request.internet_gateway_id)
        vpc = find_vpc(c, principal, request.vpc_id)
        if gateway.vpc_id is not None:
            raise ResourceAlreadyAssociated(f"resource {gateway.id} is already attached to network {gateway.vpc_id}")
        mine = routes.list_internet_gateways(c, principal.account_id, principal.region)
        if any(each.vpc_id == vpc.id for each in mine):
            raise InvalidParameterValue(f"Network {vpc.id} already has an internet gateway attached")
        raise_if_dry_run(request)
        routes.set_gateway_vpc(c, gateway, vpc.id)


def detach_internet_gateway(
    services: Services, principal: Principal, request: ec2.DetachInternetGatewayRequest
) -> None:
    """Detaches a gateway from its VPC, in which no elastic address is in use."""
    with services.database.write_and_answer() as c:
        gateway = find_internet_gateway(c, principal, request.internet_gateway_id)
        vpc = find_vpc(c, principal, request.vpc_id)
        if gateway.vpc_id != vpc.id:
            raise GatewayNotAttached(gateway_id=gateway.id, vpc_id=vpc.id)
        mine = interfaces.list_interfaces(c, principal.account_id, principal.region)
        mapped = addresses.addresses_of(c, [each.id for each in mine if each.vpc_id == vpc.id])
        if mapped:
            raise DependencyViolation(
                f"Network {vpc.id} has some mapped public address(es). Please unmap those public address(es) before "
                "detaching the gateway.",
                hint=f"disassociate {', '.join(each.public_ip for each in mapped.values())}",
            )
        raise_if_dry_run(request)
        routes.set_gateway_vpc(c, gateway, None)


def delete_internet_gateway(
    services: Services, principal: Principal, request: ec2.DeleteInternetGatewayRequest
) -> None:
    """Deletes a gateway that is attached to no VPC; routes to it stay, as black holes."""
    with services.database.write_and_answer() as c:
        gateway = find_internet_gateway(c, principal, request.internet_gateway_id)
        if gateway.vpc_id is not None:
            raise DependencyViolation(
                f"The internetGateway '{gateway.id}' has dependencies and cannot be deleted.",
                hint=f"detach it from {gateway.vpc_id}",
            )
        raise_if_dry_run(request)
        routes.delete_internet_gateway(c, gateway.id)
