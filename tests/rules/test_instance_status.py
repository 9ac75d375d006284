"""Status checks say what is known, and no more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.boot import Boot, Cause, Fault, Mark, Stage
from amiable.model.instance import State
from amiable.rules.instance_status import (
    HEARD,
    METADATA_AWAITED_MAX,
    NOT_APPLICABLE,
    REACHABILITY,
    Check,
    Seen,
    status_of,
)
from amiable.rules.lifecycle import DISK_FULL
from tests.rules.instances import AN_INSTANCE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING = replace(AN_INSTANCE, launched_at=NOW)
ALIVE = Seen(is_alive=True)


def course(*stages: Stage, began_at: datetime = NOW, cause: Cause | None = None) -> Seen:
    """A live process whose latest boot reached ``stages``, one a second."""
    marks = tuple(Mark(stage, float(number)) for number, stage in enumerate(stages, start=1))
    return Seen(is_alive=True, boot=Boot(1, 1, False, began_at, marks, cause))


@given(st.sampled_from(State), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 100_000))
def test_ok_is_said_only_of_a_live_process_whose_guest_was_heard_of(
    state: State, is_alive: bool, is_served: bool, was_heard: bool, seconds: int
) -> None:
    instance = replace(RUNNING, state=state, reached_metadata_at=NOW if was_heard else None)
    found = status_of(instance, Seen(is_alive, is_served), NOW + timedelta(seconds=seconds))
    works = state is State.RUNNING and is_alive and is_served
    assert (found.instance.status == "ok") == (works and was_heard)
    assert (found.system.status == "ok") == works
    assert (found.system == NOT_APPLICABLE) == (state is not State.RUNNING)
    for check in (found.instance, found.system, found.volumes):
        assert check.status == "not-applicable" or check.status in REACHABILITY
        assert (check.impaired_since is not None) == (check.status == "impaired")


@pytest.mark.parametrize(
    ("waited", "expected"),
    [
        (timedelta(0), Check("initializing")),
        (METADATA_AWAITED_MAX, Check("impaired", NOW + METADATA_AWAITED_MAX)),
    ],
    ids=["at once", "overdue"],
)
def test_silence_is_initializing_and_then_impaired(waited: timedelta, expected: Check) -> None:
    assert status_of(RUNNING, ALIVE, NOW + waited).instance == expected


@pytest.mark.parametrize("stage", list(Stage))
def test_a_guest_that_answers_is_well_though_it_never_asked_for_its_metadata(stage: Stage) -> None:
    found = status_of(RUNNING, course(stage), NOW).instance.status
    assert found == ("ok" if stage in HEARD else "initializing")


def test_what_an_earlier_boot_reached_says_nothing_of_this_one() -> None:
    earlier = course(Stage.SSH, began_at=NOW - timedelta(minutes=5))
    assert status_of(RUNNING, earlier, NOW).instance.status == "initializing"


def test_a_guest_that_is_known_to_have_failed_is_impaired_since_its_last_sign() -> None:
    failed = course(Stage.FIRMWARE, Stage.KERNEL, cause=Cause(Fault.KERNEL_PANIC, "it panicked"))
    assert status_of(RUNNING, failed, NOW).instance == Check("impaired", NOW + timedelta(seconds=2))


def test_a_guest_that_was_rebooted_late_is_initializing_again() -> None:
    rebooted = replace(RUNNING, rebooted_at=NOW + timedelta(days=9))
    later = NOW + timedelta(days=9, minutes=1)
    assert status_of(rebooted, ALIVE, later).instance.status == "initializing"
    assert status_of(rebooted, ALIVE, later + METADATA_AWAITED_MAX).instance.status == "impaired"


def test_a_guest_that_stands_still_on_a_full_disk_is_impaired_whatever_was_heard_of_it() -> None:
    since = NOW + timedelta(minutes=3)
    full = replace(RUNNING, state_reason_code=DISK_FULL, reached_metadata_at=NOW, impaired_at=since)
    found = status_of(full, ALIVE, NOW + timedelta(hours=1))
    assert found.system == found.instance == found.volumes == Check("impaired", since)


def test_a_guest_that_cannot_ask_for_metadata_is_not_called_impaired() -> None:
    silent = replace(RUNNING, metadata=replace(RUNNING.metadata, http_endpoint="disabled"))
    assert status_of(silent, ALIVE, NOW).instance.status == "initializing"
    assert status_of(silent, ALIVE, NOW + 2 * METADATA_AWAITED_MAX).instance.status == "insufficient-data"
