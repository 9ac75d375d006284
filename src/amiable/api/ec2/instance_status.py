"""DescribeInstanceStatus: the checks of ``rules/instance_status``, over what is looked at while the call is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import views
from amiable.api.ec2.instance_ids import check_ids, find_visible, refuse_page_of_ids
from amiable.api.ec2.placement import zones_of
from amiable.api.ec2.tags import parse_filters
from amiable.api.paging import PageBounds, open_page
from amiable.database import boots
from amiable.model.boot import Boot
from amiable.model.errors import InvalidParameterValue
from amiable.model.instance import CODES, Instance, State
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.instance_status import REACHABILITY, Check, Seen, Status, status_of
from amiable.services import Services
from amiable.vm import exporter, machine, tpm
from amiable.vm.directory import open_directory
from amiable.wire.generated import ec2

IDS_MAX: Final = 100
PAGE_SIZE_MIN: Final = 5


@dataclass(frozen=True, slots=True)
class Checked:
    """An instance and what its checks say."""

    instance: Instance
    zone_id: str | None
    status: Status


def _nothing(it: Checked) -> tuple[str, ...]:
    """No events are scheduled here, and nobody else manages instances."""
    return ()


FIELDS: Final[Mapping[str, filters.Field[Checked]]] = {
    "application-status.status": lambda it: ("not-applicable",),
    "attached-ebs-status.status": lambda it: (it.status.volumes.status,),
    "availability-zone": lambda it: (it.instance.zone,),
    "availability-zone-id": lambda it: (it.zone_id,),
    "event.code": _nothing,
    "event.description": _nothing,
    "event.instance-event-id": _nothing,
    "event.not-after": _nothing,
    "event.not-before": _nothing,
    "event.not-before-deadline": _nothing,
    "instance-state-code": lambda it: (str(CODES[it.instance.state]),),
    "instance-state-name": lambda it: (it.instance.state,),
    "instance-status.reachability": lambda it: (REACHABILITY.get(it.status.instance.status),),
    "instance-status.status": lambda it: (it.status.instance.status,),
    "operator.managed": lambda it: ("false",),
    "operator.principal": _nothing,
    "system-status.reachability": lambda it: (REACHABILITY.get(it.status.system.status),),
    "system-status.status": lambda it: (it.status.system.status,),
}


def describe_instance_status(
    services: Services, principal: Principal, request: ec2.DescribeInstanceStatusRequest
) -> ec2.DescribeInstanceStatusResult:
    """The checks of running instances; of all with IncludeAllInstances."""
    wanted_ids = check_ids(request.instance_ids)
    if len(wanted_ids) > IDS_MAX:
        raise InvalidParameterValue(
            f"A request may name {IDS_MAX} instances at most; this one names {len(wanted_ids)}."
        )
    refuse_page_of_ids(wanted_ids, request.max_results, request.next_token)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    shown_states = set(State) if request.include_all_instances else {State.RUNNING}
    with services.database.read() as c:
        found = find_visible(c, principal, wanted_ids, now=services.now())
        asked = [instance for instance in found if instance.state in shown_states]
        courses = boots.last_boots(c, [instance.id for instance in asked])
    zone_ids = {zone.name: zone.id for zone in zones_of(services, principal.region)}
    checked = [check(services, each, courses.get(each.id), zone_ids.get(each.zone)) for each in asked]
    chosen = sorted((each for each in checked if wanted(each)), key=_key)
    shown, token = page.cut(chosen, _key)
    return ec2.DescribeInstanceStatusResult(instance_statuses=[_element(each) for each in shown], next_token=token)


def check(services: Services, instance: Instance, boot: Boot | None, zone_id: str | None = None) -> Checked:
    """Looks at the instance's process, and at what serves its blocks."""
    if instance.state is not State.RUNNING:
        seen = Seen(is_alive=False)
    else:
        seen = look(services, instance.id, boot)
    return Checked(instance, zone_id, status_of(instance, seen, services.now()))


def look(services: Services, instance_id: str, boot: Boot | None) -> Seen:
    """Whether the QEMU that the instance's directory names lives, with its TPM, and whether the blocks that it reads are served."""
    try:
        with open_directory(services.data, instance_id) as directory:
            is_alive = machine.find_machine(directory) is not None
            needs_exporter = any(path.suffix == ".nbd" for path in directory.path.iterdir())
            has_lost_tpm = tpm.has_ended_alone(directory)
    except OSError:
        return Seen(is_alive=False, are_blocks_served=False)
    is_served = not needs_exporter or exporter.find(services.data) is not None
    return Seen(is_alive, are_blocks_served=is_served, has_lost_tpm=has_lost_tpm, boot=boot)


def _key(it: Checked) -> str:
    return it.instance.id


def _element(it: Checked) -> ec2.InstanceStatus:
    return ec2.InstanceStatus(
        availability_zone=it.instance.zone,
        availability_zone_id=it.zone_id,
        instance_id=it.instance.id,
        instance_state=views.instance_state(it.instance.state),
        instance_status=_summary(it.status.instance),
        system_status=_summary(it.status.system),
        attached_ebs_status=_volumes(it.status.volumes) if it.instance.is_ebs else None,
        operator=ec2.OperatorResponse(managed=False),
    )


def _summary(found: Check) -> ec2.InstanceStatusSummary:
    word = REACHABILITY.get(found.status)
    detail = ec2.InstanceStatusDetails(name="reachability", status=word, impaired_since=found.impaired_since)
    return ec2.InstanceStatusSummary(status=found.status, details=[detail] if word else None)


def _volumes(found: Check) -> ec2.EbsStatusSummary:
    word = REACHABILITY.get(found.status)
    detail = ec2.EbsStatusDetails(name="reachability", status=word, impaired_since=found.impaired_since)
    return ec2.EbsStatusSummary(status=found.status, details=[detail] if word else None)
