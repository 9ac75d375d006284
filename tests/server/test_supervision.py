"""Supervision without a guest: what recorded events, a full disk and a hostile directory make of an instance's row."""

import fcntl
import json
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from amiable.api.amiable import ssh_host_keys
from amiable.api.ec2.instance_status import describe_instance_status
from amiable.database import instances, jobs, metering, product_codes, schema
from amiable.model.instance import Instance, Reason, State
from amiable.model.principal import Principal
from amiable.model.product import ProductCode
from amiable.rules.lifecycle import DISK_FULL, Event
from amiable.server import disk_space, supervise
from amiable.server.boot_watch import BOOT_FAILURE
from amiable.server.supervise import Supervisor
from amiable.services import Services
from amiable.vm import tpm
from amiable.vm.console import LOG_BYTES_MAX
from amiable.vm.host_keys import BEGIN, END
from amiable.vm.process import QEMU_RECORD, Process, identity_of
from amiable.wire.generated import ec2
from tests.server.fake_machine import running_instance, serving
from tests.support.services import make_account, open_services
from tests.support.steady import SimulatedHost

WAIT_SECONDS_MAX = 30
NO_SPACE = {
    "device": "",
    "node-name": "disk0",
    "reason": "No space left on device",
    "operation": "write",
    "action": "stop",
}
Usage = namedtuple("Usage", "total used free")


@dataclass
class Monitor:
    """QEMU's second monitor: a status, what it was told, and a way to send events."""

    status: str = "running"
    told: list[str] = field(default_factory=list)
    clients: list[socket.socket] = field(default_factory=list)
    answer: str | None = None  # in place of one that QEMU gives

    def talk(self, client: socket.socket) -> None:
        client.sendall(b'{"QMP": {}}\n')
        self.clients.append(client)
        with client.makefile("rb") as lines:
            for line in lines:
                command = json.loads(line)["execute"]
                self.told.append(command)
                if command == "cont":
                    self.status = "running"
                answer = self.answer or json.dumps({"status": self.status})
                client.sendall(f'{{"return": {answer}}}\n'.encode())

    def send(self, event: str, **data: object) -> None:
        self.clients[-1].sendall(json.dumps({"event": event, "data": data}).encode() + b"\n")


@dataclass(frozen=True)
class Place:
    """A supervisor that looks when it is told to, and one running instance in no namespace."""

    services: Services
    supervisor: Supervisor
    instance_id: str
    monitor: Monitor

    def row(self) -> Instance:
        with self.services.database.read() as c:
            found = instances.get_instance(c, self.instance_id)
        assert found is not None
        return found

    def look_until(self, what: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT_SECONDS_MAX
        while not what():
            assert time.monotonic() < until
            self.supervisor.look()
            self.supervisor._wait(0.02)


@pytest.fixture
def place(services: Services, principal: Principal) -> Iterator[Place]:
    instance_id = running_instance(services, principal, network="guestfwd", boot=1)
    folder = services.data / "instances" / instance_id
    (folder / "console.log").write_bytes(b"")
    (folder / "qemu.log").write_bytes(b"")
    with services.database.write() as c:
        instances.set_reached_metadata(c, instance_id, services.now())
    monitor = Monitor()
    supervisor = Supervisor(services)
    with serving(folder, "qmp2.sock", socket.SOCK_STREAM, monitor.talk):
        here = Place(services, supervisor, instance_id, monitor)
        here.look_until(lambda: instance_id in supervisor._watches)
        try:
            yield here
        finally:
            supervisor.stop()


def test_a_guest_that_resets_itself_is_awaited_anew_and_a_reset_of_ours_is_the_jobs_affair(place: Place) -> None:
    place.monitor.send("RESET", guest=False, reason="host-qmp-system-reset")
    place.monitor.send("RESUME")
    place.supervisor._wait(1.0)
    assert place.row().reached_metadata_at is not None
    place.monitor.send("RESET", guest=True, reason="guest-reset")
    place.look_until(lambda: place.row().rebooted_at is not None)
    assert place.row().reached_metadata_at is None and place.row().state is State.RUNNING


def test_a_power_off_that_a_full_disk_did_not_take_is_written_once_there_is_room(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_database: object) -> object:
        raise OperationalError("UPDATE", {}, sqlite3.OperationalError("database or disk is full"))

    place.monitor.status = "shutdown"
    with monkeypatch.context() as patch:
        patch.setattr(type(place.services.database), "write", full)
        place.monitor.send("SHUTDOWN", guest=True, reason="guest-shutdown")
        place.supervisor._wait(WAIT_SECONDS_MAX)
    assert place.row().state is State.RUNNING
    place.look_until(lambda: place.row().state is State.STOPPING)


def test_a_reset_with_something_of_the_guests_own_in_the_consoles_place_holds_up_nobody(place: Place) -> None:
    log = place.services.data / "instances" / place.instance_id / "console.log"
    log.unlink()
    log.mkdir()
    place.monitor.send("RESET", guest=True, reason="guest-reset")
    place.supervisor._wait(WAIT_SECONDS_MAX)
    log.rmdir()
    log.write_bytes(b"")
    place.look_until(lambda: place.instance_id in place.supervisor._watches)


@pytest.mark.parametrize("is_found_later", [False, True])
def test_a_full_disk_pauses_with_a_reason_and_space_resumes_without_one(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_found_later: bool
) -> None:
    free = [0]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, free[0]))
    place.monitor.status = "io-error"
    if is_found_later:  # the server was away when it happened
        place.supervisor._drop(place.instance_id)
    else:
        place.monitor.send("BLOCK_IO_ERROR", nospace=True, **NO_SPACE)
        place.monitor.send("STOP")
    place.look_until(lambda: place.row().state_reason_code == DISK_FULL)
    assert "cont" not in place.monitor.told and place.row().state is State.RUNNING
    free[0] = disk_space.SPACE_BYTES_MIN
    place.look_until(lambda: place.row().state_reason_code is None)
    assert place.monitor.told.count("cont") == 1 and place.monitor.status == "running"


def end_tpm(place: Place) -> None:
    """The instance's swtpm has ended by itself."""
    with subprocess.Popen(["sleep", "600"]) as swtpm:
        record = identity_of(swtpm.pid)
        swtpm.kill()
    about = {"pid": record.pid, "start_ticks": record.start_ticks, "boot_id": record.boot_id}
    (place.services.data / "instances" / place.instance_id / tpm.RECORD).write_text(json.dumps(about))


def test_a_tpm_that_ends_alone_is_named_as_long_as_it_is_so_and_impairs_the_system(
    place: Place, principal: Principal
) -> None:
    def system() -> tuple[str | None, str | None]:
        request = ec2.DescribeInstanceStatusRequest(instance_ids=[place.instance_id])
        (found,) = describe_instance_status(place.services, principal, request).instance_statuses or []
        assert found.system_status is not None and found.instance_status is not None
        return found.system_status.status, found.instance_status.status

    place.supervisor.look()
    assert place.row().state_reason_code is None and system() == ("ok", "ok")
    end_tpm(place)
    place.supervisor.look()
    row = place.row()
    assert row.state is State.RUNNING and row.state_reason_code == "Server.InternalError"
    assert "Its TPM (swtpm) ended by itself" in str(row.state_reason_message)
    assert system() == ("impaired", "ok") and row.impaired_at is not None
    with place.services.database.write() as c:  # another reason came, and is over
        instances.set_reason(c, place.instance_id, Reason("Other", "another"))
    place.supervisor.look()
    assert place.row().state_reason_code == "Other"
    with place.services.database.write() as c:
        instances.set_reason(c, place.instance_id, None)
    place.supervisor.look()
    assert "TPM" in str(place.row().state_reason_message)


@pytest.mark.parametrize(
    ("says", "has_tpm", "state", "job"),
    [
        ("qemu-system-x86_64: tpm-emulator: Could not stop TPM: Input/output error\n", False, State.PENDING, "boot"),
        ("qemu-system-x86_64: tpm-emulator: Could not stop TPM: Input/output error\n", True, State.STOPPING, "stop"),
        ("qemu-system-x86_64: something else\n", False, State.STOPPING, "stop"),
    ],
    ids=["reset", "with-tpm", "crash"],
)
def test_a_machine_that_could_not_be_reset_without_its_tpm_is_started_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch, says: str, has_tpm: bool, state: State, job: str
) -> None:
    (place.services.data / "instances" / place.instance_id / "qemu.log").write_text(says)
    if not has_tpm:
        end_tpm(place)
    monkeypatch.setattr(Process, "is_alive", lambda _: False)
    place.supervisor.look()
    row = place.row()
    assert row.state is state
    with place.services.database.read() as c:
        assert jobs.is_live(c, f"{place.instance_id}:{job}")


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("amiable-appliance: 9.1 crashed\n", "Client.InternalError", "kernel crashed. Its console ends with: Oops"),
        ("amiable-appliance: failed: xl create\n", "Server.InternalError", "appliance failed. Its log ends with:"),
    ],
)
def test_a_crash_under_xen_is_told_from_a_power_off_and_from_a_failure_of_the_appliance(
    place: Place, log: str, code: str, words: str
) -> None:
    folder = place.services.data / "instances" / place.instance_id
    (folder / "console.log").write_text("Oops\n")
    (folder / "appliance.log").write_text(log)
    place.look_until(lambda: bool(place.monitor.told))
    place.monitor.status = "guest-panicked"
    place.monitor.send("GUEST_PANICKED", action="pause")
    place.look_until(lambda: place.row().state is not State.RUNNING)
    row = place.row()
    assert row.state_reason_code == code and words in str(row.state_reason_message)


def test_a_power_off_after_which_a_job_has_started_the_guest_again_stops_nothing(place: Place) -> None:
    place.look_until(lambda: bool(place.monitor.told))
    asked = len(place.monitor.told)
    place.monitor.send("SHUTDOWN", guest=True)  # read when its job has ended
    place.look_until(lambda: len(place.monitor.told) > asked)
    assert place.row().state is State.RUNNING
    place.monitor.status = "shutdown"
    place.monitor.send("SHUTDOWN", guest=True)
    place.look_until(lambda: place.row().state is not State.RUNNING)


@pytest.mark.parametrize("verb", ["stop", "terminate", "reboot"])
def test_a_job_that_waits_for_the_guest_to_be_off_is_looked_at_as_soon_as_it_is(place: Place, verb: str) -> None:
    key, now = f"{place.instance_id}:{verb}", place.services.now()
    pick = partial(jobs.pick, kinds=[verb], lease=jobs.Lease("o", place.services.host, "t"))
    with place.services.database.write() as c:
        if verb != "reboot":
            asked = Event.STOP_ASKED if verb == "stop" else Event.TERMINATE_ASKED
            instances.set_state(c, place.instance_id, asked, now=now)
        jobs.enqueue(c, jobs.NewJob(verb, key, {}), now=now)
        job = pick(c, now=now)
        assert job is not None
        jobs.put_back(c, job, now=now, after=timedelta(hours=1))
        assert pick(c, now=place.services.now()) is None
    place.monitor.status = "shutdown"
    place.monitor.send("SHUTDOWN", guest=True, reason="guest-shutdown")

    def is_due() -> bool:
        with place.services.database.write() as c:
            return pick(c, now=place.services.now()) is not None

    place.look_until(is_due)


def test_a_crash_while_no_server_looked_is_seen_by_the_next_one(place: Place) -> None:
    place.supervisor._drop(place.instance_id)
    place.monitor.status = "guest-panicked"
    (place.services.data / "instances" / place.instance_id / "console.log").write_text("Oops\n")
    place.look_until(lambda: place.row().state is not State.RUNNING)
    assert place.row().state_reason_code == "Client.InternalError"


def test_an_error_that_the_guest_was_told_of_pauses_nothing(place: Place) -> None:
    place.monitor.send("BLOCK_IO_ERROR", nospace=False, **{**NO_SPACE, "action": "report"})
    place.supervisor._wait(1.0)
    place.supervisor.look()
    assert place.row().state_reason_code is None and "cont" not in place.monitor.told


def test_a_guest_that_makes_events_without_end_is_read_behind_and_not_written_of(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    error = {"event": "BLOCK_IO_ERROR", "data": {"nospace": False, **NO_SPACE, "action": "report"}}
    reset = {"event": "RESET", "data": {"guest": True, "reason": "guest-reset"}}
    flood = [error] * (2 * supervise.EVENTS_MAX) + [reset]
    place.monitor.clients[-1].sendall(b"".join(json.dumps(each).encode() + b"\n" for each in flood))
    watch = place.supervisor._watches[place.instance_id]
    rounds = 0
    while place.row().rebooted_at is None:
        place.supervisor._wait(WAIT_SECONDS_MAX)
        rounds += 1
    assert rounds == 3 and not watch.is_behind, "others have their turn in between"
    assert "BLOCK_IO_ERROR" not in caplog.text and "RESET" in caplog.text


@pytest.mark.parametrize(
    "said",
    [b"[]", b"{", b"[" * 100_000, b'{"event": "RESET", "data": []}', b'{"event": 1, "data": 7}', b"\xff\xfe"],
    ids=["list", "cut", "deep", "data", "number", "bytes"],
)
def test_a_monitor_that_a_guest_took_over_ends_its_own_watch_and_nothing_else(place: Place, said: bytes) -> None:
    place.monitor.clients[-1].sendall(said + b"\n")
    place.look_until(lambda: len(place.monitor.clients) == 2)
    assert place.row().state is State.RUNNING


@pytest.mark.parametrize("said", ["[]", '{"status": 7}', "null"])
def test_a_status_that_is_none_keeps_no_other_from_being_looked_at(place: Place, said: str) -> None:
    place.supervisor._drop(place.instance_id)
    place.monitor.answer = said
    place.supervisor.look()
    place.supervisor._wait(0.01)


def test_a_guest_that_is_heard_of_at_last_is_well_again(place: Place) -> None:
    with place.services.database.write() as c:
        instances.set_reason(c, place.instance_id, Reason(BOOT_FAILURE, "silent"))
    place.supervisor.look()
    assert place.row().state_reason_code is None


def test_host_keys_stay_known_whatever_is_printed_after_them(place: Place, principal: Principal) -> None:
    first, later = (f"SHA256:{letter * 43}" for letter in "ab")
    console = place.services.data / "instances" / place.instance_id / "console.log"
    for fingerprint in (first, later):
        with console.open("ab") as file:
            file.write(b"x" * LOG_BYTES_MAX + BEGIN + fingerprint.encode() + END + b"y" * LOG_BYTES_MAX)
        place.supervisor.look()
        assert console.stat().st_size < LOG_BYTES_MAX
        assert ssh_host_keys(place.services, principal, place.instance_id) == [first]


def test_what_a_guest_put_into_its_directory_keeps_no_other_from_being_looked_at(
    place: Place, principal: Principal, caplog: pytest.LogCaptureFixture
) -> None:
    other = running_instance(place.services, principal)
    (place.services.data / "instances" / other / QEMU_RECORD).unlink()
    console = place.services.data / "instances" / place.instance_id / "console.log"
    console.unlink()
    os.mkfifo(console)
    place.supervisor.look()
    with place.services.database.read() as c:
        found = instances.get_instance(c, other)
    assert found is not None and found.state is State.STOPPING
    assert f"{place.instance_id}: cannot be followed now" in caplog.text
    assert place.row().state is State.RUNNING


def runs_of(place: Place) -> list[tuple[int, bool]]:
    """Length and openness of each metered run."""
    now = place.services.now()
    with place.services.database.read() as c:
        found = metering.list_runs(c, codes=["A"], after=now - timedelta(days=1), before=now + timedelta(days=1))
    return [(run.duration_ms, run.is_open) for run in found]


def test_a_paid_guest_is_seen_at_each_sweep_and_what_nobody_saw_is_not_metered(place: Place) -> None:
    host = SimulatedHost()
    place.services.database.steady = host.steady
    with place.services.database.write() as c:
        product_codes.put_codes(c, place.instance_id, [ProductCode("A")])

    def sweep() -> None:
        place.supervisor._swept_at = -supervise.SWEEP_SECONDS
        place.supervisor.look()

    sweep()
    assert runs_of(place) == [(0, True)]
    host.pass_(7_200_000)  # no server, but the guest is found where it was
    place.supervisor.look()
    assert runs_of(place) == [(0, True)]
    sweep()
    assert runs_of(place) == [(7_200_000, True)]
    host.pass_(3_600_000)  # no server, and a power-off meanwhile
    place.supervisor._drop(place.instance_id)
    place.monitor.status = "shutdown"
    place.look_until(lambda: place.row().state is State.STOPPING)
    assert runs_of(place) == [(7_200_000, False)]


@pytest.mark.parametrize(
    ("policy", "recovery", "state", "job"),
    [
        ("start", "default", State.PENDING, "boot"),
        ("stop", "default", State.STOPPING, "stop"),
        ("start", "disabled", State.STOPPING, "stop"),
    ],
)
def test_what_ran_when_the_host_was_restarted_comes_back_or_is_stopped(
    tmp_path: Path, policy: str, recovery: str, state: State, job: str
) -> None:
    with open_services(tmp_path / "data", host_restart=policy) as services:
        owner = make_account(services, "owner")[1]
        instance_id = running_instance(services, owner, network="guestfwd", boot_id="an earlier boot")
        (services.data / "instances" / instance_id / "qemu.log").write_bytes(b"")
        with services.database.write() as c:
            instances.change(c, instance_id, auto_recovery=recovery)
            instances.set_reached_metadata(c, instance_id, services.now())
            c.execute(update(schema.job).values(state="done"))
        supervisor = Supervisor(services)
        supervisor.look()
        supervisor.stop()
        with services.database.read() as c:
            row = instances.get_instance(c, instance_id)
            asked = c.execute(select(schema.job.c.kind).where(schema.job.c.state == "queued")).scalars().all()
    assert row is not None and (row.state, asked) == (state, [job])
    assert "The host was restarted while the instance ran" in (row.state_reason_message or "")
    assert row.reached_metadata_at is None or state is not State.PENDING


def test_an_exporter_that_cannot_be_started_is_told_and_tried_again_after_a_pause(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    folder = place.services.data / "exporter"
    (folder / "exports.json").write_text("[]")
    with (folder / "lock").open("w") as lock, caplog.at_level(logging.WARNING):
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another exporter of this directory
        for _ in range(3):
            place.supervisor.look()
    told = [record.getMessage() for record in caplog.records if "exporter" in record.getMessage()]
    assert told[0] == "the block exporter ended; starting it again"
    assert told[1].startswith("no block exporter: The block exporter does not answer: it ended at its start.")
    assert len(told) == 2
