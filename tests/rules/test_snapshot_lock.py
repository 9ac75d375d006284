"""Locks of snapshots over time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import OperationNotPermitted, Refusal
from amiable.model.snapshot import COMPLETED, ERROR, PENDING, Snapshot
from amiable.model.snapshot_lock import COMPLIANCE, GOVERNANCE, LockState, SnapshotLock
from amiable.rules import snapshot_lock
from amiable.rules.snapshot_lock import Asked

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SNAPSHOT = Snapshot(
    id="snap-1", account_id="1", region="us-east-1", state=COMPLETED, size_gib=1, started_at=NOW, touched_at=NOW,
    completed_at=NOW,
)  # fmt: skip
ASKED = st.builds(
    lambda mode, hours, days: Asked(mode, hours if mode == COMPLIANCE else None, days, None),
    st.sampled_from((GOVERNANCE, COMPLIANCE)), st.none() | st.integers(1, 72), st.integers(1, 30),
)  # fmt: skip


@given(st.lists(st.tuples(ASKED, st.integers(0, 100)), min_size=1, max_size=6))
def test_what_compliance_promised_past_its_cool_off_is_kept(asked: list[tuple[Asked, int]]) -> None:
    now, lock = NOW, None
    promised = NOW
    for wanted, hours in asked:
        try:
            lock = snapshot_lock.lock(SNAPSHOT, lock, wanted, now)
        except Refusal:
            assert lock is not None and lock.state(SNAPSHOT, now) is LockState.COMPLIANCE
        now += timedelta(hours=hours)
        if lock.state(SNAPSHOT, now) is LockState.COMPLIANCE:
            end = lock.expires_at(SNAPSHOT)
            assert end is not None
            promised = max(promised, end)
        if now < promised:
            with pytest.raises(OperationNotPermitted):
                snapshot_lock.check_delete(SNAPSHOT, lock, now)
            with pytest.raises(Refusal):
                snapshot_lock.check_unlock(SNAPSHOT, lock, now)


def test_a_duration_counts_from_the_completion_and_of_a_failed_snapshot_from_the_locking() -> None:
    lock = SnapshotLock("snap-1", GOVERNANCE, NOW, NOW, duration_days=1)
    pending = replace(SNAPSHOT, state=PENDING, completed_at=None)
    assert lock.expires_at(pending) is None
    assert lock.state(pending, NOW + timedelta(days=99)) is LockState.GOVERNANCE
    later = replace(SNAPSHOT, completed_at=NOW + timedelta(hours=5))
    assert lock.expires_at(later) == NOW + timedelta(days=1, hours=5)
    failed = replace(SNAPSHOT, state=ERROR, completed_at=None)
    assert lock.state(failed, NOW + timedelta(days=1)) is LockState.EXPIRED


def test_days_that_have_begun_are_counted() -> None:
    for hours, days in ((1, 1), (24, 1), (25, 2)):
        lock = SnapshotLock("snap-1", GOVERNANCE, NOW, NOW, expiration_at=NOW + timedelta(hours=hours))
        assert lock.days(SNAPSHOT) == days
