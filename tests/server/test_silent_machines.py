"""Machines that never answer, more of them than there are threads, beside one that is launched."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from amiable.database import instances, schema, volumes
from amiable.database import jobs as queue
from amiable.jobs import volume_machine
from amiable.model.instance import State
from amiable.model.principal import Principal
from amiable.server import slow_jobs
from amiable.server import worker as worker_module
from amiable.server.worker import Workers
from amiable.services import Services
from amiable.vm import machine
from amiable.vm.directory import Directory
from amiable.vm.process import Process, identity_of
from tests.api.ec2.launching import make_image, run_one
from tests.server.fake_host import Host
from tests.server.fake_machine import running_instance, serving
from tests.support.services import make_account, open_services

SILENT_COUNT = 40
GREETERS = 4
"""So many of them say their first words, and nothing after those."""
SECONDS_MAX = 120.0
LOOK_SECONDS = 0.05


@dataclass
class Silent:
    """The machines that say nothing until ``may_speak``; then their monitors end."""

    services: Services
    ids: list[str]
    may_speak: threading.Event

    def talk(self, client: socket.socket, *, greets: bool) -> None:
        if greets:
            client.sendall(b'{"QMP": {}}\n{"return": {}}\n')
        assert self.may_speak.wait(SECONDS_MAX)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for number, instance_id in enumerate(self.ids):
                folder, talk = (
                    self.services.data / "instances" / instance_id,
                    partial(self.talk, greets=number < GREETERS),
                )
                stack.enter_context(serving(folder, "qmp.sock", socket.SOCK_STREAM, talk))
            stack.callback(self.may_speak.set)
            yield

    def beside(self, host: Host, patch: pytest.MonkeyPatch) -> None:
        """These machines are found and asked as ever; all others are the host's."""
        open_monitor = machine.open_monitor
        host.stand_in(patch)

        def found(directory: Directory) -> Process | None:
            return identity_of(os.getpid()) if directory.path.name in self.ids else host.find_machine(directory)

        def opened(directory: Directory, qemu: Any, name: str, **limits: float) -> Any:
            ask = open_monitor if directory.path.name in self.ids else host.open_monitor
            return ask(directory, qemu, name, **limits)

        patch.setattr(machine, "find_machine", found)
        patch.setattr(machine, "open_monitor", opened)


def ask_to_detach(services: Services, instance_id: str) -> str:
    """The key of the job that asks the machine to let its disk go."""
    with services.database.write() as c:
        (volume,) = volumes.volumes_of(c, instance_id)
        c.execute(update(schema.volume).where(schema.volume.c.id == volume.id).values(attachment_state="detaching"))
        job = queue.NewJob("detach-volume", f"{volume.id}:detach", {"volume_id": volume.id})
        assert queue.enqueue(c, job, now=services.now())
    return job.key


def state_of(services: Services, instance_id: str) -> State:
    with services.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None
    return found.state


def rows(services: Services, keys: list[str]) -> set[tuple[str, int]]:
    job = schema.job
    with services.database.read() as c:
        found = c.execute(select(job.c.state, job.c.tries).where(job.c.key.in_(keys))).all()
    return {(row.state, row.tries) for row in found}


def slow_threads() -> int:
    """How many threads there are for the jobs of slow machines."""
    return len([thread for thread in threading.enumerate() if thread.name.startswith("slow-")])


def until(what: Any) -> None:
    ends = time.monotonic() + SECONDS_MAX
    while not what():
        assert time.monotonic() < ends
        time.sleep(LOOK_SECONDS)


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[tuple[Services, Principal]]:
    with open_services(tmp_path / "data", workers=4, instances_max=2 * SILENT_COUNT, network="guestfwd") as services:
        yield services, make_account(services, "owner", administrator=True)[1]


def test_a_launch_goes_through_beside_any_number_of_machines_that_never_answer(
    owned: tuple[Services, Principal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were asked before it, and each could hold a thread for hours; they are all asked to the end once they speak."""
    services, owner = owned
    monkeypatch.setattr(volume_machine, "MONITOR_SECONDS_MAX", 1e4)
    monkeypatch.setattr(worker_module, "SUBSTITUTES_MAX", 0)
    silent = Silent(services, [running_instance(services, owner) for _ in range(SILENT_COUNT)], threading.Event())
    host = Host(services)
    with silent.listening(), monkeypatch.context() as patch:
        silent.beside(host, patch)
        keys = [ask_to_detach(services, instance_id) for instance_id in silent.ids]
        with services.database.write() as c:
            c.execute(update(schema.job).where(schema.job.c.kind == "boot").values(state="done"))
        launched = run_one(services, owner, make_image(services, owner))
        workers = Workers(services)
        workers.start()
        try:
            until(lambda: state_of(services, launched) is State.RUNNING)
            until(lambda: slow_threads() == slow_jobs.THREADS_MAX)
            assert slow_jobs.THREADS_MAX < SILENT_COUNT
            assert rows(services, keys) == {("queued", 0), ("running", 1)}, "their waits are no tries"
            silent.may_speak.set()
            until(lambda: rows(services, keys) == {("done", 1)})
        finally:
            silent.may_speak.set()
            workers.stop()
    assert not host.broken
