"""The four jobs of a machine without a guest: what they do when there is nothing to boot, or nothing left to end."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amiable.database import instances, jobs, network, volumes
from amiable.jobs import boot, reboot, stop, terminate
from amiable.jobs.context import JobContext
from amiable.model.instance import Instance, Reservation, State
from amiable.model.principal import Principal
from amiable.model.volume import Volume, VolumeState
from amiable.rules.lifecycle import Event
from amiable.services import Services
from tests.rules.test_imds import INSTANCE


def launch(services: Services, principal: Principal, *, keeps: bool = False, **changes: Any) -> Instance:
    """A pending instance with one volume that began empty."""
    now = services.now()
    with services.database.write() as c:
        network.ensure_default_network(
            c, principal.account_id, principal.region, zones=["us-east-1a"], mint=services.mint, now=now
        )
        subnet = network.list_subnets(c, principal.account_id, principal.region)[0]
        reservation = services.mint("r")
        instances.insert_reservation(c, Reservation(reservation, principal.account_id, principal.region, now))
        pending = replace(
            INSTANCE,
            state=State.PENDING,
            boot_count=0,
            host=services.host,
            id=services.mint("i"),
            account_id=principal.account_id,
            reservation_id=reservation,
            subnet_id=subnet.id,
            vpc_id=subnet.vpc_id,
        )
        instance = replace(pending, **changes)
        instances.insert_instance(c, instance)
        volumes.insert_volume(
            c,
            Volume(
                id=services.mint("vol"),
                account_id=principal.account_id,
                region=principal.region,
                zone="us-east-1a",
                state=VolumeState.IN_USE,
                snapshot_id=None,
                size_gib=1,
                size_bytes=1 << 30,
                volume_type="gp3",
                is_instance_store=False,
                instance_id=instance.id,
                device_name="/dev/sda1",
                delete_on_termination=not keeps,
                created_at=now,
                attached_at=now,
            ),
        )
    return instance


def context(services: Services, kind: str, instance: Instance) -> JobContext:
    """A picked job."""
    with services.database.write() as c:
        jobs.enqueue(c, jobs.NewJob(kind, f"{instance.id}:{kind}", {"instance_id": instance.id}), now=services.now())
        job = jobs.pick(c, [kind], jobs.Lease("test:1", services.host, "t"), now=services.now())
    assert job is not None
    return JobContext(services, job)


def move(services: Services, instance: Instance, event: Event) -> None:
    with services.database.write() as c:
        instances.set_state(c, instance.id, event, now=services.now())


def get(services: Services, instance: Instance) -> Instance:
    with services.database.read() as c:
        found = instances.get_instance(c, instance.id)
    assert found is not None
    return found


def held(services: Services, instance: Instance) -> list[Volume]:
    with services.database.read() as c:
        return volumes.volumes_of(c, instance.id)


def without_qemu(services: Services) -> Services:
    return replace(services, settings=replace(services.settings, qemu="qemu-nowhere"))


def test_a_first_boot_that_cannot_be_made_terminates_and_leaves_nothing(
    services: Services, principal: Principal
) -> None:
    instance = launch(services, principal)
    boot.boot(context(without_qemu(services), "boot", instance))
    found = get(services, instance)
    assert found.state is State.TERMINATED and found.terminated_at is not None
    assert found.state_reason_code == "Server.InternalError"
    assert found.state_reason_message is not None and "qemu-nowhere is not installed" in found.state_reason_message
    assert held(services, instance) == []
    assert list((services.data / "instances").iterdir()) == []


def test_a_later_boot_that_cannot_be_made_leaves_the_instance_stopped_with_its_volumes(
    services: Services, principal: Principal
) -> None:
    instance = launch(services, principal, boot_count=1)
    boot.boot(context(without_qemu(services), "boot", instance))
    assert get(services, instance).state is State.STOPPED
    assert len(held(services, instance)) == 1


@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED, State.TERMINATED, State.SHUTTING_DOWN])
def test_a_boot_that_is_late_starts_nothing(services: Services, principal: Principal, state: State) -> None:
    instance = launch(services, principal, state=state)
    boot.boot(context(services, "boot", instance))
    assert get(services, instance).state is state
    assert list((services.data / "instances").iterdir()) == []


def test_jobs_of_a_machine_that_never_was_end_in_the_right_state(services: Services, principal: Principal) -> None:
    instance = launch(services, principal, state=State.STOPPING)
    stop.stop(context(services, "stop", instance))
    assert get(services, instance).state is State.STOPPED
    reboot.reboot(context(services, "reboot", instance))
    assert get(services, instance).state is State.STOPPED
    move(services, instance, Event.TERMINATE_ASKED)
    terminate.terminate(context(services, "terminate", instance))
    assert get(services, instance).state is State.TERMINATED
    assert held(services, instance) == []


def test_a_volume_that_outlives_its_instance_keeps_its_bytes_out_of_the_guests_reach(
    services: Services, principal: Principal
) -> None:
    instance = launch(services, principal, state=State.STOPPED, keeps=True)
    (volume,) = held(services, instance)
    folder = services.data / "instances" / instance.id
    folder.mkdir()
    (folder / f"{volume.id}.qcow2").write_bytes(b"bytes")
    move(services, instance, Event.TERMINATE_ASKED)
    terminate.terminate(context(services, "terminate", instance))
    kept = Path(services.data / "volumes" / f"{volume.id}.qcow2")
    assert kept.read_bytes() == b"bytes" and not folder.exists()
    with services.database.read() as c:
        found = volumes.get_volume(c, volume.id)
    assert found is not None and found.state is VolumeState.AVAILABLE and found.instance_id is None


def test_a_stale_token_writes_nothing(services: Services, principal: Principal) -> None:
    instance = launch(services, principal, state=State.STOPPING)
    stale = context(services, "stop", instance)
    stale.job = replace(stale.job, token="another")
    with pytest.raises(jobs.Lost):
        stop.stop(stale)
    assert get(services, instance).state is State.STOPPING
