"""The threads of slow machines' jobs: as many as there are such jobs, up to a number, and one where there are none."""

import threading
from collections import deque

import pytest

from amiable.database.jobs import Job
from amiable.server import slow_jobs
from amiable.server.slow_jobs import SlowJobs

SECONDS_MAX = 60.0
POLL_SECONDS = 0.01


def jobs(count: int) -> deque[Job]:
    return deque(Job(f"{number}:ask", "ask", "token", 1, {}) for number in range(count))


def test_more_jobs_than_threads_are_all_run_and_one_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_jobs, "THREADS_MAX", 3)
    waiting, begun, may_end = jobs(10), threading.Semaphore(0), threading.Event()
    running: set[str] = set()
    most: list[int] = []

    def run(job: Job) -> None:
        running.add(job.key)
        most.append(len(running))
        begun.release()
        assert may_end.wait(SECONDS_MAX)
        running.discard(job.key)

    threads = SlowJobs(lambda: waiting.popleft() if waiting else None, run, poll_seconds=POLL_SECONDS)
    threads.start()
    for _ in range(3):
        assert begun.acquire(timeout=SECONDS_MAX)
    assert len(waiting) == 7, "as many at once as there are threads"
    may_end.set()
    for _ in range(7):
        assert begun.acquire(timeout=SECONDS_MAX)
    while len(left := list(threads._threads)) > 1:  # each sees for itself that it is not needed
        left[-1].join(POLL_SECONDS)
    for thread in threads.end():
        thread.join(SECONDS_MAX)
    assert max(most) == 3 and not threads._threads


def test_what_goes_wrong_with_one_job_is_not_the_end_of_the_others() -> None:
    waiting, has_run = jobs(2), threading.Event()

    def run(job: Job) -> None:
        if job.key == "0:ask":
            raise OSError("the disk is full")
        has_run.set()

    threads = SlowJobs(lambda: waiting.popleft() if waiting else None, run, poll_seconds=POLL_SECONDS)
    threads.start()
    assert has_run.wait(SECONDS_MAX)
    for thread in threads.end():
        thread.join(SECONDS_MAX)
    assert not threads._threads


def test_one_that_was_put_back_is_looked_for_at_once() -> None:
    waiting, has_run, has_looked = jobs(0), threading.Event(), threading.Event()

    def pick() -> Job | None:
        has_looked.set()
        return waiting.popleft() if waiting else None

    threads = SlowJobs(pick, lambda _: has_run.set(), poll_seconds=1000 * SECONDS_MAX)
    threads.start()
    assert has_looked.wait(SECONDS_MAX)
    waiting.extend(jobs(1))
    threads.wake()
    assert has_run.wait(SECONDS_MAX)
    for thread in threads.end():
        thread.join(SECONDS_MAX)
