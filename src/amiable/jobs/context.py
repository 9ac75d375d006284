"""What a running job holds: its services, its row, and how it saves."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from sqlalchemy import Connection

from amiable.database import jobs as queue
from amiable.database.jobs import Job
from amiable.services import Services
from amiable.vm import patience

PATIENCE_SECONDS: Final = 2.0
"""How long a job that waits for another one's work keeps its worker: there are few, and what it waits for needs one."""
SUBSTITUTE_SECONDS: Final = PATIENCE_SECONDS + 1.0
"""By then a worker whose job is outside has a substitute, if there is one."""
WAITED: Final = "has_waited"
"""In the checkpoint of a job that was put back: from then on it looks once, and is put back again."""


class Later(Exception):
    """The job gives up its worker, and is picked again from its checkpoint."""


class Slow(Later):
    """Later, where there is more time: the job has had its share of a worker, and the machine that it asked is silent."""


class Interrupted(Exception):
    """The server ends: the job stops where it last checkpointed, and runs on from there at the next start."""


@dataclass(slots=True)
class JobContext:
    """Handed to a job function.  ``stop`` is set when the job was cancelled, lost or the server ends: long loops look at it.

    ``has_time``: the thread is there for machines that are slow, and waits for one as long as that may take.
    """

    services: Services
    job: Job
    stop: threading.Event = field(default_factory=threading.Event)
    waits_since: float | None = None  # on the monotonic clock
    outside_since: float | None = None  # on the monotonic clock; while it does what :meth:`outside` is for
    has_time: bool = False
    has_substitute: bool = False

    @property
    def data(self) -> dict[str, Any]:
        """The checkpoint as last saved."""
        return self.job.data

    def save(self, c: Connection, data: dict[str, Any] | None = None, progress_percent: int = 0) -> None:
        """Checkpoints inside the caller's transaction; raises Lost or Cancelled.  Call it in the transaction of every effect."""
        self.job = queue.save(
            c,
            self.job,
            data=self.job.data if data is None else data,
            now=self.services.now(),
            progress_percent=progress_percent,
        )

    def checkpoint(self, data: dict[str, Any], progress_percent: int = 0) -> None:
        """Checkpoints in a transaction of its own."""
        with self.services.database.write() as c:
            self.save(c, data, progress_percent)

    def go_on(self) -> None:
        """Raises Cancelled, Lost or Interrupted when the job is to stop; long loops call it."""
        if self.stop.is_set():
            self.checkpoint(self.data)
            raise Interrupted(self.job.key)

    def wait(self, seconds: float) -> None:
        """Returns after ``seconds``, so that the caller looks again; a job that has waited for long enough is to go on later.

        Raises Later, and what :meth:`go_on` raises.
        """
        if WAITED in self.data:
            self.give_way()
        if self.waits_since is None:
            self.waits_since = time.monotonic()
        if self.stop.wait(seconds):
            self.go_on()
        if time.monotonic() - self.waits_since >= PATIENCE_SECONDS:
            raise Later(self.job.key)

    def give_way(self) -> NoReturn:
        """Raises Later at once, or what :meth:`go_on` raises: for what the job has looked at, and what takes a guest seconds."""
        if self.stop.wait(0):
            self.go_on()
        raise Later(self.job.key)

    def ran_out(self) -> None:
        """Raises Slow unless the thread has the time: a machine has been silent for as long as a worker is to wait for it.

        Raises what :meth:`go_on` raises, too.
        """
        self.go_on()
        if not self.has_time:
            raise Slow(self.job.key)

    def wait_for_disk(self, connection: socket.socket) -> None:
        """Waits for what a disk's server sends, as long as the connection's own limit; raises Slow where nobody takes the worker's place."""
        wait_seconds = connection.gettimeout() or 0.0
        with self.outside(), patience.asking(self._keep_waiting):
            patience.ready(connection, wait_seconds, SUBSTITUTE_SECONDS)

    def _keep_waiting(self) -> None:
        if not self.has_substitute:
            self.ran_out()

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """Around what is little work of ours, and may have to wait for a machine that is slow: then the worker has a substitute."""
        before, self.outside_since = self.outside_since, self.outside_since or time.monotonic()
        try:
            yield
        finally:
            self.outside_since = before


JobFunction = Callable[[JobContext], None]
