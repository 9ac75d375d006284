"""DescribeInstanceTypeOfferings: each type that runs here, at each place of the region."""

from collections.abc import Sequence
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_types import known_types
from amiable.api.ec2.placement import zones_of
from amiable.api.ec2.tags import parse_filters
from amiable.api.paging import PageBounds, open_page
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.services import Services
from amiable.wire.generated import ec2

PAGE_SIZE_MIN: Final = 5
FIELDS: Final[dict[str, filters.Field[tuple[str, str]]]] = {
    "instance-type": lambda it: (it[0],),
    "location": lambda it: (it[1],),
}


def describe_instance_type_offerings(
    services: Services, principal: Principal, request: ec2.DescribeInstanceTypeOfferingsRequest
) -> ec2.DescribeInstanceTypeOfferingsResult:
    """Type by type the places that have it; without LocationType the region alone.  There is no Outpost, so nothing is there."""
    location_type = request.location_type or "region"
    asked = parse_filters(request.filters)
    wanted = filters.predicate(asked, FIELDS)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    places = _places(services, principal, location_type)
    offered = [(type_.name, place) for type_ in known_types(asked) if type_.is_supported for place in places]
    found = sorted((each for each in offered if wanted(each)), key=_key)
    shown, token = page.cut(found, _key)
    return ec2.DescribeInstanceTypeOfferingsResult(
        instance_type_offerings=[
            ec2.InstanceTypeOffering(instance_type=name, location_type=location_type, location=place)
            for name, place in shown
        ],
        next_token=token,
    )


def _places(services: Services, principal: Principal, location_type: str) -> Sequence[str]:
    zones = zones_of(services, principal.region)
    match location_type:
        case "region":
            return (principal.region,)
        case "availability-zone":
            return [zone.name for zone in zones]
        case "availability-zone-id":
            return [zone.id for zone in zones]
        case _:
            return ()


def _key(offering: tuple[str, str]) -> str:
    return "/".join(offering)
