"""A lock on a snapshot: until it expires, the snapshot cannot be deleted.

                 ┌──────────────── UnlockSnapshot ────────────────┐
                 │                                                ▼
    LockSnapshot ├─ governance ────────────── its time is over ─▶ (not locked, or) expired
                 └─ compliance-cooloff ─ cool-off is over ─▶ compliance ─ its time is over ─▶ expired

A lock in governance mode or in its cool-off can be changed and taken away; one in compliance can only be made longer.
A duration counts from the locking, of a pending snapshot from its completion.  Source: EC2 API, LockSnapshot.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from amiable.model.snapshot import PENDING, Snapshot

GOVERNANCE: Final = "governance"
COMPLIANCE: Final = "compliance"
DAYS_MAX: Final = 36_500
COOL_OFF_HOURS_MAX: Final = 72


class LockState(StrEnum):
    COMPLIANCE_COOLOFF = "compliance-cooloff"
    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class SnapshotLock:
    """One lock: ``duration_days`` or ``expiration_at`` is set."""

    snapshot_id: str
    mode: str
    created_at: datetime
    counted_from: datetime
    duration_days: int | None = None
    expiration_at: datetime | None = None
    cool_off_hours: int | None = None
    cool_off_until: datetime | None = None

    def starts_at(self, snapshot: Snapshot) -> datetime | None:
        """When its duration began; None while the snapshot is pending."""
        if snapshot.state == PENDING:
            return None
        return max(self.counted_from, snapshot.completed_at or self.counted_from)

    def expires_at(self, snapshot: Snapshot) -> datetime | None:
        """When it expires; None while that counts from a completion to come."""
        if self.duration_days is None:
            return self.expiration_at
        start = self.starts_at(snapshot)
        return None if start is None else start + timedelta(days=self.duration_days)

    def days(self, snapshot: Snapshot) -> int:
        """How long it lasts in days, begun ones counted."""
        if self.duration_days is not None:
            return self.duration_days
        assert self.expiration_at is not None
        start = self.starts_at(snapshot) or self.counted_from
        return max(0, -((start - self.expiration_at) // timedelta(days=1)))

    def state(self, snapshot: Snapshot, now: datetime) -> LockState:
        """Its state at ``now``."""
        end = self.expires_at(snapshot)
        if end is not None and end <= now:
            return LockState.EXPIRED
        if self.mode == GOVERNANCE:
            return LockState.GOVERNANCE
        in_cool_off = self.cool_off_until is not None and now < self.cool_off_until
        return LockState.COMPLIANCE_COOLOFF if in_cool_off else LockState.COMPLIANCE
