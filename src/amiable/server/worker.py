"""The job workers of one server: threads that pick, run and finish, and one that keeps the leases.

A job that raises is tried again after a pause, at most ``tries_max`` times; then its kind's ``give_up`` leaves the resource in its
failed state, with the reason.  One that waits for another's work, for an instance's lock or for a guest is put back into the queue:
waiting jobs would else have all the workers, and what they wait for none.  So is one whose machine is silent, once: from then on it is
run beside the workers (``server/slow_jobs``), with all the time it takes, and the number of such jobs is nothing to the others.  One
that cannot be left in the middle has its worker's place taken by a substitute meanwhile.  ``Lost`` means that another process has the
job: nothing more is written.
"""

import contextlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from amiable.database import jobs as queue
from amiable.database.jobs import Cancelled, Job, Lost
from amiable.jobs.context import PATIENCE_SECONDS, WAITED, JobContext, Later, Slow
from amiable.jobs.registry import JOBS, JobKind
from amiable.model.errors import StorageFull
from amiable.server.refusals import is_disk_full, log_failure
from amiable.server.slow_jobs import SlowJobs
from amiable.services import Services
from amiable.vm import patience
from amiable.vm.directory import DirectoryBusy

log = logging.getLogger("amiable.worker")

POLL_SECONDS = 1.0
RENEW_SECONDS = 10.0
RETRY_PAUSES = tuple(timedelta(seconds=s) for s in (0.5, 2, 5, 15))
NOW = timedelta()
LATER = timedelta(seconds=1)
"""Until a job that waits for another one is looked at again."""
STOP_SECONDS_MAX = 20.0
SUBSTITUTES_MAX: Final = 16
"""Threads beside the workers, for jobs that wait for machines that are slow."""
LOOK_SECONDS: Final = 0.5


class Workers:
    """``settings.workers`` threads over the jobs table; :meth:`wake` after a commit that enqueued."""

    def __init__(self, services: Services, kinds: dict[str, JobKind] | None = None) -> None:
        self.services = services
        self.kinds = JOBS if kinds is None else kinds
        self.owner = f"{services.host}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._woken = threading.Condition()
        self._calls = 0
        self._ending = threading.Event()
        self._running: dict[str, JobContext] = {}
        self._threads: list[threading.Thread] = []
        self._slow = SlowJobs(partial(self._pick, is_slow=True), self._run, poll_seconds=POLL_SECONDS)
        self._substitutes: dict[str, threading.Thread] = {}
        """By the key of the job that has one; it ends after the job that it runs when that one is outside no more."""

    def start(self) -> None:
        """Takes back what an earlier server of this host left running, then starts the threads."""
        self.start_over()
        names = [f"worker-{n}" for n in range(self.services.settings.workers)]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        self._threads.append(threading.Thread(target=self._keep, name="lease-keeper", daemon=True))
        for thread in self._threads:
            thread.start()
        self._slow.start()

    def start_over(self) -> None:
        """Lets the jobs that an earlier server of this host left running be picked again."""
        with self.services.database.write() as c:
            queue.release_all(c, host=self.services.host, now=self.services.now())

    def wake(self) -> None:
        """Lets an idle worker look at the table now."""
        with self._woken:
            self._calls += 1
            self._woken.notify()

    def stop(self) -> None:
        """Asks running jobs to stop at their next save and waits for the threads, all together so long; what is unfinished runs again later."""
        self._ending.set()
        slow = self._slow.end()
        for context in list(self._running.values()):
            context.stop.set()
        with self._woken:
            self._woken.notify_all()
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for thread in [*self._threads, *self._substitutes.values(), *slow]:
            thread.join(max(0.0, deadline - time.monotonic()))

    def run_one(self, *, has_time: bool = True) -> bool:
        """Picks and runs one job in the calling thread, which has the time that a machine takes or not; whether there was one."""
        job = self._pick()
        if job is not None:
            self._run(job, has_time=has_time)
        return job is not None

    def _pick(self, *, is_slow: bool | None = None) -> Job | None:
        lease = queue.Lease(self.owner, self.services.host, uuid.uuid4().hex)
        with self.services.database.write() as c:
            self._keep_leases(c)  # after a sleep of the host all have lapsed: a job that runs here would run here twice
            return queue.pick(c, list(self.kinds), lease, now=self.services.now(), is_slow=is_slow)

    def _work(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        while is_wanted() and not self._ending.is_set():
            calls = self._calls
            try:
                job = self._pick(is_slow=False)
                if job is not None:
                    self._run(job, has_time=False)
                    continue
            except Exception as error:  # noqa: BLE001  the outermost loop of jobs
                log_failure(log, "a worker could not run a job", error)
            with self._woken:
                if self._calls == calls and not self._ending.is_set():
                    self._woken.wait(POLL_SECONDS)

    def _keep(self) -> None:
        renewed_at = time.monotonic()
        while not self._ending.wait(LOOK_SECONDS):
            try:
                self._substitute()
                if time.monotonic() - renewed_at < RENEW_SECONDS:
                    continue
                renewed_at = time.monotonic()
                with self.services.database.write() as c:
                    self._keep_leases(c)
            except Exception as error:  # noqa: BLE001  the outermost loop of leases
                log_failure(log, "the keeper of the leases stumbled", error)

    def _substitute(self) -> None:
        """Puts a thread in the place of each worker whose job has been outside for long, as far as there are any."""
        self._substitutes = {key: thread for key, thread in self._substitutes.items() if thread.is_alive()}
        for key, context in list(self._running.items()):
            context.has_substitute = key in self._substitutes
        for key, context in list(self._running.items()):
            since = context.outside_since
            is_slow = since is not None and time.monotonic() - since >= PATIENCE_SECONDS
            if not is_slow or context.has_time or key in self._substitutes or len(self._substitutes) >= SUBSTITUTES_MAX:
                continue
            log.info("job %s: waits for a machine; its worker has a substitute", key)
            wanted = partial(_is_outside, context)
            thread = threading.Thread(target=self._work, args=(wanted,), name=f"substitute-{key}", daemon=True)
            thread.start()
            self._substitutes[key], context.has_substitute = thread, True

    def _keep_leases(self, c: Connection) -> None:
        """Renews those of the jobs that run here; one that was asked to end is told."""
        keys = list(self._running)
        cancelled = queue.renew(c, owner=self.owner, keys=keys, now=self.services.now()) if keys else ()
        for context in [self._running.get(key) for key in cancelled]:
            if context is not None:
                context.stop.set()

    def _run(self, job: Job, *, has_time: bool = True) -> None:
        kind = self.kinds[job.kind]
        context = JobContext(self.services, job, has_time=has_time)
        self._running[job.key] = context
        if self._ending.is_set():  # since it was picked: the end may have passed over it
            context.stop.set()
        log.info("job %s: %s (try %d)", job.key, job.kind, job.tries)
        try:
            with patience.asking(context.ran_out):
                self._attempt(kind, context)
        except (Later, DirectoryBusy) as error:
            self._put_back(context, error)
        except Lost:
            log.info("job %s: lost to another process", job.key)
        finally:
            self._running.pop(job.key, None)

    def _put_back(self, context: JobContext, error: Later | DirectoryBusy) -> None:
        is_slow = isinstance(error, Slow) or (isinstance(error, DirectoryBusy) and WAITED in context.data)
        after = NOW if isinstance(error, Slow) else LATER
        context.job = replace(context.job, data={**context.data, WAITED: True})
        with self.services.database.write() as c:
            queue.put_back(c, context.job, now=self.services.now(), after=after, is_slow=is_slow)
        if is_slow and not context.has_time:
            log.info("job %s: its machine is silent or at work; it goes on beside the workers", context.job.key)
            self._slow.wake()

    def _attempt(self, kind: JobKind, context: JobContext) -> None:
        """Runs the job to its end, or to its next try; raises Lost, and what it waits with."""
        try:
            with context.outside() if kind.is_outside else contextlib.nullcontext():
                kind.run(context)
            self._finish(context, "done", None)
        except (Later, DirectoryBusy, Lost):
            raise
        except Cancelled:
            self._give_up(kind, context, "cancelled", "The job was cancelled.")
        except Exception as error:  # noqa: BLE001  the outermost loop of jobs
            self._failed(kind, context, error)

    def _failed(self, kind: JobKind, context: JobContext, error: Exception) -> None:
        job = context.job
        words = StorageFull().message if is_disk_full(error) else f"{type(error).__name__}: {error}"
        if self._ending.is_set():
            log.info("job %s: interrupted by the end of the server", job.key)
        elif job.tries < kind.tries_max:
            log.warning("job %s: %s; trying again", job.key, words, exc_info=error)
            pause = RETRY_PAUSES[min(job.tries, len(RETRY_PAUSES)) - 1]
            with self.services.database.write() as c:
                queue.retry(c, job, now=self.services.now(), after=pause, error=words)
        else:
            log.error("job %s: given up: %s", job.key, words, exc_info=error)
            self._give_up(kind, context, "failed", words)

    def _give_up(self, kind: JobKind, context: JobContext, state: str, words: str) -> None:
        kind.give_up(context, words)
        self._finish(context, state, words)

    def _finish(self, context: JobContext, state: str, words: str | None) -> None:
        with self.services.database.write() as c:
            queue.finish(c, context.job, now=self.services.now(), state=state, error=words)


def _is_outside(context: JobContext) -> bool:
    return context.outside_since is not None
