"""A reboot resets a machine once, when its guest is off or deaf, and never because the server ends."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from amiable.database import instances, jobs
from amiable.jobs import reboot, stop
from amiable.jobs.context import Interrupted, JobContext, Later
from amiable.model.instance import Instance, State
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.vm import tpm
from amiable.vm.launcher import boot_id
from tests.server.fake_machine import running_instance, serving
from tests.support.clock import Clock
from tests.support.work import run_on


@dataclass
class Machine:
    """A monitor over a status; what it was told."""

    status: str
    is_obedient: bool = True
    told: list[str] = field(default_factory=list)

    def talk(self, client: socket.socket) -> None:
        client.sendall(b'{"QMP": {}}\n')
        with client.makefile("rb") as lines:
            for line in lines:
                client.sendall(json.dumps({"return": self.obey(json.loads(line)["execute"])}).encode() + b"\n")

    def obey(self, command: str) -> dict[str, str]:
        if command == "query-status":
            return {"status": self.status}
        if command != "qmp_capabilities":
            self.told.append(command)
        if command == "system_powerdown" and self.is_obedient:
            self.status = "shutdown"
        if command == "system_reset" and self.status == "shutdown":
            self.status = "paused"
        if command == "cont":
            self.status = "running"
        return {}


@dataclass(frozen=True)
class Place:
    """A running instance whose guest was heard of, and its machine."""

    services: Services
    instance_id: str
    machine: Machine
    clock: Clock

    def reboot(self) -> None:
        """The job, to its end."""
        run_on(reboot.reboot, self.job(), self.clock)

    def job(self) -> JobContext:
        """The reboot job, picked (again)."""
        now = self.services.now()
        with self.services.database.write() as c:
            data = {"instance_id": self.instance_id}
            jobs.enqueue(c, jobs.NewJob("reboot", f"{self.instance_id}:reboot", data), now=now)
            jobs.release_all(c, host="o", now=now)
            job = jobs.pick(c, ["reboot"], jobs.Lease("o:1", "o", os.urandom(8).hex()), now=now)
        assert job is not None
        return JobContext(self.services, job)

    def instance(self) -> Instance:
        with self.services.database.read() as c:
            found = instances.get_instance(c, self.instance_id)
        assert found is not None
        return found


@pytest.fixture
def place(services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(stop, "MONITOR_SECONDS_MAX", 60.0)  # it is the test's own thread that answers
    instance_id = running_instance(services, principal)
    with services.database.write() as c:
        instances.set_reached_metadata(c, instance_id, services.now())
    machine = Machine("running")
    with serving(services.data / "instances" / instance_id, "qmp.sock", socket.SOCK_STREAM, machine.talk):
        clock = Clock(services.now())
        yield Place(replace(services, clock=clock), instance_id, machine, clock)


def test_a_guest_that_powers_off_is_reset_and_awaited_anew(place: Place) -> None:
    before = place.instance()
    place.reboot()
    assert place.machine.told == ["system_powerdown", "system_reset", "cont"]
    after = place.instance()
    assert after.reached_metadata_at is None and after.rebooted_at is not None
    assert (after.state, after.launched_at) == (before.state, before.launched_at)


def test_a_deaf_guest_is_asked_again_and_reset_after_the_bound(place: Place) -> None:
    place.machine.is_obedient = False
    began = place.clock()
    place.reboot()
    assert place.machine.told == [*["system_powerdown"] * 5, "system_reset"], "at 0, 15, 30, 45 and 60 seconds"
    assert (place.clock() - began).total_seconds() == reboot.POWER_OFF_SECONDS_MAX


def test_a_clock_that_is_set_back_gives_a_deaf_guest_its_time_anew_and_not_all_that_is_between(place: Place) -> None:
    place.machine.is_obedient = False
    context = place.job()
    with pytest.raises(Later):
        reboot.reboot(context)
    place.clock.pass_(days=-1)
    began = place.clock()
    run_on(reboot.reboot, context, place.clock)
    assert (place.clock() - began).total_seconds() == reboot.POWER_OFF_SECONDS_MAX


def test_the_end_of_the_server_resets_no_guest_and_the_next_server_goes_on(place: Place) -> None:
    place.machine.is_obedient = False
    context = place.job()
    context.stop.set()
    with pytest.raises(Interrupted):
        reboot.reboot(context)
    assert "system_reset" not in place.machine.told
    assert place.instance().reached_metadata_at is not None

    place.machine.is_obedient = True
    place.reboot()
    assert place.machine.told[-2:] == ["system_reset", "cont"]
    assert place.instance().reached_metadata_at is None


@pytest.mark.parametrize(("status", "told"), [("running", []), ("shutdown", ["system_reset", "cont"])])
def test_a_server_that_died_around_the_reset_is_followed_by_no_second_one(
    place: Place, status: str, told: list[str]
) -> None:
    first = place.job()
    with place.services.database.write() as c:
        first.save(c, {**first.data, "was_off": True})
    place.machine.status = status
    with contextlib.suppress(Interrupted):
        reboot.reboot(place.job())
    assert place.machine.told == told


def test_a_machine_whose_tpm_has_ended_is_started_anew_and_not_reset(place: Place) -> None:
    """A reset would end its QEMU."""
    record = {"pid": 1, "start_ticks": 0, "boot_id": boot_id()}
    (place.services.data / "instances" / place.instance_id / tpm.RECORD).write_text(json.dumps(record))
    place.reboot()
    assert place.machine.told == ["system_powerdown"]
    row = place.instance()
    assert row.state is State.PENDING and row.reached_metadata_at is None and row.rebooted_at is not None
    assert "TPM" in str(row.state_reason_message)
    with place.services.database.read() as c:
        assert jobs.is_live(c, f"{place.instance_id}:boot")
