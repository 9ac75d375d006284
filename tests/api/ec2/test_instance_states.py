"""Stop, start, reboot and terminate: states, reasons and jobs, all or none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from amiable.api import kernels
from amiable.api.ec2 import instance_states as api
from amiable.database import instances, schema
from amiable.model import ids
from amiable.model.errors import AuthFailure, Refusal
from amiable.model.instance import State
from amiable.model.principal import Principal
from amiable.rules.launch import HOST_RESERVE_BYTES
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.vm import host
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, make_instance_store_image, make_kernel, run_one
from tests.support.services import make_account, open_services

REQUESTS: dict[str, tuple[Callable[..., Any], Any]] = {
    "stop": (api.stop_instances, ec2.StopInstancesRequest),
    "start": (api.start_instances, ec2.StartInstancesRequest),
    "reboot": (api.reboot_instances, ec2.RebootInstancesRequest),
    "terminate": (api.terminate_instances, ec2.TerminateInstancesRequest),
}
WAYS: dict[State, tuple[Event, ...]] = {
    State.PENDING: (),
    State.RUNNING: (Event.BOOTED,),
    State.STOPPING: (Event.BOOTED, Event.STOP_ASKED),
    State.STOPPED: (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED),
    State.SHUTTING_DOWN: (Event.TERMINATE_ASKED,),
    State.TERMINATED: (Event.TERMINATE_ASKED, Event.TERMINATED),
}


def instance_in(services: Services, principal: Principal, state: State) -> str:
    """An instance that has come to ``state``; its boot job has ended."""
    instance_id = run_one(services, principal, make_image(services, principal))
    with services.database.write() as c:
        for event in WAYS[state]:
            instances.set_state(c, instance_id, event, now=services.now())
        c.execute(update(schema.job).values(state="done"))
    return instance_id


def ask(
    services: Services, principal: Principal, verb: str, *instance_ids: str, **parameters: Any
) -> list[tuple[str, str]]:
    """(previous, current) of each instance in the answer; nothing for a reboot."""
    operation, request = REQUESTS[verb]
    answer = operation(services, principal, request(instance_ids=list(instance_ids), **parameters))
    if answer is None:
        return []
    (changes,) = (getattr(answer, name) for name in answer.__struct_fields__)
    return [(each.previous_state.name, each.current_state.name) for each in changes]


def test_a_stopped_instance_whose_kernel_was_disapproved_is_not_started_and_a_running_one_goes_on(
    services: Services, principal: Principal, administrator: Principal
) -> None:
    kernel, ramdisk = make_kernel(services, administrator), make_kernel(services, administrator, ids.ARI)
    image = make_image(
        services, principal, virtualization_type="paravirtual", kernel_id=kernel.id, ramdisk_id=ramdisk.id
    )
    instance_id = run_one(services, principal, image)
    for mark in (kernel.id, ramdisk.id):
        with services.database.write() as c:
            instances.set_state(c, instance_id, Event.BOOTED, now=services.now())
        kernels.set_approved(services, administrator, mark, False)
        assert state_of(services, instance_id) is State.RUNNING
        with services.database.write() as c:
            for event in (Event.STOP_ASKED, Event.STOPPED):
                instances.set_state(c, instance_id, event, now=services.now())
        with pytest.raises(AuthFailure, match=rf"\[{mark}\].*not on the list of approved"):
            ask(services, principal, "start", instance_id)
        assert state_of(services, instance_id) is State.STOPPED
        kernels.set_approved(services, administrator, mark, True)
        assert ask(services, principal, "start", instance_id) == [("stopped", "pending")]


def state_of(services: Services, instance_id: str) -> State:
    with services.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None
    return found.state


def queued(services: Services) -> list[tuple[str, dict[str, Any]]]:
    """(key, data) of the jobs that wait."""
    with services.database.read() as c:
        rows = c.execute(select(schema.job).where(schema.job.c.state == "queued").order_by(schema.job.c.key)).all()
    return [(row.key, json.loads(row.data)) for row in rows]


@pytest.mark.parametrize(
    ("verb", "before", "after", "job"),
    [
        ("stop", State.RUNNING, State.STOPPING, "stop"),
        ("stop", State.STOPPING, State.STOPPING, None),
        ("stop", State.STOPPED, State.STOPPED, None),
        ("start", State.STOPPED, State.PENDING, "boot"),
        ("start", State.PENDING, State.PENDING, None),
        ("start", State.RUNNING, State.RUNNING, None),
        ("terminate", State.PENDING, State.SHUTTING_DOWN, "terminate"),
        ("terminate", State.RUNNING, State.SHUTTING_DOWN, "terminate"),
        ("terminate", State.STOPPING, State.SHUTTING_DOWN, "terminate"),
        ("terminate", State.STOPPED, State.SHUTTING_DOWN, "terminate"),
        ("terminate", State.SHUTTING_DOWN, State.SHUTTING_DOWN, None),
        ("terminate", State.TERMINATED, State.TERMINATED, None),
    ],
)
def test_a_call_moves_the_state_and_starts_its_job_in_one(
    services: Services, principal: Principal, verb: str, before: State, after: State, job: str | None
) -> None:
    instance_id = instance_in(services, principal, before)
    assert ask(services, principal, verb, instance_id) == [(before.value, after.value)]
    assert state_of(services, instance_id) is after
    assert [key for key, _ in queued(services)] == ([f"{instance_id}:{job}"] if job else [])


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("stop", State.PENDING),
        ("stop", State.SHUTTING_DOWN),
        ("stop", State.TERMINATED),
        ("start", State.STOPPING),
        ("start", State.SHUTTING_DOWN),
        ("start", State.TERMINATED),
        ("reboot", State.STOPPED),
        ("reboot", State.STOPPING),
    ],
)
def test_a_call_that_the_state_forbids_is_refused(
    services: Services, principal: Principal, verb: str, state: State
) -> None:
    instance_id = instance_in(services, principal, state)
    with pytest.raises(Refusal) as caught:
        ask(services, principal, verb, instance_id)
    assert (caught.value.code, instance_id in caught.value.message) == ("IncorrectInstanceState", True)
    assert (state_of(services, instance_id), queued(services)) == (state, [])


@pytest.mark.parametrize("verb", REQUESTS)
def test_one_bad_instance_fails_the_whole_call(
    services: Services, principal: Principal, other_principal: Principal, verb: str
) -> None:
    mine = instance_in(services, principal, State.STOPPED if verb == "start" else State.RUNNING)
    before = state_of(services, mine)
    theirs = instance_in(services, other_principal, State.RUNNING)
    for code, other in (
        ("InvalidInstanceID.NotFound", "i-" + "0" * 17),
        ("InvalidInstanceID.NotFound", theirs),
        ("InvalidInstanceID.Malformed", "i-x"),
    ):
        with pytest.raises(Refusal) as caught:
            ask(services, principal, verb, mine, other)
        assert caught.value.code == code
    with pytest.raises(Refusal) as caught:
        ask(services, principal, verb)
    assert caught.value.code == "MissingParameter"
    assert (state_of(services, mine), queued(services)) == (before, [])


@pytest.mark.parametrize("verb", REQUESTS)
def test_a_dry_run_moves_nothing(services: Services, principal: Principal, verb: str) -> None:
    instance_id = instance_in(services, principal, State.STOPPED if verb == "start" else State.RUNNING)
    before = state_of(services, instance_id)
    with pytest.raises(Refusal) as caught:
        ask(services, principal, verb, instance_id, dry_run=True)
    assert caught.value.code == "DryRunOperation"
    assert (state_of(services, instance_id), queued(services)) == (before, [])


def test_a_stop_says_who_asked_and_a_start_forgets_it(services: Services, principal: Principal) -> None:
    instance_id = instance_in(services, principal, State.RUNNING)
    ask(services, principal, "stop", instance_id)
    with services.database.write() as c:
        stopping = instances.get_instance(c, instance_id)
        instances.set_state(c, instance_id, Event.STOPPED, now=services.now())
    assert stopping is not None
    assert stopping.state_reason_code == "Client.UserInitiatedShutdown"
    assert stopping.transition_reason.startswith("User initiated (20")
    ask(services, principal, "start", instance_id)
    with services.database.read() as c:
        starting = instances.get_instance(c, instance_id)
    assert starting is not None
    assert (starting.state_reason_code, starting.transition_reason) == (None, "")
    assert starting.launched_at >= stopping.launched_at


def test_a_forced_stop_overtakes_one_that_waits_for_the_guest(services: Services, principal: Principal) -> None:
    instance_id = instance_in(services, principal, State.RUNNING)
    ask(services, principal, "stop", instance_id)
    ask(services, principal, "stop", instance_id, force=True)
    assert queued(services) == [
        (f"{instance_id}:stop", {"instance_id": instance_id, "force": False}),
        (f"{instance_id}:stop-force", {"instance_id": instance_id, "force": True}),
    ]


def test_an_instance_store_root_can_neither_be_stopped_nor_started(services: Services, principal: Principal) -> None:
    instance_id = run_one(services, principal, make_instance_store_image(services, principal))
    with services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=services.now())
    for verb, past in (("stop", "stopped"), ("start", "started")):
        with pytest.raises(Refusal, match=f"does not have an 'ebs' root device type and cannot be {past}") as caught:
            ask(services, principal, verb, instance_id)
        assert caught.value.code == "UnsupportedOperation"
    assert ask(services, principal, "terminate", instance_id) == [("running", "shutting-down")]


def test_hibernation_is_refused(services: Services, principal: Principal) -> None:
    instance_id = instance_in(services, principal, State.RUNNING)
    with pytest.raises(Refusal) as caught:
        ask(services, principal, "stop", instance_id, hibernate=True)
    assert caught.value.code == "UnsupportedHibernationConfiguration"
    assert caught.value.message.endswith(f"was not configured at launch for hibernation: {instance_id}")
    assert state_of(services, instance_id) is State.RUNNING


def test_a_start_is_refused_where_the_host_is_full(tmp_path: Path) -> None:
    with open_services(tmp_path / "data", instances_max=1) as services:
        principal = make_account(services)[1]
        stopped = instance_in(services, principal, State.STOPPED)
        instance_in(services, principal, State.RUNNING)
        with pytest.raises(Refusal) as caught:
            ask(services, principal, "start", stopped)
        assert caught.value.code == "InsufficientInstanceCapacity"


def test_a_start_is_refused_where_the_memory_is_taken(
    services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (instance_in(services, principal, State.STOPPED) for _ in range(2))
    monkeypatch.setattr(host, "memory_bytes", lambda: HOST_RESERVE_BYTES + (300 << 20))
    with pytest.raises(Refusal, match="512 MiB asked for, 300 MiB free") as caught:
        ask(services, principal, "start", first, second)
    assert caught.value.code == "InsufficientInstanceCapacity"
    assert ask(services, principal, "start", first) == [("stopped", "pending")]
    assert ask(services, principal, "start", first) == [("pending", "pending")]
    with pytest.raises(Refusal, match="256 MiB asked for, 44 MiB free"):
        ask(services, principal, "start", second)


def test_a_reboot_is_a_job_and_passes_over_what_has_ended(services: Services, principal: Principal) -> None:
    running = instance_in(services, principal, State.RUNNING)
    ended = instance_in(services, principal, State.TERMINATED)
    ask(services, principal, "reboot", running, ended)
    assert queued(services) == [(f"{running}:reboot", {"instance_id": running})]


def test_an_instance_named_twice_moves_once(services: Services, principal: Principal) -> None:
    instance_id = instance_in(services, principal, State.RUNNING)
    assert ask(services, principal, "terminate", instance_id, instance_id) == [("running", "shutting-down")]
