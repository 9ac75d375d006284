"""Short mutating calls run on the event loop itself, one by one, and commit together in a thread (SQLite).

    loop     turn ─ call ─ call ─ … ─ nobody comes ─┐          the next are read and verified meanwhile ─ turn ─ call …
    thread                                          └ COMMIT ─▶ all of them answer

A call that changes a few rows takes less than a thread needs to be woken for it and to fight for the interpreter's lock at each of its
statements.  The turn to write is taken before the first call: the loop never waits for another writer, nor for the disk.

Such a call makes its changes in one ``write_and_answer``, and asks neither the database nor a file after that.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

import anyio

from amiable.database.commit_group import WRITERS_MAX, Turn
from amiable.database.connect import Database
from amiable.server.threads import Threads, Work

T = TypeVar("T")

ROUNDS: Final = 4
"""Of the event loop, without a call: what has been read by then commits with the others."""


class ShortCalls:
    """The short calls of one database and one event loop."""

    def __init__(self, database: Database, threads: Threads) -> None:
        self._database = database
        self._threads = threads
        self._calls: deque[Work] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises, once its changes are on disk."""
        work = Work.of(function)
        self._calls.append(work)
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve(), context=contextvars.Context())
        with anyio.CancelScope(shield=True):
            result: T = await work.future
        return result

    async def _serve(self) -> None:
        try:
            while self._calls:
                turn = self._database.turn_at_once()
                if turn is None:
                    turn = await self._threads.run(self._database.turn)
                try:
                    await self._serve_turn(turn)
                finally:
                    await self._threads.run(turn.end)
        except Exception as error:  # noqa: BLE001 - handed on to all who wait
            while self._calls:
                self._calls.popleft().fail(error)
        finally:
            self._serving = None

    async def _serve_turn(self, turn: Turn) -> None:
        """Runs calls until none has come for a few rounds of the loop, or the group is over."""
        calls = rounds = 0
        while rounds < ROUNDS and calls < WRITERS_MAX and not turn.is_over:
            if self._calls:
                self._calls.popleft().perform(turn)
                calls, rounds = calls + 1, 0
            else:
                rounds += 1
            await asyncio.sleep(0)
