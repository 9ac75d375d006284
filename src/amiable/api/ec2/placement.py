"""DescribeRegions and DescribeAvailabilityZones: what the settings say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import parse_filters
from amiable.model.errors import InvalidParameterValue
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.services import Services
from amiable.wire.generated import ec2

OPT_IN: Final = "opt-in-not-required"


@dataclass(frozen=True, slots=True)
class Region:
    """A region and the endpoint that serves it."""

    name: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Zone:
    """An availability zone; ids go by the order in the settings."""

    name: str
    id: str
    region: str


REGION_FIELDS: Final[Mapping[str, filters.Field[Region]]] = {
    "endpoint": lambda region: (region.endpoint,),
    "opt-in-status": lambda region: (OPT_IN,),
    "region-name": lambda region: (region.name,),
}
ZONE_FIELDS: Final[Mapping[str, filters.Field[Zone]]] = {
    "group-long-name": lambda zone: (),
    "group-name": lambda zone: (zone.region,),
    "message": lambda zone: (),
    "opt-in-status": lambda zone: (OPT_IN,),
    "parent-zone-id": lambda zone: (),
    "parent-zone-name": lambda zone: (),
    "region-name": lambda zone: (zone.region,),
    "state": lambda zone: ("available",),
    "zone-id": lambda zone: (zone.id,),
    "zone-name": lambda zone: (zone.name,),
    "zone-type": lambda zone: ("availability-zone",),
}


def describe_regions(
    services: Services, principal: Principal, request: ec2.DescribeRegionsRequest
) -> ec2.DescribeRegionsResult:
    """The installation's regions; one endpoint serves them all."""
    wanted = filters.predicate(parse_filters(request.filters), REGION_FIELDS)
    raise_if_dry_run(request)
    here = endpoint(services)
    mine = [Region(name, here) for name in services.settings.regions]
    for name in request.region_names or []:
        if name not in {region.name for region in mine}:
            raise InvalidParameterValue(f"Invalid region: [{name}]")
    return ec2.DescribeRegionsResult(
        regions=[
            ec2.Region(region_name=region.name, endpoint=region.endpoint, opt_in_status=OPT_IN)
            for region in mine
            if wanted(region) and (not request.region_names or region.name in request.region_names)
        ]
    )


def endpoint(services: Services) -> str:
    """Host and port of the running server, as it recorded them; before it has, what the settings say."""
    try:
        recorded = json.loads((services.data / "server.json").read_text())["endpoint"]
    except FileNotFoundError:
        return services.settings.listen
    return str(recorded).partition("://")[2]


def zones_of(services: Services, region: str) -> list[Zone]:
    """The region's zones of the settings, in their order."""
    return [
        Zone(name, f"{zone_id_prefix(region)}-az{number}", region)
        for number, name in enumerate(services.settings.zones_in(region), start=1)
    ]


def find_zone(services: Services, region: str, *, name: str | None, zone_id: str | None) -> Zone | None:
    """The region's zone of that name or that id; None where there is none."""
    return next((zone for zone in zones_of(services, region) if zone.name == name or zone.id == zone_id), None)


def zone_id_prefix(region: str) -> str:
    """EC2's short form of a region in zone ids: ``us-east-1`` is ``use1``; other names lose their dashes."""
    area, _, rest = region.partition("-")
    direction, _, number = rest.rpartition("-")
    if not direction or not number.isdigit():
        return region.replace("-", "")
    short = {"north": "n", "south": "s", "east": "e", "west": "w", "central": "c"}
    for left in ("north", "south"):
        for right in ("east", "west"):
            short[left + right] = left[0] + right[0]
    return area + "".join(short.get(word, word) for word in direction.split("-")) + number


def describe_availability_zones(
    services: Services, principal: Principal, request: ec2.DescribeAvailabilityZonesRequest
) -> ec2.DescribeAvailabilityZonesResult:
    """The zones of the region; every name and id that is asked for must be there."""
    wanted = filters.predicate(parse_filters(request.filters), ZONE_FIELDS)
    raise_if_dry_run(request)
    zones = zones_of(services, principal.region)
    _check_there(request.zone_names, {zone.name for zone in zones}, "availability zone")
    _check_there(request.zone_ids, {zone.id for zone in zones}, "availability zone id")
    names, zone_ids = set(request.zone_names or []), set(request.zone_ids or [])
    shown = [zone for zone in zones if (not names or zone.name in names) and (not zone_ids or zone.id in zone_ids)]
    return ec2.DescribeAvailabilityZonesResult(availability_zones=[_zone(zone) for zone in shown if wanted(zone)])


def _check_there(named: list[str] | None, there: set[str], what: str) -> None:
    missing = [each for each in dict.fromkeys(named or []) if each not in there]
    if missing:
        raise InvalidParameterValue(f"Invalid {what}: [{', '.join(missing)}]")


def _zone(zone: Zone) -> ec2.AvailabilityZone:
    return ec2.AvailabilityZone(
        state="available",
        region_name=zone.region,
        zone_name=zone.name,
        zone_id=zone.id,
        zone_type="availability-zone",
        group_name=zone.region,
        network_border_group=zone.region,
        opt_in_status=OPT_IN,
        messages=[],
    )
