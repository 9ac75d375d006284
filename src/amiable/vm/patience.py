"""How long who waits for a machine does so before it is asked whether it has the time.

    ready(…) ── silent for PATIENCE_SECONDS ──▶ the asker's ``ran_out``: returns, and the wait goes on; or raises, and it is over

A machine may be deaf for as long as it likes, and there are as many as there are guests; the threads that ask them are few.  So a job's
thread asks within :func:`asking`; where nobody has said anything, every wait lasts as long as its own limit.
"""

import contextlib
import select
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Final, Protocol

PATIENCE_SECONDS: Final = 2.0
"""For an answer to what was asked: a disk that is being written out takes its time."""
GREETING_SECONDS: Final = 0.5
"""For a monitor's first word, before anything was asked, and for a guest to let go of a disk."""


class HasDescriptor(Protocol):
    """What can be polled."""

    def fileno(self) -> int: ...


def _endless() -> None:
    """Has the time."""


_ran_out: ContextVar[Callable[[], None]] = ContextVar("ran_out", default=_endless)


@contextlib.contextmanager
def asking(out: Callable[[], None]) -> Iterator[None]:
    """In the block, in this thread, ``out`` is called where a machine is silent for long."""
    token = _ran_out.set(out)
    try:
        yield
    finally:
        _ran_out.reset(token)


def endless() -> contextlib.AbstractContextManager[None]:
    """In the block every wait lasts as long as its own limit: what is being started is not left in the middle."""
    return asking(_endless)


def ran_out() -> None:
    """Returns where the asker goes on waiting, else raises what it raises."""
    _ran_out.get()()


def ready(what: HasDescriptor | int, wait_seconds: float, patience_seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether there is something to read, or an end, within ``wait_seconds``; raises what the asker raises meanwhile."""
    poll = select.poll()
    poll.register(what, select.POLLIN)
    if wait_seconds <= patience_seconds:
        return bool(poll.poll(max(0.0, wait_seconds) * 1000))
    if poll.poll(patience_seconds * 1000):
        return True
    ran_out()
    return bool(poll.poll((wait_seconds - patience_seconds) * 1000))


class Wait:
    """A wait that looks now and then: :meth:`look` at each look."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._ends: float | None = time.monotonic() + patience_seconds

    def look(self) -> None:
        """Asks, once, where patience has run out."""
        if self._ends is not None and time.monotonic() >= self._ends:
            self._ends = None
            ran_out()
