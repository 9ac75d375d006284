"""The states of a bundle task: an end is an end, every live task can end, and nothing goes on behind a cancellation."""

from datetime import UTC, datetime

import pytest

from amiable.model.bundle_task import ENDED, BundleState, BundleTask
from amiable.model.errors import IncorrectState
from amiable.rules.bundle_task import NEXT, Event, step

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LIVE = [state for state in BundleState if state not in ENDED]


def task(state: BundleState) -> BundleTask:
    return BundleTask(
        id="bun-0123456789abcdef0",
        account_id="123456789012",
        region="us-east-1",
        instance_id="i-0123456789abcdef0",
        state=state,
        progress_percent=0,
        bucket="b",
        prefix="images/one",
        object_owner_id="123456789012",
        acl="ec2-bundle-read",
        error=None,
        started_at=NOW,
        updated_at=NOW,
    )


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize("event", Event)
def test_nothing_happens_to_a_task_that_has_ended(state: BundleState, event: Event) -> None:
    with pytest.raises(IncorrectState, match=f"is {state}"):
        step(task(state), event)


@pytest.mark.parametrize("state", LIVE)
def test_every_live_task_can_fail_and_be_cancelled(state: BundleState) -> None:
    assert step(task(state), Event.FAILED) is BundleState.FAILED
    assert step(task(state), Event.CANCEL_ASKED) is BundleState.CANCELLING


def test_behind_a_cancellation_there_is_only_the_end() -> None:
    after = {NEXT[key] for key in NEXT if key[0] is BundleState.CANCELLING}
    assert after == {BundleState.CANCELLING, BundleState.FAILED}


def test_a_task_is_complete_only_after_its_manifest_was_stored() -> None:
    before = {
        state for (state, event), after in NEXT.items() if after is BundleState.COMPLETE and event is Event.STORED
    }
    assert before == {BundleState.STORING}


def test_a_bundles_files_lie_in_the_folder_of_its_prefix() -> None:
    made = task(BundleState.PENDING)
    assert (made.name, made.manifest_key) == ("one", "images/one.manifest.xml")
    assert made.key_of("one.part.00") == "images/one.part.00"
