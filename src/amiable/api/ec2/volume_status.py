"""DescribeVolumeStatus, DescribeVolumeAttribute, ModifyVolumeAttribute and EnableVolumeIO.

A volume is ``ok`` at rest, and in a machine that runs where that is served its blocks and can write: what DescribeInstanceStatus says of
the attached volumes is said of each.  A snapshot's blocks are checked at each read, and one that fails is told to its reader, never
hidden, so input and output are never switched off and EnableVolumeIO finds nothing to switch on.  What cannot be said without reading
it all is not said: ``io-performance`` is ``not-applicable``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_status import check
from amiable.api.ec2.product_codes import product_codes
from amiable.api.ec2.tags import parse_filters
from amiable.api.ec2.volume_view import Seen, find_volume, list_seen
from amiable.api.paging import PageBounds, open_page
from amiable.database import instances, volumes
from amiable.database import product_codes as code_rows
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from amiable.model.instance import Instance, State
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.services import Services
from amiable.wire.generated import ec2

OK: Final = "ok"
IO_ENABLED: Final = {OK: "passed", "impaired": "failed", "insufficient-data": "insufficient-data"}
"""A volume's status → that of its check ``io-enabled``."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A volume and its status."""

    seen: Seen
    status: str


FIELDS: Final[Mapping[str, filters.Field[Checked]]] = {
    "action.code": lambda it: (),
    "action.description": lambda it: (),
    "action.event-id": lambda it: (),
    "attachment-status.instance-id": lambda it: (),
    "attachment-status.io-performance": lambda it: (),
    "availability-zone": lambda it: (it.seen.volume.zone,),
    "availability-zone-id": lambda it: (it.seen.zone_id,),
    "event.description": lambda it: (),
    "event.event-id": lambda it: (),
    "event.event-type": lambda it: (),
    "event.not-after": lambda it: (),
    "event.not-before": lambda it: (),
    "operator.managed": lambda it: ("false",),
    "operator.principal": lambda it: (),
    "volume-status.details-name": lambda it: ("io-enabled", "io-performance"),
    "volume-status.details-status": lambda it: (IO_ENABLED[it.status], "not-applicable"),
    "volume-status.status": lambda it: (it.status,),
}


def describe_volume_status(
    services: Services, principal: Principal, request: ec2.DescribeVolumeStatusRequest
) -> ec2.DescribeVolumeStatusResult:
    """The health of the account's volumes."""
    if request.volume_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter volumes cannot be used with the parameter maxResults")
    wanted = filters.predicate(parse_filters(request.filters), FIELDS)
    page = open_page(services, principal, request, PageBounds(size_min=5))
    with services.database.read() as c:
        found = list_seen(c, services, principal, request.volume_ids)
        users = _running(c, services, principal, found)
    raise_if_dry_run(request)
    machines = {each.id: check(services, each, None).status.volumes.status for each in users}
    checked = [Checked(each, machines.get(each.volume.instance_id or "", OK)) for each in found]
    shown, token = page.cut([each for each in checked if wanted(each)], lambda each: each.seen.volume.id)
    return ec2.DescribeVolumeStatusResult(volume_statuses=[_item(each) for each in shown], next_token=token)


def _running(c: Connection, services: Services, principal: Principal, found: Sequence[Seen]) -> list[Instance]:
    """The instances that run with one of the volumes."""
    wanted = {each.volume.instance_id for each in found if each.volume.instance_id is not None}
    mine = instances.list_visible(c, principal.account_id, principal.region, now=services.now()) if wanted else []
    return [each for each in mine if each.id in wanted and each.state is State.RUNNING]


def _item(checked: Checked) -> ec2.VolumeStatusItem:
    seen = checked.seen
    details = [
        ec2.VolumeStatusDetails(name="io-enabled", status=IO_ENABLED[checked.status]),
        ec2.VolumeStatusDetails(name="io-performance", status="not-applicable"),
    ]
    return ec2.VolumeStatusItem(
        volume_id=seen.volume.id,
        availability_zone=seen.volume.zone,
        availability_zone_id=seen.zone_id,
        volume_status=ec2.VolumeStatusInfo(status=checked.status, details=details),
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
    with services.database.write_and_answer() as c:
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
