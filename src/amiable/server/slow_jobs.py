"""Threads for the jobs of slow machines: up to a number of them, each with all the time that its machine may take.

    one looks ── finds a job ──▶ runs it; another looks meanwhile ── finds none, and is not the only one that looks ──▶ ends

So there is one where there are no such jobs.  Where there are more jobs than threads they come in turn, each at its due time.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from amiable.database.jobs import Job
from amiable.server.refusals import log_failure

log = logging.getLogger("amiable.worker")

THREADS_MAX: Final = 16


class SlowJobs:
    """``pick`` takes a slow job that is due, ``run`` does it."""

    def __init__(self, pick: Callable[[], Job | None], run: Callable[[Job], None], *, poll_seconds: float) -> None:
        self._pick = pick
        self._run = run
        self._poll_seconds = poll_seconds
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._looking = 0
        self._wakes = 0
        self._is_ending = False

    def start(self) -> None:
        """Starts the first thread."""
        with self._changed:
            self._begin()

    def wake(self) -> None:
        """Lets the one that looks do so now: a job was put back."""
        with self._changed:
            self._wakes += 1
            self._changed.notify()

    def end(self) -> list[threading.Thread]:
        """No job begins any more; the threads that still run one."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
            return list(self._threads)

    def _begin(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"slow-{len(self._threads)}", daemon=True)
        thread.start()  # it waits for the lock, which is held here, before it looks at these
        self._threads.add(thread)
        self._looking += 1

    def _serve(self) -> None:
        while True:
            wakes = self._wakes
            try:
                found = self._look()
            except Exception as error:  # noqa: BLE001  the outermost loop of jobs
                log_failure(log, "a slow job could not be run", error)
                found = False
            with self._changed:
                if self._is_ending or (not found and self._looking > 1):
                    self._looking -= 1
                    self._threads.discard(threading.current_thread())
                    return
                if not found and self._wakes == wakes:
                    self._changed.wait(self._poll_seconds)

    def _look(self) -> bool:
        """Runs a job that is due; whether there was one."""
        job = self._pick()
        if job is None:
            return False
        with self._changed:
            self._looking -= 1
        try:
            with self._changed:
                if not self._looking and len(self._threads) < THREADS_MAX and not self._is_ending:
                    self._begin()
            self._run(job)
        finally:
            with self._changed:
                self._looking += 1
        return True
