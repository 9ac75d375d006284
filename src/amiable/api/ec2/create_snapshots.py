"""CreateSnapshot and CreateSnapshots: volumes as they are now, by the job ``take-snapshots``: pending, then completed or error."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.snapshots import Seen, element
from amiable.api.ec2.tags import birth_tags, tag_set
from amiable.database import accounts, jobs, snapshots, volumes
from amiable.database import tags as tag_rows
from amiable.database.product_codes import inherit_codes
from amiable.model import ids
from amiable.model.errors import (
    IncorrectInstanceState,
    IncorrectState,
    InvalidParameterValue,
    NotFound,
    UnsupportedOperation,
)
from amiable.model.image_making_errors import ConcurrentSnapshotLimitExceeded
from amiable.model.instance import Instance, State
from amiable.model.principal import Principal
from amiable.model.snapshot import PENDING, Snapshot
from amiable.model.volume import Volume, VolumeState
from amiable.rules.attributes import check_description
from amiable.rules.create_image import find_root
from amiable.rules.identifiers import check_form
from amiable.rules.tags import merge
from amiable.services import Services
from amiable.services.quota import check_snapshot_room
from amiable.wire.generated import ec2

JOB: Final = "take-snapshots"
NO_TIMEOUT_MINUTES: Final = 525_600
"""It waits for its job, however long the server is away."""
PENDING_MAX: Final = 5
"""Pending snapshots of one volume."""
EXCLUDED_MAX: Final = 40


def create_snapshot(services: Services, principal: Principal, request: ec2.CreateSnapshotRequest) -> ec2.Snapshot:
    """Begins a snapshot of a volume; it holds what the volume held when its job took the moment, soon after the call."""
    check_form("volume", ids.VOLUME, [request.volume_id])
    _check_place(request.outpost_arn, request.location)
    check_description(request.description)
    tags = birth_tags(request.tag_specifications, ("snapshot",)).get("snapshot", {})
    with services.database.write() as c:
        volume = _own_volume(c, principal, request.volume_id)
        check_room(c, volume)
        check_snapshot_room(services, c, principal)
        raise_if_dry_run(request)
        made = new_snapshot(services, volume, request.description or "")
        insert_snapshots(c, [made], tags={made.id: tags})
        enqueue(services, c, [(volume, made)])
        account = accounts.find_account(c, principal.account_id)
    services.wake()
    told = element(Seen(made, tags, None if account is None else account.owner_alias))
    return replace(told, tags=told.tags or [])  # EC2 always tells them here; Ansible relies on it


def create_snapshots(
    services: Services, principal: Principal, request: ec2.CreateSnapshotsRequest
) -> ec2.CreateSnapshotsResult:
    """Begins snapshots of an instance's volumes, all of one moment."""
    wanted = request.instance_specification
    _check_place(request.outpost_arn, request.location)
    check_description(request.description)
    tags = birth_tags(request.tag_specifications, ("snapshot",)).get("snapshot", {})
    if request.copy_tags_from_source not in (None, "volume"):
        raise InvalidParameterValue(
            parameter="CopyTagsFromSource", value=request.copy_tags_from_source, why="Expecting volume."
        )
    with services.database.write() as c:
        (instance,) = find_named(c, principal, [wanted.instance_id], now=services.now())
        chosen = _choose(c, instance, wanted)
        for volume in chosen:
            check_room(c, volume)
        check_snapshot_room(services, c, principal, len(chosen))
        pairs = [(volume, new_snapshot(services, volume, request.description or "")) for volume in chosen]
        copied = {} if request.copy_tags_from_source is None else _tags_of(c, principal, chosen)
        given = {made.id: merge(copied.get(volume.id, {}), tags) for volume, made in pairs}
        raise_if_dry_run(request)
        insert_snapshots(c, [made for _, made in pairs], tags=given)
        enqueue(services, c, pairs, instance=instance)
    services.wake()
    return ec2.CreateSnapshotsResult(snapshots=[_info(made, given[made.id]) for _, made in pairs])


def _check_place(outpost_arn: str | None, location: str | None) -> None:
    if outpost_arn is not None:
        raise UnsupportedOperation("Outposts are not supported by Amiable: leave out OutpostArn.")
    if location not in (None, "regional"):
        if location != "local":
            raise InvalidParameterValue(parameter="Location", value=location, why="Expecting regional or local.")
        raise UnsupportedOperation("Local Zones are not supported by Amiable: Location is regional.")


def _own_volume(c: Connection, principal: Principal, volume_id: str) -> Volume:
    volume = volumes.get_volume(c, volume_id)
    is_own = volume is not None and (volume.account_id, volume.region) == (principal.account_id, principal.region)
    if volume is None or not is_own or volume.is_instance_store:
        raise NotFound("volume", [volume_id])
    if volume.state not in (VolumeState.IN_USE, VolumeState.AVAILABLE):
        raise IncorrectState(
            f"The volume '{volume_id}' is {volume.state}; a snapshot is made of an available or used one."
        )
    return volume


def _choose(c: Connection, instance: Instance, wanted: ec2.InstanceSpecification) -> list[Volume]:
    """The instance's volumes without the excluded ones, the root first."""
    if instance.state in (State.SHUTTING_DOWN, State.TERMINATED):
        raise IncorrectInstanceState(instance_id=instance.id, verb="snapshotted")
    excluded = wanted.exclude_data_volume_ids or []
    check_form("volume", ids.VOLUME, excluded)
    if len(excluded) > EXCLUDED_MAX:
        raise InvalidParameterValue(f"ExcludeDataVolumeId names {len(excluded)} volumes; it may name {EXCLUDED_MAX}.")
    held = [each for each in volumes.volumes_of(c, instance.id) if not each.is_instance_store and not each.is_leaving]
    root = find_root(instance, held)
    known = {each.id for each in held}
    for volume_id in excluded:
        if root is not None and volume_id == root.id:
            raise InvalidParameterValue(
                parameter="ExcludeDataVolumeId", value=volume_id, why="It is the root volume: use ExcludeBootVolume."
            )
        if volume_id not in known:
            raise InvalidParameterValue(
                parameter="ExcludeDataVolumeId", value=volume_id, why=f"It is not attached to {instance.id}."
            )
    left = [each for each in held if each.id not in excluded]
    chosen = [each for each in left if root is None or each.id != root.id]
    if root is not None and not wanted.exclude_boot_volume:
        chosen.insert(0, root)
    if not chosen:
        raise InvalidParameterValue(f"No volume of {instance.id} is left to make a snapshot of.")
    return chosen


def _tags_of(c: Connection, principal: Principal, chosen: Sequence[Volume]) -> dict[str, dict[str, str]]:
    return tag_rows.tags_of(c, principal.account_id, [volume.id for volume in chosen])


# ── shared with CreateImage ─────────────────────────────────────────────────────────────────────────────────────────────


def check_room(c: Connection, volume: Volume) -> None:
    """Refuses one more snapshot of a volume that has many in the making."""
    count = snapshots.count_pending_of(c, volume.id)
    if count >= PENDING_MAX:
        raise ConcurrentSnapshotLimitExceeded(volume_id=volume.id, count=count)


def new_snapshot(services: Services, volume: Volume, description: str) -> Snapshot:
    """A pending snapshot of the volume."""
    now = services.now()
    return Snapshot(
        id=services.mint(ids.SNAPSHOT),
        account_id=volume.account_id,
        region=volume.region,
        state=PENDING,
        size_gib=volume.size_gib,
        description=description,
        volume_id=volume.id,
        timeout_minutes=NO_TIMEOUT_MINUTES,
        started_at=now,
        touched_at=now,
    )


def insert_snapshots(c: Connection, made: Sequence[Snapshot], *, tags: Mapping[str, Mapping[str, str]]) -> None:
    """Writes them, with their volumes' product codes and their tags."""
    for snapshot in made:
        assert snapshot.volume_id is not None
        snapshots.insert_snapshot(c, snapshot)
        inherit_codes(c, snapshot.id, source_ids=[snapshot.volume_id])
        tag_rows.put(
            c,
            tag_rows.TaggedResource(snapshot.account_id, snapshot.region, snapshot.id, "snapshot"),
            tags.get(snapshot.id, {}),
        )


def enqueue(
    services: Services,
    c: Connection,
    pairs: Sequence[tuple[Volume, Snapshot]],
    *,
    instance: Instance | None = None,
    **data: Any,
) -> None:
    """Asks for the job that makes the snapshots."""
    items = [[volume.id, made.id] for volume, made in pairs]
    host = services.host if instance is None else instance.host
    key = f"{pairs[0][1].id}:{JOB}"
    jobs.enqueue(c, jobs.NewJob(JOB, key, {"items": items, **data}, host), now=services.now())


def _info(made: Snapshot, tags: Mapping[str, str]) -> ec2.SnapshotInfo:
    return ec2.SnapshotInfo(
        description=made.description,
        tags=tag_set(tags) or [],
        encrypted=False,
        volume_id=made.volume_id,
        state=made.state,
        volume_size=made.size_gib,
        start_time=made.started_at,
        progress=f"{made.progress_percent}%",
        owner_id=made.account_id,
        snapshot_id=made.id,
    )
