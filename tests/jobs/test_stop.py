"""A stop ends the machine that it was asked to end, and no other."""

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import event

from amiable.database import instances, jobs
from amiable.jobs import stop as stop_module
from amiable.jobs.context import Interrupted, JobContext, Later
from amiable.jobs.stop import power_off, stop
from amiable.model.instance import State
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.vm.directory import DirectoryBusy, locked, open_directory
from amiable.vm.launcher import boot_id, start_ticks
from amiable.vm.process import QEMU_RECORD
from tests.api.ec2.launching import make_image, run_one
from tests.server.fake_machine import serving

WAIT_SECONDS_MAX = 60


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that stands for a machine; ended with the test."""
    started = subprocess.Popen(["sleep", "600"])
    try:
        yield started
    finally:
        started.kill()
        started.wait(WAIT_SECONDS_MAX)


def stopping(services: Services, principal: Principal, pid: int, **data: bool) -> JobContext:
    """The picked stop job of an instance whose record names ``pid``."""
    instance_id = run_one(services, principal, make_image(services, principal))
    folder = services.data / "instances" / instance_id
    folder.mkdir(mode=0o700)
    record = {"pid": pid, "start_ticks": start_ticks(pid), "boot_id": boot_id()}
    (folder / QEMU_RECORD).write_text(json.dumps(record))
    now = services.now()
    with services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=now)
        instances.set_state(c, instance_id, Event.STOP_ASKED, now=now)
        jobs.enqueue(c, jobs.NewJob("stop", f"{instance_id}:stop", {"instance_id": instance_id, **data}), now=now)
        job = jobs.pick(c, ["stop"], jobs.Lease("o", services.host, "t"), now=now)
    assert job is not None
    return JobContext(services, job)


def stop_with_patience(context: JobContext) -> None:
    """The job, again as long as the instance's lock is another's."""
    while True:
        with contextlib.suppress(DirectoryBusy):
            stop(context)
            return


def state_of(context: JobContext) -> State:
    with context.services.database.read() as c:
        found = instances.get_instance(c, context.data["instance_id"])
    assert found is not None
    return found.state


def test_the_end_of_the_server_pulls_no_plug(
    services: Services, principal: Principal, process: "subprocess.Popen[bytes]"
) -> None:
    context = stopping(services, principal, process.pid)
    context.stop.set()
    with pytest.raises(Interrupted):
        stop(context)
    assert process.poll() is None
    assert state_of(context) is State.STOPPING


def test_a_stop_that_was_overtaken_leaves_the_next_boot_alone(
    services: Services, principal: Principal, process: "subprocess.Popen[bytes]"
) -> None:
    context = stopping(services, principal, process.pid, force=True)
    instance_id = context.data["instance_id"]
    with open_directory(services.data, instance_id) as directory, locked(directory):
        has_looked = threading.Event()
        event.listen(services.database.engine, "rollback", lambda connection: has_looked.set())  # a read has ended
        thread = threading.Thread(target=stop_with_patience, args=(context,))
        thread.start()
        assert has_looked.wait(WAIT_SECONDS_MAX)
        with services.database.write() as c:
            instances.set_state(c, instance_id, Event.STOPPED, now=services.now())
            instances.set_state(c, instance_id, Event.START_ASKED, now=services.now())
    thread.join(WAIT_SECONDS_MAX)
    assert not thread.is_alive()
    assert process.poll() is None
    assert state_of(context) is State.PENDING


def test_a_forced_stop_ends_a_machine_that_does_not_listen(
    services: Services, principal: Principal, process: "subprocess.Popen[bytes]"
) -> None:
    context = stopping(services, principal, process.pid, force=True)
    stop(context)
    assert process.poll() is not None
    assert state_of(context) is State.STOPPED


def test_a_monitor_that_answers_at_the_second_time_is_no_reason_to_pull_the_plug(
    services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_module, "MONITOR_SECONDS_MAX", float(WAIT_SECONDS_MAX))
    context = stopping(services, principal, os.getpid())
    folder = services.data / "instances" / context.data["instance_id"]
    told: list[str] = []

    def talk(client: socket.socket) -> None:
        if not told:
            told.append("hung up")
            return
        client.sendall(b'{"QMP": {}}\n')
        with client.makefile("rb") as lines:
            for line in lines:
                told.append(json.loads(line)["execute"])
                status = "shutdown" if "system_powerdown" in told else "running"
                client.sendall(json.dumps({"return": {"status": status}}).encode() + b"\n")

    with serving(folder, "qmp.sock", socket.SOCK_STREAM, talk), open_directory(services.data, folder.name) as directory:
        for _ in range(2):
            with pytest.raises(Later):
                power_off(context, directory, WAIT_SECONDS_MAX)
        assert power_off(context, directory, WAIT_SECONDS_MAX)
    assert told[0] == "hung up" and told.count("system_powerdown") == 1
