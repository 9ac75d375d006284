"""How volumes look on the wire, and how a request's are found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from amiable.api.ec2.placement import zones_of
from amiable.api.ec2.tags import tag_set
from amiable.database import tags as tag_rows
from amiable.database import volumes
from amiable.model import ids
from amiable.model.errors import NotFound
from amiable.model.principal import Principal
from amiable.model.volume import Volume
from amiable.rules.identifiers import check_form
from amiable.rules.volume_type import effective_iops, effective_throughput
from amiable.services import Services
from amiable.wire.generated import ec2


@dataclass(frozen=True, slots=True)
class Seen:
    """A volume with its owner's tags, and its zone's id."""

    volume: Volume
    tags: Mapping[str, str]
    zone_id: str | None


def find_volume(c: Connection, principal: Principal, volume_id: str) -> Volume:
    """The caller's volume; refuses an id of the wrong form, and one that names none."""
    check_form("volume", ids.VOLUME, [volume_id])
    found = volumes.find_own(c, principal.account_id, principal.region, volume_id)
    if found is None:
        raise NotFound("volume", [volume_id])
    return found


def list_seen(
    c: Connection, services: Services, principal: Principal, wanted: Sequence[str] | None = None
) -> list[Seen]:
    """The caller's volumes in the order of their ids; the ``wanted`` ones must all be there."""
    check_form("volume", ids.VOLUME, wanted)
    found = volumes.list_volumes(c, principal.account_id, principal.region, ids=wanted or None)
    there = {each.id for each in found}
    missing = [each for each in dict.fromkeys(wanted or []) if each not in there]
    if missing:
        raise NotFound("volume", missing[:1], *missing[1:])
    tagged = tag_rows.tags_of(c, principal.account_id, [each.id for each in found])
    zones = zone_ids(services, principal.region)
    return [Seen(each, tagged.get(each.id, {}), zones.get(each.zone)) for each in found]


def zone_ids(services: Services, region: str) -> dict[str, str]:
    """Zone name → its id."""
    return {zone.name: zone.id for zone in zones_of(services, region)}


def element(seen: Seen, *, state: str | None = None) -> ec2.Volume:
    """One item of ``volumeSet``; ``state`` where another is told than the row's."""
    it = seen.volume
    return ec2.Volume(
        volume_id=it.id,
        size=it.size_gib,
        snapshot_id=it.snapshot_id or "",
        availability_zone=it.zone,
        availability_zone_id=seen.zone_id,
        state=state or it.state.value,
        create_time=it.created_at,
        attachments=[] if it.instance_id is None else [attachment(it)],
        encrypted=False,
        iops=effective_iops(it.volume_type, it.size_gib, it.iops),
        throughput=effective_throughput(it.volume_type, it.throughput),
        volume_type=it.volume_type,
        multi_attach_enabled=False,
        tags=tag_set(seen.tags),
    )


def attachment(volume: Volume) -> ec2.VolumeAttachment:
    """The attachment of a volume in use."""
    return ec2.VolumeAttachment(
        volume_id=volume.id,
        instance_id=volume.instance_id,
        device=volume.device_name,
        state=volume.attachment_state,
        attach_time=volume.attached_at,
        delete_on_termination=volume.delete_on_termination,
    )
