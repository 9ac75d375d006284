"""Status checks say what is known, and no more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.instance import Instance, MetadataOptions, State
from amiable.rules.instance_status import METADATA_AWAITED_MAX, REACHABILITY, Status, status_of
from amiable.rules.lifecycle import DISK_FULL

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING = Instance(
    **dict.fromkeys(Instance.__dataclass_fields__)  # type: ignore[arg-type]
    | {"state": State.RUNNING, "launched_at": NOW, "metadata": MetadataOptions("optional", "enabled", 1, "disabled")}
)


@given(st.sampled_from(State), st.booleans(), st.booleans(), st.integers(0, 100_000))
def test_ok_is_said_only_of_a_live_process_whose_guest_was_heard_of(
    state: State, is_alive: bool, was_heard: bool, seconds: int
) -> None:
    instance = replace(RUNNING, state=state, reached_metadata_at=NOW if was_heard else None)
    found = status_of(instance, is_alive=is_alive, now=NOW + timedelta(seconds=seconds))
    assert (found.instance == "ok") == (state is State.RUNNING and is_alive and was_heard)
    assert (found.system == "ok") == (state is State.RUNNING and is_alive)
    assert (found.system == "not-applicable") == (state is not State.RUNNING)
    assert found.instance == "not-applicable" or found.instance in REACHABILITY


@pytest.mark.parametrize(
    ("waited", "expected"),
    [(timedelta(0), "initializing"), (METADATA_AWAITED_MAX, "impaired")],
)
def test_silence_is_initializing_and_then_impaired(waited: timedelta, expected: str) -> None:
    assert status_of(RUNNING, is_alive=True, now=NOW + waited).instance == expected


def test_a_guest_that_was_rebooted_late_is_initializing_again() -> None:
    rebooted = replace(RUNNING, rebooted_at=NOW + timedelta(days=9))
    later = NOW + timedelta(days=9, minutes=1)
    assert status_of(rebooted, is_alive=True, now=later).instance == "initializing"
    assert status_of(rebooted, is_alive=True, now=later + METADATA_AWAITED_MAX).instance == "impaired"


def test_a_guest_that_stands_still_on_a_full_disk_is_impaired_whatever_was_heard_of_it() -> None:
    full = replace(RUNNING, state_reason_code=DISK_FULL, reached_metadata_at=NOW)
    assert status_of(full, is_alive=True, now=NOW) == Status("impaired", "impaired")


def test_a_guest_that_cannot_ask_for_metadata_is_not_called_impaired() -> None:
    silent = replace(RUNNING, metadata=replace(RUNNING.metadata, http_endpoint="disabled"))
    assert status_of(silent, is_alive=True, now=NOW + 2 * METADATA_AWAITED_MAX).instance == "insufficient-data"
