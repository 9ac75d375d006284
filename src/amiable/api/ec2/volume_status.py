"""DescribeVolumeStatus, DescribeVolumeAttribute, ModifyVolumeAttribute and EnableVolumeIO.

A volume is ``ok`` where its bytes can be read: its snapshot's blocks are checked at each read, and one that fails is told to its
reader, never hidden, so input and output are never switched off and EnableVolumeIO finds nothing to switch on.  What cannot be said
without reading it all is not said: ``io-performance`` is ``not-applicable``.
"""

from collections.abc import Mapping
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.product_codes import product_codes
from amiable.api.ec2.tags import parse_filters
from amiable.api.ec2.volume_view import Seen, find_volume, list_seen
from amiable.api.paging import cut_page, open_page
from amiable.database import product_codes as code_rows
from amiable.database import volumes
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.services import Services
from amiable.wire.generated import ec2

OK: Final = "ok"
FIELDS: Final[Mapping[str, filters.Field[Seen]]] = {
    "action.code": lambda seen: (),
    "action.description": lambda seen: (),
    "action.event-id": lambda seen: (),
    "availability-zone": lambda seen: (seen.volume.zone,),
    "availability-zone-id": lambda seen: (seen.zone_id,),
    "event.description": lambda seen: (),
    "event.event-id": lambda seen: (),
    "event.event-type": lambda seen: (),
    "event.not-after": lambda seen: (),
    "event.not-before": lambda seen: (),
    "operator.managed": lambda seen: ("false",),
    "operator.principal": lambda seen: (),
    "volume-status.details-name": lambda seen: ("io-enabled", "io-performance"),
    "volume-status.details-status": lambda seen: ("passed", "not-applicable"),
    "volume-status.status": lambda seen: (OK,),
}


def describe_volume_status(
    services: Services, principal: Principal, request: ec2.DescribeVolumeStatusRequest
) -> ec2.DescribeVolumeStatusResult:
    """The health of the account's volumes."""
    if request.volume_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter volumes cannot be used with the parameter maxResults")
    wanted = filters.predicate(parse_filters(request.filters), FIELDS)
    page = open_page(services, principal, "DescribeVolumeStatus", request, size_min=5)
    with services.database.read() as c:
        found = list_seen(c, services, principal, request.volume_ids)
    raise_if_dry_run(request)
    shown, token = cut_page(
        services,
        principal,
        "DescribeVolumeStatus",
        request,
        page,
        [each for each in found if wanted(each)],
        lambda each: each.volume.id,
    )
    return ec2.DescribeVolumeStatusResult(volume_statuses=[_item(each) for each in shown], next_token=token)


def _item(seen: Seen) -> ec2.VolumeStatusItem:
    details = [
        ec2.VolumeStatusDetails(name="io-enabled", status="passed"),
        ec2.VolumeStatusDetails(name="io-performance", status="not-applicable"),
    ]
    return ec2.VolumeStatusItem(
        volume_id=seen.volume.id,
        availability_zone=seen.volume.zone,
        availability_zone_id=seen.zone_id,
        volume_status=ec2.VolumeStatusInfo(status=OK, details=details),
        actions=[],
        events=[],
    )


def describe_volume_attribute(
    services: Services, principal: Principal, request: ec2.DescribeVolumeAttributeRequest
) -> ec2.DescribeVolumeAttributeResult:
    """One attribute of one volume."""
    with services.database.read() as c:
        volume = find_volume(c, principal, request.volume_id)
        codes = code_rows.codes_of(c, volume.id)
    if request.attribute not in ("autoEnableIO", "productCodes"):
        raise InvalidParameterValue(
            parameter="Attribute", value=request.attribute, why="Allowed: autoEnableIO, productCodes."
        )
    raise_if_dry_run(request)
    if request.attribute == "productCodes":
        return ec2.DescribeVolumeAttributeResult(volume_id=volume.id, product_codes=product_codes(codes))
    return ec2.DescribeVolumeAttributeResult(
        volume_id=volume.id, auto_enable_io=ec2.AttributeBooleanValue(value=volume.auto_enable_io)
    )


def modify_volume_attribute(
    services: Services, principal: Principal, request: ec2.ModifyVolumeAttributeRequest
) -> None:
    """Records whether input and output of a doubtful volume go on by themselves."""
    with services.database.write() as c:
        volume = find_volume(c, principal, request.volume_id)
        if request.auto_enable_io is None or request.auto_enable_io.value is None:
            raise MissingParameter(parameter="AutoEnableIO.Value")
        raise_if_dry_run(request)
        volumes.set_auto_enable_io(c, volume.id, request.auto_enable_io.value)


def enable_volume_io(services: Services, principal: Principal, request: ec2.EnableVolumeIORequest) -> None:
    """Input and output of the volume are on, as they always are."""
    with services.database.read() as c:
        find_volume(c, principal, request.volume_id)
    raise_if_dry_run(request)
