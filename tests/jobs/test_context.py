"""What a running job does while it waits for a machine, or for what serves a disk."""

import socket

import pytest

from amiable.database import jobs as queue
from amiable.database.jobs import Job
from amiable.jobs import context as context_module
from amiable.jobs.context import Interrupted, JobContext, Slow
from amiable.services import Services
from amiable.vm import patience

SECONDS_MAX = 60.0


@pytest.fixture
def context(services: Services, monkeypatch: pytest.MonkeyPatch) -> JobContext:
    monkeypatch.setattr(context_module, "SUBSTITUTE_SECONDS", 0.01)
    return JobContext(services, Job("a:copy", "copy", "token", 1, {}))


def test_a_disk_that_is_silent_is_waited_for_where_another_has_the_workers_place(context: JobContext) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.1)
    context.has_substitute = True
    with ours, theirs:
        context.wait_for_disk(ours)
        assert context.outside_since is None


def test_a_disk_that_is_silent_is_left_where_nobody_has_the_workers_place(context: JobContext) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS_MAX)
    with ours, theirs, pytest.raises(Slow):
        context.wait_for_disk(ours)
    assert context.outside_since is None


def test_a_disk_that_answers_is_read_at_once(context: JobContext) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS_MAX)
    with ours, theirs:
        theirs.send(b"x")
        context.wait_for_disk(ours)


def test_a_job_beside_the_workers_has_the_time(context: JobContext) -> None:
    context.has_time = True
    with patience.asking(context.ran_out):
        patience.ran_out()


def test_a_job_waits_no_longer_when_the_server_ends(services: Services) -> None:
    with services.database.write() as c:
        queue.enqueue(c, queue.NewJob("copy", "a:copy", {}), now=services.now())
        lease = queue.Lease("me", services.host, "token")
        job = queue.pick(c, ["copy"], lease, now=services.now())
    assert job is not None
    context = JobContext(services, job, has_time=True)
    context.stop.set()
    with pytest.raises(Interrupted):
        context.ran_out()
