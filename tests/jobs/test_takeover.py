"""A job is finished by another process when the first is killed midway, and a process that comes back too late is refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select, update

from amiable.database import jobs as queue
from amiable.database.schema import job as J
from amiable.jobs.context import JobContext
from amiable.jobs.registry import JobKind
from amiable.server.worker import Workers
from amiable.services import Services

STEPS = 4
FIRST_PROCESS = """
import sys
from pathlib import Path
from amiable.database.jobs import Lost
from amiable.jobs.context import JobContext
from amiable.jobs.registry import JobKind
from amiable.server.worker import Workers
from tests.support.services import open_services

def walk(context):
    print("began", flush=True)
    sys.stdin.readline()
    try:
        context.checkpoint({"step": 2, "by": "first"})
        print("saved", flush=True)
    except Lost:
        print("refused", flush=True)
        raise

with open_services(Path(sys.argv[1])) as services:
    Workers(services, {"walk": JobKind(walk, lambda context, words: None)}).run_one()
    print("ended", flush=True)
"""


@pytest.fixture
def first(services: Services) -> "subprocess.Popen[str]":
    """Another process that has picked the job and is in the middle of it."""
    with services.database.write() as c:
        assert queue.enqueue(c, queue.NewJob("walk", "a:walk", {"step": 1}), now=services.now())
    checkout = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", FIRST_PROCESS, str(services.data)]
    return subprocess.Popen(command, text=True, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def lapse(services: Services) -> None:
    """Thirty seconds pass: the lease is over."""
    with services.database.write() as c:
        c.execute(update(J).values(lease_until=services.now()))


def finish_here(services: Services) -> list[int]:
    """This process takes the job over and walks the rest of it; the steps it took."""
    taken: list[int] = []

    def walk(context: JobContext) -> None:
        for step in range(context.data["step"], STEPS):
            taken.append(step)
            context.checkpoint({"step": step + 1, "by": "second"})

    workers = Workers(services, {"walk": JobKind(walk, lambda _context, words: pytest.fail(words))})
    while not workers.run_one():
        pass
    return taken


def row(services: Services) -> tuple[str, int, str]:
    with services.database.read() as c:
        found = c.execute(select(J.c.state, J.c.tries, J.c.data)).one()
    return found.state, found.tries, found.data


def test_a_job_whose_process_was_killed_is_finished_by_another(
    services: Services, first: "subprocess.Popen[str]"
) -> None:
    with first:
        assert first.stdout is not None and first.stdout.readline() == "began\n"
        first.send_signal(signal.SIGKILL)
        first.wait(60)
    assert row(services)[:2] == ("running", 1)
    lapse(services)
    assert finish_here(services) == [1, 2, 3]
    assert row(services) == ("done", 2, '{"step": 4, "by": "second"}')


def test_a_process_that_comes_back_after_the_takeover_is_refused(
    services: Services, first: "subprocess.Popen[str]"
) -> None:
    with first:
        assert first.stdout is not None and first.stdout.readline() == "began\n"
        first.send_signal(signal.SIGSTOP)
        lapse(services)
        assert finish_here(services) == [1, 2, 3]
        first.send_signal(signal.SIGCONT)
        said, _ = first.communicate("\n", timeout=60)
    assert said == "refused\nended\n"
    assert row(services) == ("done", 2, '{"step": 4, "by": "second"}')
