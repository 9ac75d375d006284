"""Which lock a request makes, what of a lock may change, and what a locked snapshot refuses."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from amiable.model.errors import (
    IncorrectState,
    InvalidParameterCombination,
    InvalidParameterValue,
    OperationNotPermitted,
)
from amiable.model.snapshot import Snapshot
from amiable.model.snapshot_lock import (
    COMPLIANCE,
    COOL_OFF_HOURS_MAX,
    DAYS_MAX,
    GOVERNANCE,
    LockState,
    SnapshotLock,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What LockSnapshot was asked for."""

    mode: str
    cool_off_hours: int | None
    duration_days: int | None
    expiration_at: datetime | None


def check(asked: Asked, now: datetime) -> None:
    """Refuses parameters that no lock can have."""
    if (asked.duration_days is None) == (asked.expiration_at is None):
        raise InvalidParameterCombination("Specify either LockDuration or ExpirationDate, and not both.")
    if asked.duration_days is not None and not 1 <= asked.duration_days <= DAYS_MAX:
        raise _invalid("LockDuration", asked.duration_days, f"Expecting 1 to {DAYS_MAX} days.")
    if asked.expiration_at is not None:
        if asked.expiration_at <= now:
            raise _invalid("ExpirationDate", asked.expiration_at.isoformat(), "It must be in the future.")
        if asked.expiration_at > now + timedelta(days=DAYS_MAX):
            raise _invalid("ExpirationDate", asked.expiration_at.isoformat(), f"Expecting {DAYS_MAX} days at most.")
    if asked.cool_off_hours is not None:
        if asked.mode == GOVERNANCE:
            raise InvalidParameterCombination("CoolOffPeriod is for compliance mode only: omit it in governance mode.")
        if not 1 <= asked.cool_off_hours <= COOL_OFF_HOURS_MAX:
            raise _invalid("CoolOffPeriod", asked.cool_off_hours, f"Expecting 1 to {COOL_OFF_HOURS_MAX} hours.")


def lock(snapshot: Snapshot, before: SnapshotLock | None, asked: Asked, now: datetime) -> SnapshotLock:
    """The lock that the snapshot gets; in compliance mode, past the cool-off, only a longer one."""
    state = None if before is None else before.state(snapshot, now)
    begins = before is None or state is LockState.EXPIRED
    cool_off_until = None if asked.cool_off_hours is None else now + timedelta(hours=asked.cool_off_hours)
    after = SnapshotLock(
        snapshot_id=snapshot.id,
        mode=asked.mode,
        created_at=now if before is None or begins else before.created_at,
        counted_from=now,
        duration_days=asked.duration_days,
        expiration_at=asked.expiration_at,
        cool_off_hours=asked.cool_off_hours,
        cool_off_until=cool_off_until,
    )
    if before is not None and state is LockState.COMPLIANCE:
        _check_longer(snapshot, before, after)
    return after


def _check_longer(snapshot: Snapshot, before: SnapshotLock, after: SnapshotLock) -> None:
    if after.mode != COMPLIANCE:
        raise IncorrectState(
            f"The snapshot {snapshot.id} is locked in compliance mode and its cooling-off period is over: its lock mode cannot be changed."
        )
    if after.cool_off_hours is not None:
        raise InvalidParameterCombination(
            f"The cooling-off period of the lock on {snapshot.id} is over: omit CoolOffPeriod."
        )
    if _end(snapshot, after) < _end(snapshot, before):
        raise InvalidParameterValue(
            f"The snapshot {snapshot.id} is locked in compliance mode until {_text(_end(snapshot, before))}: its lock can only be extended."
        )


def _end(snapshot: Snapshot, lock: SnapshotLock) -> datetime:
    """When the lock expires; of a pending snapshot, when it would were it completed at the locking."""
    return lock.expires_at(snapshot) or lock.counted_from + timedelta(days=lock.days(snapshot))


def check_unlock(snapshot: Snapshot, lock: SnapshotLock | None, now: datetime) -> None:
    """Refuses to unlock what is not locked, and what is in compliance mode past its cool-off."""
    state = None if lock is None else lock.state(snapshot, now)
    if lock is None or state is LockState.EXPIRED:
        raise InvalidParameterValue(f"The snapshot {snapshot.id} is not locked.")
    if state is LockState.COMPLIANCE:
        raise IncorrectState(
            f"The snapshot {snapshot.id} is locked in compliance mode and its cooling-off period is over: it cannot be unlocked."
        )


def check_delete(snapshot: Snapshot, lock: SnapshotLock | None, now: datetime) -> None:
    """Refuses to delete a snapshot whose lock has not expired."""
    if lock is None or lock.state(snapshot, now) is LockState.EXPIRED:
        return
    end = lock.expires_at(snapshot)
    until = "until its lock expires" if end is None else f"until {_text(end)}"
    raise OperationNotPermitted(
        f"The snapshot {snapshot.id} is locked in {lock.mode} mode {until}: it cannot be deleted.",
        hint=f"aws ec2 unlock-snapshot --snapshot-id {snapshot.id}" if lock.mode == GOVERNANCE else "",
    )


def _invalid(parameter: str, value: object, why: str) -> InvalidParameterValue:
    return InvalidParameterValue(parameter=parameter, value=value, why=why)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
