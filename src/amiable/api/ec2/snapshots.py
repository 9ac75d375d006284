"""DescribeSnapshots and DeleteSnapshot.

An account sees its own snapshots, those whose createVolumePermission names it, and public ones that no guard hides.  Internal ones
(the converted roots of instance-store images, half-finished imports) are seen by nobody.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import parse_filters, tag_set
from amiable.api.paging import PageBounds, open_page
from amiable.database import images, snapshot_locks, snapshots, volumes
from amiable.database import tags as tag_rows
from amiable.database.recycle_bin import images_needing
from amiable.database.snapshot_selection import Selection, existing, list_snapshots
from amiable.model import ids
from amiable.model.errors import (
    AuthFailure,
    InvalidParameterCombination,
    InvalidSnapshotInUse,
    InvalidUserIDMalformed,
    NotFound,
)
from amiable.model.image import EVERYONE, OWNER_ALIASES
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.rules import filters, snapshot_lock
from amiable.rules.filters import boolean
from amiable.rules.identifiers import check_form
from amiable.services import Services, recycle_bin
from amiable.services.why import explained
from amiable.wire.generated import ec2

USERS_TOLD_MAX: Final = 20
"""Ids that a refusal to delete names; of a base of many images a text of all would be longer than anyone reads."""
NO_VOLUME: Final = "vol-ffffffff"
"""What EC2 shows as the volume of a snapshot that was not made of one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot with its viewer's tags."""

    snapshot: Snapshot
    tags: Mapping[str, str]
    owner_alias: str | None


FIELDS: Final[Mapping[str, filters.Field[Seen]]] = {
    "description": lambda seen: (seen.snapshot.description,),
    "encrypted": lambda seen: (boolean(False),),
    "owner-alias": lambda seen: (seen.owner_alias,),
    "owner-id": lambda seen: (seen.snapshot.account_id,),
    "progress": lambda seen: (f"{seen.snapshot.progress_percent}%",),
    "snapshot-id": lambda seen: (seen.snapshot.id,),
    "start-time": lambda seen: (_instant(seen.snapshot),),
    "status": lambda seen: (seen.snapshot.state,),
    "storage-tier": lambda seen: ("standard",),
    "transfer-type": lambda seen: (),
    "volume-id": lambda seen: (seen.snapshot.volume_id or NO_VOLUME,),
    "volume-size": lambda seen: (str(seen.snapshot.size_gib),),
}


def _instant(snapshot: Snapshot) -> str:
    return f"{snapshot.started_at:%Y-%m-%dT%H:%M:%S}.{snapshot.started_at.microsecond // 1000:03d}Z"


def describe_snapshots(
    services: Services, principal: Principal, request: ec2.DescribeSnapshotsRequest
) -> ec2.DescribeSnapshotsResult:
    """The snapshots that the caller may see, in the order of their ids; one that it may not see is left out even if named."""
    check_form("snapshot", ids.SNAPSHOT, request.snapshot_ids)
    if request.snapshot_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter SnapshotId cannot be used with the parameter MaxResults")
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda seen: seen.tags)
    page = open_page(services, principal, request, PageBounds(size_min=5))
    selection = Selection(
        viewer=principal.account_id,
        region=principal.region,
        ids=frozenset(request.snapshot_ids) if request.snapshot_ids else None,
        owners=_accounts(principal, request.owner_ids, OWNER_ALIASES),
        restorable_by=_accounts(principal, request.restorable_by_user_ids, (EVERYONE,)),
        after=page.after,
        size=None if page.size is None or request.filters else page.size + 1,
    )
    raise_if_dry_run(request)
    with services.database.read() as c:
        _check_all_there(c, principal, request.snapshot_ids)
        found = list_snapshots(c, selection)
        tags = tag_rows.tags_of_type(c, principal.account_id, principal.region, "snapshot")
    seen = [Seen(each.snapshot, tags.get(each.snapshot.id, {}), each.owner_alias) for each in found]
    shown, token = page.cut([each for each in seen if wanted(each)], lambda each: each.snapshot.id)
    return ec2.DescribeSnapshotsResult(snapshots=[element(each) for each in shown], next_token=token)


def check_snapshot_id(snapshot_id: str) -> None:
    """Refuses what is not of the form of a snapshot's id."""
    check_form("snapshot", ids.SNAPSHOT, [snapshot_id])


def _check_all_there(c: Connection, principal: Principal, wanted: Sequence[str] | None) -> None:
    if not wanted:
        return
    there = existing(c, principal.region, wanted)
    missing = [snapshot_id for snapshot_id in dict.fromkeys(wanted) if snapshot_id not in there]
    if missing:
        raise NotFound("snapshot", missing[:1], *missing[1:])


def _accounts(principal: Principal, named: Sequence[str] | None, words: Collection[str]) -> frozenset[str] | None:
    for one in named or []:
        if one != "self" and one not in words and not ids.is_account(one):
            raise InvalidUserIDMalformed(value=one)
    return frozenset(principal.account_id if one == "self" else one for one in named) if named else None


def owned_snapshot(c: Connection, principal: Principal, snapshot_id: str) -> Snapshot:
    """The caller's own snapshot; refuses what it does not see (NotFound), and what is shared with it by another (AuthFailure)."""
    snapshot = snapshots.find_seen(c, principal.account_id, principal.region, snapshot_id)
    if snapshot is None:
        raise NotFound("snapshot", [snapshot_id])
    if snapshot.account_id != principal.account_id:
        raise AuthFailure(what=f"snapshot:{snapshot_id}")
    return snapshot


def element(seen: Seen) -> ec2.Snapshot:
    """One item of ``snapshotSet``."""
    snapshot = seen.snapshot
    return ec2.Snapshot(
        owner_alias=seen.owner_alias,
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
    """Deletes a snapshot that no image and no volume needs: into the Recycle Bin where a rule keeps it, else for good."""
    check_snapshot_id(request.snapshot_id)
    with services.database.write_and_answer() as c:
        snapshot = check_deletable(services, c, principal, request.snapshot_id)
        raise_if_dry_run(request)
        remove(services, c, snapshot)


def check_deletable(services: Services, c: Connection, principal: Principal, snapshot_id: str) -> Snapshot:
    """The snapshot; refuses one that is not there, is another's, is locked, or is needed.

    An image in the Recycle Bin needs its snapshots too, unless a rule keeps them there beside it.
    """
    snapshot = owned_snapshot(c, principal, snapshot_id)
    with explained(services, c, principal, snapshot.id):
        snapshot_lock.check_delete(snapshot, snapshot_locks.find(c, snapshot.id), services.now())
        users = images.users_of_snapshot(c, snapshot.id)
        if not users and recycle_bin.rule_for_snapshot(c, snapshot) is None:
            users = images_needing(c, snapshot.id, services.now())
        if users:
            raise InvalidSnapshotInUse(snapshot_id=snapshot.id, users=_as_told(c, principal, users))
    return snapshot


def _as_told(c: Connection, principal: Principal, users: Sequence[str]) -> str:
    """The ids of what needs a snapshot; of other accounts' volumes its owner learns how many there are."""
    theirs = volumes.of_others(c, principal.account_id, users)
    own = [each for each in users if each not in theirs]
    told = own[:USERS_TOLD_MAX]
    if len(own) > len(told):
        told.append(f"{len(own) - len(told)} more")
    if theirs:
        told.append("a volume of another account" if len(theirs) == 1 else f"{len(theirs)} volumes of other accounts")
    return ", ".join(told)


def remove(services: Services, c: Connection, snapshot: Snapshot) -> None:
    """Deletes a snapshot that may be: it goes into the Recycle Bin, or is dropped where no rule keeps it."""
    if not recycle_bin.keep_snapshot(services, c, snapshot):
        recycle_bin.drop_snapshot(services, c, snapshot.id)
