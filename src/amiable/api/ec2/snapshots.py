"""DescribeSnapshots and DeleteSnapshot.

Snapshots belong to one account each: sharing them is not implemented, so an account sees its own.  Internal ones (the converted
roots of instance-store images, half-finished imports) are seen by nobody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import parse_filters, tag_set
from amiable.api.paging import cut_page, open_page
from amiable.database import images, snapshots
from amiable.database import tags as tag_rows
from amiable.model import ids
from amiable.model.errors import (
    InvalidParameterCombination,
    InvalidSnapshotInUse,
    InvalidUserIDMalformed,
    Malformed,
    NotFound,
)
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.services import Services
from amiable.wire.generated import ec2

NO_VOLUME: Final = "vol-ffffffff"
"""What EC2 shows as the volume of a snapshot that was not made of one."""

OWNER_ALIASES: Final = ("amazon",)


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot with its viewer's tags."""

    snapshot: Snapshot
    tags: Mapping[str, str]


FIELDS: Final[Mapping[str, filters.Field[Seen]]] = {
    "description": lambda seen: (seen.snapshot.description,),
    "encrypted": lambda seen: (boolean(False),),
    "owner-id": lambda seen: (seen.snapshot.account_id,),
    "progress": lambda seen: (f"{seen.snapshot.progress_percent}%",),
    "snapshot-id": lambda seen: (seen.snapshot.id,),
    "start-time": lambda seen: (_instant(seen.snapshot),),
    "status": lambda seen: (seen.snapshot.state,),
    "storage-tier": lambda seen: ("standard",),
    "volume-id": lambda seen: (seen.snapshot.volume_id or NO_VOLUME,),
    "volume-size": lambda seen: (str(seen.snapshot.size_gib),),
}


def _instant(snapshot: Snapshot) -> str:
    return f"{snapshot.started_at:%Y-%m-%dT%H:%M:%S}.{snapshot.started_at.microsecond // 1000:03d}Z"


def describe_snapshots(
    services: Services, principal: Principal, request: ec2.DescribeSnapshotsRequest
) -> ec2.DescribeSnapshotsResult:
    """The account's snapshots, in the order of their ids."""
    for snapshot_id in request.snapshot_ids or []:
        check_snapshot_id(snapshot_id)
    if request.snapshot_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter SnapshotId cannot be used with the parameter MaxResults")
    is_mine = _selects(principal, request.owner_ids) and _selects(principal, request.restorable_by_user_ids)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda seen: seen.tags)
    page = open_page(services, principal, "DescribeSnapshots", request, size_min=5)
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = snapshots.list_snapshots(
            c,
            account_id=principal.account_id,
            region=principal.region,
            ids=request.snapshot_ids or None,
            after=page.after or "",
        )
        tags = tag_rows.tags_of_type(c, principal.account_id, principal.region, "snapshot")
    _check_all_there(request.snapshot_ids, mine)
    seen = [Seen(snapshot, tags.get(snapshot.id, {})) for snapshot in mine] if is_mine else []
    found = [each for each in seen if wanted(each)]
    shown, token = cut_page(
        services, principal, "DescribeSnapshots", request, page, found, lambda each: each.snapshot.id
    )
    return ec2.DescribeSnapshotsResult(snapshots=[element(each) for each in shown], next_token=token)


def check_snapshot_id(snapshot_id: str) -> None:
    """Refuses what is not of the form of a snapshot's id."""
    if not ids.is_well_formed(ids.SNAPSHOT, snapshot_id):
        raise Malformed("snapshot", snapshot_id, ids.SNAPSHOT)


def _check_all_there(wanted: Sequence[str] | None, found: Iterable[Snapshot]) -> None:
    there = {snapshot.id for snapshot in found}
    missing = [snapshot_id for snapshot_id in dict.fromkeys(wanted or []) if snapshot_id not in there]
    if missing:
        raise NotFound("snapshot", missing[:1])


def _selects(principal: Principal, accounts: Sequence[str] | None) -> bool:
    """Whether a list of owners, or of accounts that may restore, includes the caller's own snapshots."""
    for account in accounts or []:
        if account not in ("self", "all", *OWNER_ALIASES) and not ids.is_account(account):
            raise InvalidUserIDMalformed(value=account)
    return not accounts or "self" in accounts or principal.account_id in accounts


def element(seen: Seen) -> ec2.Snapshot:
    """One item of ``snapshotSet``."""
    snapshot = seen.snapshot
    return ec2.Snapshot(
        tags=tag_set(seen.tags),
        storage_tier="standard",
        completion_time=snapshot.completed_at,
        snapshot_id=snapshot.id,
        volume_id=snapshot.volume_id or NO_VOLUME,
        state=snapshot.state,
        state_message=snapshot.state_message,
        start_time=snapshot.started_at,
        progress=f"{snapshot.progress_percent}%",
        owner_id=snapshot.account_id,
        description=snapshot.description,
        volume_size=snapshot.size_gib,
        encrypted=False,
    )


def delete_snapshot(services: Services, principal: Principal, request: ec2.DeleteSnapshotRequest) -> None:
    """Deletes a snapshot that no image and no volume needs; its bytes become reclaimable."""
    check_snapshot_id(request.snapshot_id)
    with services.database.write() as c:
        check_deletable(c, principal, request.snapshot_id)
        raise_if_dry_run(request)
        remove(services, c, request.snapshot_id)


def check_deletable(c: Connection, principal: Principal, snapshot_id: str) -> None:
    """Refuses a snapshot that is not there, is another's, or is needed."""
    snapshot = snapshots.get(c, snapshot_id)
    if (
        snapshot is None
        or snapshot.is_internal
        or (snapshot.account_id, snapshot.region) != (principal.account_id, principal.region)
    ):
        raise NotFound("snapshot", [snapshot_id])
    users = images.users_of_snapshot(c, snapshot.id)
    if users:
        raise InvalidSnapshotInUse(snapshot_id=snapshot.id, users=", ".join(users))


def remove(services: Services, c: Connection, snapshot_id: str) -> None:
    """Drops a snapshot that nothing needs: its map, its row and everybody's tags of it."""
    services.blocks.drop(c, snapshot_id)
    snapshots.delete_row(c, snapshot_id)
    tag_rows.forget(c, snapshot_id)
