"""Laws of the instance's life: what is never reached, what changes nothing, what is refused."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import IncorrectInstanceState
from amiable.model.instance import CODES, State
from amiable.rules import lifecycle
from amiable.rules.lifecycle import NEXT, Event, step
from tests.rules.instances import AN_INSTANCE

ASKED = (Event.STOP_ASKED, Event.START_ASKED, Event.REBOOT_ASKED, Event.TERMINATE_ASKED)
NOW = datetime(2026, 1, 31, 9, 5, 3, tzinfo=UTC)

INSTANCE = replace(
    AN_INSTANCE,
    launched_at=NOW,
)


def walk(events: list[Event], start: State = State.PENDING) -> list[State]:
    """The states passed through; an event that is refused is passed over."""
    states = [start]
    for event in events:
        states.append(NEXT.get((states[-1], event), states[-1]))
    return states


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_a_terminated_instance_never_comes_back(events: list[Event]) -> None:
    states = walk(events)
    if State.TERMINATED in states:
        assert set(states[states.index(State.TERMINATED) :]) == {State.TERMINATED}


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_what_shuts_down_only_ends(events: list[Event]) -> None:
    states = walk(events)
    if State.SHUTTING_DOWN in states:
        assert set(states[states.index(State.SHUTTING_DOWN) :]) <= {State.SHUTTING_DOWN, State.TERMINATED}


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_a_stopped_instance_runs_again_only_by_way_of_pending(events: list[Event]) -> None:
    for before, after in zip(states := walk(events), states[1:], strict=False):
        if after is State.RUNNING and before is not State.RUNNING:
            assert before is State.PENDING


@given(st.lists(st.sampled_from([event for event in Event if event not in ASKED]), max_size=40))
def test_no_instance_starts_by_itself(events: list[Event]) -> None:
    for start in (State.STOPPED, State.STOPPING, State.TERMINATED):
        assert not {State.PENDING, State.RUNNING} & set(walk(events, start))


@given(st.sampled_from(State), st.sampled_from(Event))
def test_every_event_is_safe_to_happen_twice(state: State, event: Event) -> None:
    after = NEXT.get((state, event))
    if after is not None and (after, event) in NEXT:
        assert NEXT[after, event] is after


@given(st.sampled_from(State), st.sampled_from(Event))
def test_the_absence_of_an_arrow_is_a_refusal_that_names_the_instance(state: State, event: Event) -> None:
    if (state, event) in NEXT:
        assert step("i-1", state, event) is NEXT[state, event]
    else:
        with pytest.raises(IncorrectInstanceState, match="'i-1'"):
            step("i-1", state, event)


def test_every_state_can_be_terminated() -> None:
    assert all((state, Event.TERMINATE_ASKED) in NEXT for state in State)


def test_states_have_the_numbers_of_ec2() -> None:
    assert {state.value: code for state, code in CODES.items()} == {
        "pending": 0,
        "running": 16,
        "shutting-down": 32,
        "terminated": 48,
        "stopping": 64,
        "stopped": 80,
    }


@pytest.mark.parametrize(
    ("root", "behavior", "event", "job"),
    [
        ("ebs", "stop", Event.GUEST_POWERED_OFF, "stop"),
        ("ebs", "terminate", Event.TERMINATE_ASKED, "terminate"),
        ("instance-store", "terminate", Event.TERMINATE_ASKED, "terminate"),
    ],
)
def test_a_power_off_from_inside_ends_as_the_launch_said(root: str, behavior: str, event: Event, job: str) -> None:
    ending = lifecycle.when_guest_powered_off(replace(INSTANCE, root_device_type=root, shutdown_behavior=behavior))
    assert (ending.event, ending.job, ending.reason.code) == (event, job, "Client.InstanceInitiatedShutdown")
    assert (State.RUNNING, ending.event) in NEXT


@pytest.mark.parametrize(("root", "job"), [("ebs", "stop"), ("instance-store", "terminate")])
def test_a_dead_process_stops_a_volume_and_ends_an_instance_store(root: str, job: str) -> None:
    ending = lifecycle.when_process_died(replace(INSTANCE, root_device_type=root), "QEMU was killed by signal 9")
    assert (ending.job, ending.reason.message) == (job, "Server.InternalError: QEMU was killed by signal 9")


@pytest.mark.parametrize("root", ["ebs", "instance-store"])
def test_the_hosts_restart_brings_back_what_ran_where_policy_and_instance_let_it(root: str) -> None:
    ran = replace(INSTANCE, root_device_type=root)
    found = lifecycle.when_host_restarted(ran, "start", NOW)
    assert (found.event, found.job) == (Event.HOST_RESTARTED, "boot")
    assert found.reason.code == "Server.HostRestarted" and str(NOW.year) in found.reason.transition
    for policy, it in (("stop", ran), ("start", replace(ran, auto_recovery="disabled"))):
        kept = lifecycle.when_host_restarted(it, policy, NOW)
        assert kept.job == ("stop" if root == "ebs" else "terminate")
        assert kept.reason.message.startswith("Server.InternalError: The host was restarted while the instance ran")


def test_a_host_without_the_memory_says_so_in_ec2s_words() -> None:
    _, reason = lifecycle.boot_failed(INSTANCE, "QEMU ended: cannot set up guest memory 'ram': Cannot allocate memory")
    assert reason.code == "Server.InsufficientInstanceCapacity"
    assert "Cannot allocate memory" in reason.message


def test_the_first_boots_failure_ends_the_instance_and_a_later_ones_stops_it() -> None:
    first, _ = lifecycle.boot_failed(replace(INSTANCE, boot_count=0), "no kernel")
    later, reason = lifecycle.boot_failed(INSTANCE, "no kernel")
    assert NEXT[State.PENDING, first] is State.TERMINATED
    assert NEXT[State.PENDING, later] is State.STOPPED
    assert reason.message.endswith("no kernel")


def test_an_instance_store_that_cannot_come_back_after_the_hosts_restart_ends_since_it_cannot_be_stopped() -> None:
    event, reason = lifecycle.boot_failed(replace(INSTANCE, root_device_type="instance-store"), "no memory")
    assert NEXT[State.PENDING, event] is State.SHUTTING_DOWN
    assert reason.message.endswith("no memory")


def test_a_users_reason_carries_the_time_as_aws_writes_it() -> None:
    reason = lifecycle.user_initiated(Event.STOP_ASKED, NOW)
    assert reason.transition == "User initiated (2026-01-31 09:05:03 GMT)"
    assert reason.code == "Client.UserInitiatedShutdown"


@pytest.mark.parametrize(("root", "job"), [("ebs", "stop"), ("instance-store", "terminate")])
def test_a_crash_of_the_guests_kernel_keeps_a_volume_whatever_a_power_off_does(root: str, job: str) -> None:
    crashed = replace(INSTANCE, root_device_type=root, shutdown_behavior="terminate")
    ending = lifecycle.when_guest_crashed(crashed, "The guest's kernel crashed.", is_ours=False)
    assert (ending.job, ending.reason.message) == (job, "Client.InternalError: The guest's kernel crashed.")
    ours = lifecycle.when_guest_crashed(crashed, "The Xen appliance failed.", is_ours=True)
    assert ours.job == job and ours.reason.code == "Server.InternalError"
    assert (State.RUNNING, ending.event) in NEXT
