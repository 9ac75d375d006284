"""ModifyVolume and DescribeVolumesModifications: a volume grows, or becomes of another type or rate, while its guest uses it.

The change is written first; a job makes the disk longer, in the machine or in its file, tells QEMU the new rates, and only then is the
volume what was asked for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import parse_filters
from amiable.api.ec2.volume_view import find_volume
from amiable.api.paging import PageBounds, open_page
from amiable.database import instances, volume_modifications, volumes
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, NotFound, UnsupportedOperation
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.model.volume import Volume
from amiable.model.volume_errors import VolumeModificationNotFound
from amiable.model.volume_modification import Modification, ModificationState
from amiable.rules import filters
from amiable.rules import volume as rules
from amiable.rules.filters import boolean
from amiable.rules.identifiers import check_form
from amiable.rules.volume import AskedChange
from amiable.rules.volume_type import Figures, effective_iops, effective_throughput
from amiable.services import Services, volume_work
from amiable.wire.generated import ec2

PAGE_HOLDS_MAX: Final = 500
FIELDS: Final[Mapping[str, filters.Field[Modification]]] = {
    "modification-state": lambda it: (it.state,),
    "original-iops": lambda it: (_text(effective_iops(it.original_type, it.original_size_gib, it.original_iops)),),
    "original-size": lambda it: (str(it.original_size_gib),),
    "original-volume-type": lambda it: (it.original_type,),
    "originalMultiAttachEnabled": lambda it: (boolean(False),),
    "start-time": lambda it: (_instant(it.started_at),),
    "target-iops": lambda it: (_text(effective_iops(it.target_type, it.target_size_gib, it.target_iops)),),
    "target-size": lambda it: (str(it.target_size_gib),),
    "target-volume-type": lambda it: (it.target_type,),
    "targetMultiAttachEnabled": lambda it: (boolean(False),),
    "volume-id": lambda it: (it.volume_id,),
}


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def modify_volume(services: Services, principal: Principal, request: ec2.ModifyVolumeRequest) -> ec2.ModifyVolumeResult:
    """Begins a change of size, type or rates."""
    if request.multi_attach_enabled:
        raise UnsupportedOperation("Volumes that several instances use at once are not supported by Amiable.")
    asked = AskedChange(request.size, request.volume_type, request.iops, request.throughput)
    with services.database.write() as c:
        volume = find_volume(c, principal, request.volume_id)
        before = volume_modifications.list_modifications(c, volume.id)
        rules.check_rate(volume, before, services.now())
        instance = None if volume.instance_id is None else instances.get_instance(c, volume.instance_id)
        planned = rules.plan_change(volume, asked, is_root=_is_root(c, volume, instance))
        rules.check_growth(volume, instance, planned)
        raise_if_dry_run(request)
        number = before[-1].number + 1 if before else 1
        change = _modification(volume, planned, number, now=services.now())
        volume_modifications.insert_modification(c, change)
        volume_work.enqueue(c, services, volume, volume_work.MODIFY)
    services.wake()
    return ec2.ModifyVolumeResult(volume_modification=_element(change))


def _is_root(c: Connection, volume: Volume, instance: Instance | None) -> bool:
    root = instance and rules.root_of(volumes.volumes_of(c, instance.id), instance.root_device_name)
    return root is not None and root.id == volume.id


def _modification(volume: Volume, planned: Figures, number: int, *, now: datetime) -> Modification:
    return Modification(
        volume_id=volume.id,
        number=number,
        state=ModificationState.MODIFYING,
        original_size_gib=volume.size_gib,
        original_type=volume.volume_type,
        original_iops=volume.iops,
        original_throughput=volume.throughput,
        target_size_gib=planned.size_gib,
        target_type=planned.volume_type,
        target_iops=planned.iops,
        target_throughput=planned.throughput,
        started_at=now,
    )


def describe_volumes_modifications(
    services: Services, principal: Principal, request: ec2.DescribeVolumesModificationsRequest
) -> ec2.DescribeVolumesModificationsResult:
    """The newest change of each volume that was ever changed; of a volume that is named there must be one."""
    check_form("volume", ids.VOLUME, request.volume_ids)
    if request.volume_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter volumes cannot be used with the parameter maxResults")
    wanted = filters.predicate(parse_filters(request.filters), FIELDS)
    page = open_page(services, principal, request, PageBounds(held_max=PAGE_HOLDS_MAX))
    with services.database.read() as c:
        found = volume_modifications.list_newest(
            c, principal.account_id, principal.region, volume_ids=request.volume_ids or None
        )
        own = volumes.list_volumes(c, principal.account_id, principal.region, ids=request.volume_ids or [])
    _check_all_there(request.volume_ids or [], {each.id for each in own}, {each.volume_id for each in found})
    raise_if_dry_run(request)
    shown, token = page.cut([each for each in found if wanted(each)], lambda it: it.volume_id)
    return ec2.DescribeVolumesModificationsResult(
        volumes_modifications=[_element(each) for each in shown], next_token=token
    )


def _check_all_there(named: Sequence[str], own: set[str], changed: set[str]) -> None:
    missing = [each for each in dict.fromkeys(named) if each not in own]
    if missing:
        raise NotFound("volume", missing[:1], *missing[1:])
    for each in named:
        if each not in changed:
            raise VolumeModificationNotFound(volume_id=each)


def _element(it: Modification) -> ec2.VolumeModification:
    return ec2.VolumeModification(
        volume_id=it.volume_id,
        modification_state=it.state,
        status_message=it.message,
        original_size=it.original_size_gib,
        original_volume_type=it.original_type,
        original_iops=effective_iops(it.original_type, it.original_size_gib, it.original_iops),
        original_throughput=effective_throughput(it.original_type, it.original_throughput),
        original_multi_attach_enabled=False,
        target_size=it.target_size_gib,
        target_volume_type=it.target_type,
        target_iops=effective_iops(it.target_type, it.target_size_gib, it.target_iops),
        target_throughput=effective_throughput(it.target_type, it.target_throughput),
        target_multi_attach_enabled=False,
        progress=100 if it.state is ModificationState.COMPLETED else 0,
        start_time=it.started_at,
        end_time=it.ended_at,
    )
