"""LockSnapshot, UnlockSnapshot, DescribeLockedSnapshots."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.snapshots import check_snapshot_id, owned_snapshot
from amiable.api.ec2.tags import parse_filters
from amiable.api.paging import PageBounds, open_page
from amiable.database import snapshot_locks, snapshots
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, NotFound
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.model.snapshot_lock import SnapshotLock
from amiable.rules import filters, snapshot_lock
from amiable.rules.identifiers import check_form
from amiable.services import Services
from amiable.wire.generated import ec2

PAGE_MIN: Final = 5
Locked = tuple[Snapshot, SnapshotLock]


def lock_snapshot(services: Services, principal: Principal, request: ec2.LockSnapshotRequest) -> ec2.LockSnapshotResult:
    """Locks a snapshot, or changes its lock."""
    check_snapshot_id(request.snapshot_id)
    now = services.now()
    asked = snapshot_lock.Asked(
        request.lock_mode, request.cool_off_period, request.lock_duration, request.expiration_date
    )
    snapshot_lock.check(asked, now)
    with services.database.write_and_answer() as c:
        snapshot = owned_snapshot(c, principal, request.snapshot_id)
        made = snapshot_lock.lock(snapshot, snapshot_locks.find(c, snapshot.id), asked, now)
        raise_if_dry_run(request)
        snapshot_locks.put(c, made)
    return ec2.LockSnapshotResult(**_facts(snapshot, made, now))


def unlock_snapshot(
    services: Services, principal: Principal, request: ec2.UnlockSnapshotRequest
) -> ec2.UnlockSnapshotResult:
    """Takes a lock in governance mode away, or one in its cooling-off period."""
    check_snapshot_id(request.snapshot_id)
    with services.database.write_and_answer() as c:
        snapshot = owned_snapshot(c, principal, request.snapshot_id)
        snapshot_lock.check_unlock(snapshot, snapshot_locks.find(c, snapshot.id), services.now())
        raise_if_dry_run(request)
        snapshot_locks.take(c, snapshot.id)
    return ec2.UnlockSnapshotResult(snapshot_id=snapshot.id)


def describe_locked_snapshots(
    services: Services, principal: Principal, request: ec2.DescribeLockedSnapshotsRequest
) -> ec2.DescribeLockedSnapshotsResult:
    """The account's locked snapshots, those whose lock has expired too."""
    check_form("snapshot", ids.SNAPSHOT, request.snapshot_ids)
    if request.snapshot_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter SnapshotId cannot be used with the parameter MaxResults")
    now = services.now()
    fields = {"lock-state": lambda locked: (_state(locked, now),)}
    wanted = filters.predicate(parse_filters(request.filters), fields)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_MIN))
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = snapshot_locks.list_locked(c, principal.account_id, principal.region)
        _check_own(c, principal, request.snapshot_ids or [])
    named = set(request.snapshot_ids or [])
    found = [locked for locked in found if (not named or locked[0].id in named) and wanted(locked)]
    shown, token = page.cut(found, lambda locked: locked[0].id)
    return ec2.DescribeLockedSnapshotsResult(
        snapshots=[
            ec2.LockedSnapshotsInfo(owner_id=snapshot.account_id, **_facts(snapshot, lock, now))
            for snapshot, lock in shown
        ],
        next_token=token,
    )


def _state(locked: Locked, now: datetime) -> str:
    snapshot, lock = locked
    return lock.state(snapshot, now).value


def _facts(snapshot: Snapshot, lock: SnapshotLock, now: datetime) -> dict[str, Any]:
    """What every answer says of a lock."""
    return {
        "snapshot_id": snapshot.id,
        "lock_state": _state((snapshot, lock), now),
        "lock_duration": lock.days(snapshot),
        "cool_off_period": lock.cool_off_hours,
        "cool_off_period_expires_on": lock.cool_off_until,
        "lock_created_on": lock.created_at,
        "lock_duration_start_time": lock.starts_at(snapshot),
        "lock_expires_on": lock.expires_at(snapshot),
    }


def _check_own(c: Connection, principal: Principal, snapshot_ids: Sequence[str]) -> None:
    """Refuses snapshots that are not the caller's."""
    found = {each: snapshots.get(c, each) for each in snapshot_ids}
    missing = [
        each
        for each, snapshot in found.items()
        if snapshot is None or (snapshot.account_id, snapshot.region) != (principal.account_id, principal.region)
    ]
    if missing:
        raise NotFound("snapshot", missing[:1], *missing[1:])
