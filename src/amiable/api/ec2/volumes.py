"""CreateVolume, DeleteVolume and DescribeVolumes.

A volume is made as a row: its bytes come when an instance first has it.  It is told as ``creating`` by the call that makes it, as on
EC2, and is available when that call has ended.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.placement import find_zone
from amiable.api.ec2.snapshots import check_snapshot_id
from amiable.api.ec2.tags import birth_tags, parse_filters
from amiable.api.ec2.volume_view import Seen, element, find_volume, list_seen, zone_ids
from amiable.api.idempotency import Repeatable, check_token
from amiable.api.paging import PageBounds, open_page
from amiable.database import product_codes, snapshots, tags, volumes
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, MissingParameter, NotFound, UnsupportedOperation
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.model.units import GIB
from amiable.model.volume import Volume, VolumeState
from amiable.model.volume_errors import InvalidParameterDependency, InvalidZoneNotFound
from amiable.rules import filters
from amiable.rules import volume as rules
from amiable.rules.filters import boolean
from amiable.rules.volume_type import Figures
from amiable.services import Services, volume_work
from amiable.wire.generated import ec2

FIELDS: Final[Mapping[str, filters.Field[Seen]]] = {
    "attachment.attach-time": lambda seen: (_instant(seen.volume.attached_at),),
    "attachment.delete-on-termination": lambda seen: (
        boolean(seen.volume.delete_on_termination) if seen.volume.instance_id else None,
    ),
    "attachment.device": lambda seen: (seen.volume.device_name,),
    "attachment.instance-id": lambda seen: (seen.volume.instance_id,),
    "attachment.status": lambda seen: (seen.volume.attachment_state,),
    "availability-zone": lambda seen: (seen.volume.zone,),
    "availability-zone-id": lambda seen: (seen.zone_id,),
    "create-time": lambda seen: (_instant(seen.volume.created_at),),
    "encrypted": lambda seen: (boolean(False),),
    "fast-restored": lambda seen: (boolean(False),),
    "multi-attach-enabled": lambda seen: (boolean(False),),
    "operator.managed": lambda seen: (boolean(False),),
    "operator.principal": lambda seen: (),
    "size": lambda seen: (str(seen.volume.size_gib),),
    "snapshot-id": lambda seen: (seen.volume.snapshot_id,),
    "status": lambda seen: (seen.volume.state,),
    "volume-id": lambda seen: (seen.volume.id,),
    "volume-type": lambda seen: (seen.volume.volume_type,),
}


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def create_volume(services: Services, principal: Principal, request: ec2.CreateVolumeRequest) -> ec2.Volume:
    """A new volume, empty or of a snapshot; the same client token answers with the same one."""
    _refuse_unsupported(request)
    check_token(request)
    born = birth_tags(request.tag_specifications, ("volume",)).get("volume", {})
    zone = _zone(services, principal, request)
    if request.snapshot_id is not None:
        check_snapshot_id(request.snapshot_id)
    with services.database.write() as c:
        once = Repeatable(services, principal, request, zone)
        made = None if request.dry_run else once.recall(c)
        if made is not None:
            return element(list_seen(c, services, principal, made)[0])
        snapshot = _find_snapshot(c, principal, request.snapshot_id)
        asked = Figures(rules.default_type(request.volume_type), 0, request.iops, request.throughput)
        planned = rules.plan(asked, request.size, snapshot)
        rules.check_room(volumes.count_volumes(c, principal.account_id, principal.region))
        raise_if_dry_run(request)
        volume = Volume(
            id=services.mint(ids.VOLUME),
            account_id=principal.account_id,
            region=principal.region,
            zone=zone,
            state=VolumeState.AVAILABLE,
            snapshot_id=None if snapshot is None else snapshot.id,
            size_gib=planned.size_gib,
            size_bytes=planned.size_gib * GIB,
            volume_type=planned.volume_type,
            is_instance_store=False,
            instance_id=None,
            device_name=None,
            delete_on_termination=False,
            created_at=services.now(),
            attached_at=None,
            iops=planned.iops,
            throughput=planned.throughput,
        )
        _insert(c, volume, born)
        once.remember(c, [volume.id])
    seen = Seen(volume, born, zone_ids(services, principal.region).get(zone))
    return element(seen, state=VolumeState.CREATING.value)


def _insert(c: Connection, volume: Volume, born: Mapping[str, str]) -> None:
    volumes.insert_volume(c, volume)
    if volume.snapshot_id is not None:
        product_codes.inherit_codes(c, volume.id, source_ids=[volume.snapshot_id])
    tags.put(c, tags.TaggedResource(volume.account_id, volume.region, volume.id, "volume"), born)


def _refuse_unsupported(request: ec2.CreateVolumeRequest) -> None:
    if request.kms_key_id and not request.encrypted:
        raise InvalidParameterDependency("The parameter KmsKeyId requires the parameter Encrypted to be set.")
    if request.encrypted:
        raise UnsupportedOperation("Encrypted volumes are not supported by Amiable.")
    if request.multi_attach_enabled:
        raise UnsupportedOperation("Volumes that several instances use at once are not supported by Amiable.")
    for name, value in (
        ("OutpostArn", request.outpost_arn),
        ("Operator", request.operator),
        ("VolumeInitializationRate", request.volume_initialization_rate),
    ):
        if value is not None:
            raise UnsupportedOperation(f"The parameter {name} is not supported by Amiable.")


def _zone(services: Services, principal: Principal, request: ec2.CreateVolumeRequest) -> str:
    """The zone's name, given so or by its id."""
    name, zone_id = request.availability_zone, request.availability_zone_id
    if name and zone_id:
        raise InvalidParameterCombination(
            "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together."
        )
    if not name and not zone_id:
        raise MissingParameter(parameter="AvailabilityZone")
    zone = find_zone(services, principal.region, name=name, zone_id=zone_id)
    if zone is None:
        raise InvalidZoneNotFound(zone=name or zone_id)
    return zone.name


def _find_snapshot(c: Connection, principal: Principal, snapshot_id: str | None) -> Snapshot | None:
    if snapshot_id is None:
        return None
    found = snapshots.find_seen(c, principal.account_id, principal.region, snapshot_id)
    if found is None:
        raise NotFound("snapshot", [snapshot_id])
    return found


def delete_volume(services: Services, principal: Principal, request: ec2.DeleteVolumeRequest) -> None:
    """Deletes a volume that is available; its bytes go once no snapshot is being made of them."""
    with services.database.write() as c:
        volume = find_volume(c, principal, request.volume_id)
        rules.check_delete(volume)
        raise_if_dry_run(request)
        volumes.set_deleting(c, volume.id)
        volume_work.enqueue(c, services, volume, volume_work.DELETE)
    services.wake()


def describe_volumes(
    services: Services, principal: Principal, request: ec2.DescribeVolumesRequest
) -> ec2.DescribeVolumesResult:
    """The account's volumes, in the order of their ids."""
    if request.volume_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter volumes cannot be used with the parameter maxResults")
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda seen: seen.tags)
    page = open_page(services, principal, request, PageBounds(size_min=5))
    with services.database.read() as c:
        found = list_seen(c, services, principal, request.volume_ids)
    raise_if_dry_run(request)
    shown, token = page.cut([each for each in found if wanted(each)], lambda each: each.volume.id)
    return ec2.DescribeVolumesResult(volumes=[element(each) for each in shown], next_token=token)
