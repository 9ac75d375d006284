"""The threads that operations run in.

    event loop ── run ──▶ queue ──▶ one of up to ``count_max`` threads ── call_soon_threadsafe ──▶ event loop

One queue and no lock of its own: a hand-over costs a sixth of what anyio's, made for every case, takes, and each request pays it.
Threads begin when they are first needed and stay; they end with the process, and hold nothing between two calls.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import anyio

from amiable.database.answer import ANSWER, Answer
from amiable.database.commit_group import Turn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """One call on its way to a thread."""

    function: Callable[[], Any]
    context: contextvars.Context
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"

    @classmethod
    def of(cls, function: Callable[[], Any]) -> "Work":
        """The call of ``function`` for the task at hand, with its context."""
        loop = asyncio.get_running_loop()
        return cls(function, contextvars.copy_context(), loop, loop.create_future())

    def perform(self, turn: Turn | None = None) -> None:
        """Calls, and tells the loop what came of it, once what was written is on disk; writes in ``turn`` where it is given."""
        answer, result, failure = Answer(turn), None, None
        try:
            result = self.context.run(self._call, answer)
        except BaseException as error:  # noqa: BLE001 - handed on to who waits
            failure = error

        def deliver(error: Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                self.loop.call_soon_threadsafe(self._settle, result, failure or error)

        answer.deliver(deliver)

    def _call(self, answer: Answer) -> Any:
        ANSWER.set(answer)
        return self.function()

    def fail(self, error: Exception) -> None:
        """Is not performed: tells who waits why.  On the loop itself."""
        self._settle(None, error)

    def _settle(self, result: Any, failure: BaseException | None) -> None:
        if self.future.cancelled():
            return
        if failure is not None:
            self.future.set_exception(failure)
        else:
            self.future.set_result(result)


class Threads:
    """Up to ``count_max`` threads for the calls of every event loop of the process; further calls wait in order."""

    def __init__(self, count_max: int, name: str) -> None:
        self._count_max = count_max
        self._name = name
        self._queue: SimpleQueue[Work] = SimpleQueue()
        self._idle: deque[None] = deque()  # one for each thread that waits for work
        self._beginning = threading.Lock()
        self._count = 0

    async def run(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises, in a thread that has the caller's context; no scope of anyio's leaves it behind."""
        work = Work.of(function)
        try:
            self._idle.pop()
        except IndexError:
            self._begin()
        self._queue.put(work)
        with anyio.CancelScope(shield=True):
            result: T = await work.future
        return result

    def _begin(self) -> None:
        with self._beginning:
            if self._count >= self._count_max:
                return
            try:
                threading.Thread(target=self._serve, name=f"{self._name}-{self._count + 1}", daemon=True).start()
            except RuntimeError:  # the host has none left: the call waits for one of those that there are
                if not self._count:
                    raise
            else:
                self._count += 1

    def _serve(self) -> None:
        while True:
            self._queue.get().perform()
            self._idle.append(None)
