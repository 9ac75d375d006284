"""Where the host has no thread or no descriptor left, what asked for one waits or is told, and all goes on when there is one again."""

import json
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from amiable.blocks.export_map import encode_map
from amiable.blocks.unix_socket import bind
from amiable.database import jobs as queue
from amiable.database.jobs import Job
from amiable.jobs.context import JobContext
from amiable.server import worker as worker_module
from amiable.server.export_requests import Add
from amiable.server.exported_volume import Exported
from amiable.server.exporter import Exporter, serve_control
from amiable.server.exporter_log import Log
from amiable.server.imds import CONNECTIONS_MAX, MetadataService
from amiable.server.slow_jobs import SlowJobs
from amiable.server.threads import Threads
from amiable.server.worker import Workers
from amiable.services import Services

SECONDS_MAX = 60


@contextmanager
def no_thread(prefix: str) -> Iterator[list[str]]:
    """No thread whose name begins so can be started in the block; the names of those that were to."""
    refused: list[str] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(prefix):
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield refused


@contextmanager
def no_descriptor(times: int) -> Iterator[list[int]]:
    """So many connections cannot be taken in the block; each leaves an entry."""
    refused: list[int] = []
    accept = socket.socket.accept

    def refuse(listener: socket.socket) -> tuple[socket.socket, object]:
        if len(refused) < times:
            refused.append(listener.fileno())
            raise OSError(24, "Too many open files")
        return accept(listener)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "accept", refuse)
        yield refused


def wait_until(what: "list[str] | list[int]") -> None:
    until = time.monotonic() + SECONDS_MAX
    while not what:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory's folders."""
    for name in ("exporter", "exports", "packs"):
        (tmp_path / name).mkdir()
    return tmp_path


def greeting(path: Path, question: bytes = b"") -> bytes:
    """What is said first to who connects, and asks."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS_MAX)
        client.connect(str(path))
        if question:
            client.sendall(question)
        return client.recv(100)


def test_the_exporters_control_socket_is_served_again(data: Path) -> None:
    made, path = Exporter(data, Log(data / "exporter" / "log")), data / "exporter" / "c"
    listener = bind(path, mode=0o600)
    thread = threading.Thread(target=serve_control, args=(listener, made), name="serving")
    thread.start()
    ping = b'{"do": "ping"}\n'
    try:
        with no_descriptor(1) as refused:
            for _ in range(2):  # the first one was being waited for already
                assert json.loads(greeting(path, ping))["ok"]
            wait_until(refused)
        with no_thread("control") as unmade:
            assert greeting(path) == b""
        assert unmade == ["control"]
        assert json.loads(greeting(path, ping))["ok"]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(SECONDS_MAX)
    assert not thread.is_alive()
    made.close()


def test_a_volume_is_served_again(data: Path) -> None:
    (data / "exports" / "vol-1").write_bytes(encode_map(1 << 20, []))
    path = data / "vol-1.nbd"
    made = Exported(
        Add("vol-1", str(data / "exports" / "vol-1"), str(path), os.geteuid()), data, Log(data / "exporter" / "log")
    )
    try:
        with no_descriptor(1) as refused:
            for _ in range(2):
                assert greeting(path).startswith(b"NBDMAGIC")
            wait_until(refused)
        with no_thread("nbd") as unmade:
            assert greeting(path) == b""
        assert unmade == ["nbd vol-1"]
        assert greeting(path).startswith(b"NBDMAGIC")
    finally:
        made.close()
    log = (data / "exporter" / "log").read_text()
    assert " ERROR amiable.exporter: vol-1 takes no connection now: [Errno 24]" in log


def test_a_guests_metadata_has_all_its_places_again(services: Services) -> None:
    service = MetadataService(services)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with no_thread("imds") as unmade, no_descriptor(1) as refused:
            for _ in range(2 * CONNECTIONS_MAX):
                with socket.create_connection(listener.getsockname()):
                    assert not service.take("i-1", listener)
        assert len(refused) == 1 and len(unmade) == 2 * CONNECTIONS_MAX - 1
        with socket.create_connection(listener.getsockname(), SECONDS_MAX) as guest:
            assert service.take("i-1", listener)  # the one that no descriptor was there for
            assert service.take("i-1", listener)
            guest.sendall(b"nonsense\r\n\r\n")
            assert guest.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_call_waits_for_one_of_the_threads_that_there_are() -> None:
    async def main() -> None:
        threads, go = Threads(2, "test"), threading.Event()
        told: list[str] = []

        async def call(work: str) -> None:
            told.append(await threads.run(lambda: work if go.wait(SECONDS_MAX) else ""))

        with no_thread("test"), pytest.raises(RuntimeError):
            await threads.run(lambda: "nobody can do it")
        with anyio.fail_after(SECONDS_MAX):
            async with anyio.create_task_group() as group:
                group.start_soon(call, "first")
                await anyio.sleep(0)
                with no_thread("test") as unmade:
                    group.start_soon(call, "second")
                    await anyio.sleep(0)
                    assert unmade == ["test-2"]
                go.set()
        assert told == ["first", "second"]

    anyio.run(main)


def test_the_jobs_of_slow_machines_go_on() -> None:
    waiting: deque[Job] = deque()
    ran: list[str] = []
    threads = SlowJobs(
        lambda: waiting.popleft() if waiting else None, lambda job: ran.append(job.key), poll_seconds=0.01
    )
    threads.start()
    with no_thread("slow") as unmade:
        waiting.append(Job("lost:ask", "ask", "token", 1, {}))
        wait_until(unmade)
    waiting.append(Job("next:ask", "ask", "token", 1, {}))
    wait_until(ran)
    left = threads.end()
    for thread in left:
        thread.join(SECONDS_MAX)
    assert ran == ["next:ask"], "the lease of the other one lapses, and it is picked again"
    assert not threads._threads


def test_leases_are_kept_where_a_worker_can_have_no_substitute(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_module, "LOOK_SECONDS", 0.01)
    workers = Workers(services, {})
    job = queue.Job("a:ask", "ask", "token", 1, {})
    context = JobContext(services, job, outside_since=time.monotonic() - 1e6)
    with no_thread("substitute") as unmade, caplog.at_level(logging.ERROR):
        workers.start()
        try:
            workers._running[job.key] = context
            wait_until(unmade)
            unmade.clear()
            wait_until(unmade)  # it looks again
            assert not workers._substitutes
        finally:
            workers.stop()
    assert "the keeper of the leases stumbled" in caplog.text
