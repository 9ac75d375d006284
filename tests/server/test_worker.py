"""Workers run each job, try again what failed, and give up with words."""

import contextlib
import errno
import json
import socket
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select, update

from amiable.database import instances, schema
from amiable.database import jobs as queue
from amiable.database.schema import job as J
from amiable.jobs import context as context_module
from amiable.jobs.context import JobContext
from amiable.jobs.registry import JOBS, JobKind
from amiable.rules.lifecycle import Event
from amiable.server import worker as worker_module
from amiable.server.worker import Workers
from amiable.services import Services
from amiable.vm.directory import DirectoryBusy
from tests.server.fake_machine import running_instance, serving
from tests.support.clock import Clock
from tests.support.services import make_account, open_services


def enqueue(services: Services, kind: str, key: str) -> None:
    with services.database.write() as c:
        assert queue.enqueue(c, queue.NewJob(kind, key, {"step": 0}), now=services.now())


def row(services: Services, key: str) -> tuple[str, int, str | None]:
    with services.database.read() as c:
        found = c.execute(select(J.c.state, J.c.tries, J.c.error).where(J.c.key == key)).one()
    return found.state, found.tries, found.error


def no_giving_up(_context: JobContext, words: str) -> None:
    pytest.fail(words)


def test_a_woken_worker_runs_the_job_and_it_is_done(services: Services) -> None:
    ran = threading.Event()

    def run(context: JobContext) -> None:
        context.checkpoint({"step": 1}, 50)
        assert context.data == {"step": 1}
        ran.set()

    workers = Workers(services, {"count": JobKind(run, no_giving_up)})
    workers.start()
    try:
        enqueue(services, "count", "a:count")
        workers.wake()
        assert ran.wait(60)
    finally:
        workers.stop()
    assert row(services, "a:count") == ("done", 1, None)


def test_a_job_that_keeps_failing_is_given_up_with_its_words(services: Services) -> None:
    words: list[str] = []

    def run(_context: JobContext) -> None:
        raise ValueError("no such disk")

    kinds = {"fail": JobKind(run, lambda _context, text: words.append(text), tries_max=2)}
    workers = Workers(services, kinds)
    enqueue(services, "fail", "a:fail")
    assert workers.run_one()
    assert row(services, "a:fail") == ("queued", 1, "ValueError: no such disk") and not words
    with services.database.write() as c:
        c.execute(update(J).values(due=services.now()))
    assert workers.run_one()
    assert words == ["ValueError: no such disk"]
    assert row(services, "a:fail") == ("failed", 2, "ValueError: no such disk")


def test_jobs_that_wait_for_another_one_leave_it_a_worker(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_module, "PATIENCE_SECONDS", 0.05)
    has_stopped = threading.Event()
    left = threading.Semaphore(0)

    def wait(context: JobContext) -> None:
        while not has_stopped.is_set():
            context.wait(0.01)
        left.release()

    kinds = {
        "wait": JobKind(wait, no_giving_up, tries_max=1),
        "stop": JobKind(lambda _context: has_stopped.set(), no_giving_up),
    }
    waiting = [f"{number}:wait" for number in range(2 * services.settings.workers)]
    for key in waiting:
        enqueue(services, "wait", key)
    enqueue(services, "stop", "a:stop")
    workers = Workers(services, kinds)
    workers.start()
    try:
        assert all(left.acquire(timeout=60) for _ in waiting)
    finally:
        workers.stop()
    assert {row(services, key) for key in waiting} == {("done", 1, None)}


def test_deaf_guests_leave_the_other_jobs_their_workers(tmp_path: Path) -> None:
    """More guests than workers are asked to power off, and do not; the clock stands still, so none of them is looked at twice."""
    pressed = threading.Semaphore(0)
    has_run = threading.Event()

    def deaf(client: socket.socket) -> None:
        client.sendall(b'{"QMP": {}}\n')
        with client.makefile("rb") as lines:
            for line in lines:
                command = json.loads(line)["execute"]
                client.sendall(b'{"return": {"status": "running"}}\n')
                if command == "system_powerdown":
                    pressed.release()

    kinds = {**JOBS, "other": JobKind(lambda _context: has_run.set(), no_giving_up)}
    with open_services(tmp_path / "data", clock=Clock(), workers=2) as services, contextlib.ExitStack() as stack:
        owner = make_account(services, "owner")[1]
        keys = []
        for verb in ("stop", "terminate", "reboot") * 2:
            instance_id = running_instance(services, owner)
            stack.enter_context(
                serving(services.data / "instances" / instance_id, "qmp.sock", socket.SOCK_STREAM, deaf)
            )
            keys.append(f"{instance_id}:{verb}")
            ask(services, instance_id, verb)
        enqueue(services, "other", "a:other")
        workers = Workers(services, {kind: kinds[kind] for kind in ("stop", "terminate", "reboot", "other")})
        workers.start()
        try:
            assert all(pressed.acquire(timeout=60) for _ in keys)
            assert has_run.wait(60)
            ends = time.monotonic() + 60
            while {row(services, key) for key in keys} != {("queued", 0, None)}:
                assert time.monotonic() < ends, "their waits are no tries"
                time.sleep(0.01)
        finally:
            workers.stop()


def ask(services: Services, instance_id: str, verb: str) -> None:
    """What the calls write; the instance's volumes outlive it, so that its end is asked of the guest, too."""
    with services.database.write() as c:
        c.execute(update(schema.volume).values(delete_on_termination=False))
        if verb != "reboot":
            asked = Event.STOP_ASKED if verb == "stop" else Event.TERMINATE_ASKED
            instances.set_state(c, instance_id, asked, now=services.now())
        data = {"instance_id": instance_id}
        assert queue.enqueue(c, queue.NewJob(verb, f"{instance_id}:{verb}", data), now=services.now())


def test_jobs_that_wait_for_slow_machines_have_substitutes_that_end_with_them(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PATIENCE_SECONDS", "LOOK_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(worker_module, name, 0.01)
    has_answered, ended = threading.Event(), threading.Semaphore(0)

    def ask_machine(_context: JobContext) -> None:
        assert has_answered.wait(60)
        ended.release()

    kinds = {
        "ask": JobKind(ask_machine, no_giving_up, is_outside=True),
        "other": JobKind(lambda _context: has_answered.set(), no_giving_up),
    }
    keys = [f"{number}:ask" for number in range(2 * services.settings.workers)]
    for key in keys:
        enqueue(services, "ask", key)
    enqueue(services, "other", "a:other")
    workers = Workers(services, kinds)
    workers.start()
    try:
        assert all(ended.acquire(timeout=60) for _ in keys)
        for thread in list(workers._substitutes.values()):
            thread.join(60)
            assert not thread.is_alive()
    finally:
        workers.stop()
    assert {row(services, key)[0] for key in keys} == {"done"}


@pytest.mark.parametrize("has_place", [True, False], ids=["substitute", "no-substitute"])
def test_a_copy_whose_disk_is_silent_leaves_the_other_jobs_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_place: bool
) -> None:
    for name in ("PATIENCE_SECONDS", "LOOK_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(worker_module, name, 0.01)
    monkeypatch.setattr(context_module, "SUBSTITUTE_SECONDS", 60 if has_place else 0.05)
    monkeypatch.setattr(worker_module, "SUBSTITUTES_MAX", int(has_place))
    runs: list[bool] = []
    ours, theirs = socket.socketpair()
    ours.settimeout(60)

    def copy(context: JobContext) -> None:
        runs.append(context.has_time)
        context.wait_for_disk(ours)
        assert ours.recv(1) == b"x"

    kinds = {
        "copy": JobKind(copy, no_giving_up),
        "other": JobKind(lambda _context: theirs.sendall(b"x"), no_giving_up),
    }
    with open_services(tmp_path / "data", workers=1) as services, ours, theirs:
        for kind in kinds:
            enqueue(services, kind, f"a:{kind}")
        workers = Workers(services, kinds)
        workers.start()
        try:
            ends = time.monotonic() + 60
            while row(services, "a:copy")[0] != "done":
                assert time.monotonic() < ends
                time.sleep(0.01)
        finally:
            workers.stop()
        assert row(services, "a:copy") == ("done", 1, None)
        assert runs == ([False] if has_place else [False, True])


def test_a_job_whose_instance_is_busy_again_and_again_waits_beside_the_workers(services: Services) -> None:
    def run(_context: JobContext) -> None:
        raise DirectoryBusy("i-1")

    workers = Workers(services, {"busy": JobKind(run, no_giving_up, tries_max=1)})
    enqueue(services, "busy", "a:busy")
    for count in range(3):
        with services.database.write() as c:
            c.execute(update(J).values(due=services.now()))
        picked = workers._pick(is_slow=count >= 2)
        assert picked is not None
        workers._run(picked, has_time=False)
    assert row(services, "a:busy") == ("queued", 0, None)


@pytest.mark.parametrize("seconds_ago", [None, 0.0, 1e6], ids=["inside", "just-now", "long-ago"])
def test_only_who_is_outside_for_long_has_a_substitute_and_there_are_so_many(
    services: Services, monkeypatch: pytest.MonkeyPatch, seconds_ago: float | None
) -> None:
    monkeypatch.setattr(worker_module, "SUBSTITUTES_MAX", 2)
    workers = Workers(services, {})
    workers._ending.set()  # a substitute ends as soon as it has begun
    since = None if seconds_ago is None else time.monotonic() - seconds_ago
    for number in range(3):
        job = queue.Job(f"{number}:ask", "ask", "token", 1, {})
        workers._running[job.key] = JobContext(services, job, outside_since=since)
    workers._substitute()
    assert len(workers._substitutes) == (2 if seconds_ago == 1e6 else 0)
    for thread in workers._substitutes.values():
        thread.join(60)


def test_a_job_whose_instance_another_works_on_comes_again_and_that_is_no_try(services: Services) -> None:
    def run(_context: JobContext) -> None:
        raise DirectoryBusy("i-1")

    workers = Workers(services, {"busy": JobKind(run, no_giving_up, tries_max=1)})
    enqueue(services, "busy", "a:busy")
    assert workers.run_one()
    assert row(services, "a:busy") == ("queued", 0, None)


def test_a_job_that_has_waited_before_looks_once(services: Services) -> None:
    looks: list[str] = []

    def run(context: JobContext) -> None:
        while True:
            looks.append(context.job.key)
            context.wait(60)

    workers = Workers(services, {"wait": JobKind(run, no_giving_up)})
    with services.database.write() as c:
        queue.enqueue(c, queue.NewJob("wait", "a:wait", {"has_waited": True}), now=services.now())
    assert workers.run_one()
    assert looks == ["a:wait"] and row(services, "a:wait")[0] == "queued"


def test_a_job_that_runs_is_not_run_twice_when_the_host_has_slept(tmp_path: Path) -> None:
    clock = Clock()
    others: list[bool] = []
    with open_services(tmp_path / "data", clock=clock) as services:

        def run(context: JobContext) -> None:
            clock.pass_(hours=8)
            others.append(workers.run_one())
            context.checkpoint({"step": 1})

        workers = Workers(services, {"sleep": JobKind(run, no_giving_up)})
        enqueue(services, "sleep", "a:sleep")
        assert workers.run_one()
        assert others == [False]
        assert row(services, "a:sleep") == ("done", 1, None)


def test_a_job_that_finds_the_disk_full_says_so_in_our_words(services: Services) -> None:
    words: list[str] = []

    def run(_context: JobContext) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/kernels/aki-1")

    workers = Workers(services, {"full": JobKind(run, lambda _context, text: words.append(text), tries_max=1)})
    enqueue(services, "full", "a:full")
    workers.run_one()
    assert words == ["The disk of the server's data directory is full."]


def test_a_job_killed_midway_is_finished_by_another_process_from_its_checkpoint(services: Services) -> None:
    steps: list[int] = []

    class Killed(BaseException):
        pass

    def run(context: JobContext) -> None:
        for step in range(context.data["step"], 4):
            steps.append(step)
            context.checkpoint({"step": step + 1})
            if step == 1 and len(steps) == 2:
                raise Killed

    kinds = {"walk": JobKind(run, no_giving_up)}
    enqueue(services, "walk", "a:walk")
    with pytest.raises(Killed):
        Workers(services, kinds).run_one()
    assert row(services, "a:walk")[0] == "running"
    with services.database.write() as c:
        c.execute(update(J).values(lease_until=services.now()))
    second = Workers(services, kinds)
    while not second.run_one():
        pass
    assert steps == [0, 1, 2, 3] and row(services, "a:walk") == ("done", 2, None)


def test_a_cancelled_job_is_given_up_as_cancelled(services: Services) -> None:
    words: list[str] = []

    def run(context: JobContext) -> None:
        with services.database.write() as c:
            queue.cancel(c, context.job.key)
        context.checkpoint({"step": 1})

    workers = Workers(services, {"long": JobKind(run, lambda _context, text: words.append(text))})
    enqueue(services, "long", "a:long")
    workers.run_one()
    assert words == ["The job was cancelled."] and row(services, "a:long")[0] == "cancelled"


def test_an_end_of_the_server_leaves_the_job_for_the_next_start(services: Services, tmp_path: Path) -> None:
    started = threading.Event()

    def run(context: JobContext) -> None:
        started.set()
        assert context.stop.wait(60)
        raise InterruptedError("stopped")

    workers = Workers(services, {"long": JobKind(run, no_giving_up)})
    workers.start()
    enqueue(services, "long", "a:long")
    workers.wake()
    assert started.wait(60)
    workers.stop()
    assert row(services, "a:long")[:2] == ("running", 1)
    with services.database.write() as c:
        assert queue.release_all(c, host=services.host, now=services.now()) == 1


def test_a_job_that_was_picked_as_the_server_ended_is_told_so(services: Services) -> None:
    told: list[bool] = []
    workers = Workers(services, {"long": JobKind(lambda context: told.append(context.stop.is_set()), no_giving_up)})
    enqueue(services, "long", "a:long")
    workers._ending.set()
    assert workers.run_one()
    assert told == [True]


def test_the_end_of_the_server_waits_for_all_its_jobs_together(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "STOP_SECONDS_MAX", 2.0)
    count, begun, may_end = services.settings.workers, threading.Semaphore(0), threading.Event()
    assert count > 2

    def run(_context: JobContext) -> None:
        begun.release()
        assert may_end.wait(60)

    workers = Workers(services, {"deaf": JobKind(run, no_giving_up)})
    for number in range(count):
        enqueue(services, "deaf", f"{number}:deaf")
    workers.start()
    try:
        assert all(begun.acquire(timeout=60) for _ in range(count))
        began = time.monotonic()
        workers.stop()
        assert time.monotonic() - began < 2.0 * count
    finally:
        may_end.set()
        for thread in workers._threads:
            thread.join(60)
