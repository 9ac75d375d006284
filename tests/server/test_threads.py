"""Threads of operations: what they return and raise, whose context they have, and how many there are."""

import asyncio
import contextvars
import threading
from functools import partial

import anyio
import pytest

from amiable.server.threads import Threads

WAIT_SECONDS_MAX = 30
WORD: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="none")


def test_what_a_thread_returns_and_raises_comes_back() -> None:
    async def main() -> None:
        threads = Threads(2, "test")
        assert await threads.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        assert await threads.run(lambda: 8) == 8

    anyio.run(main)


def test_a_thread_has_the_context_of_who_calls() -> None:
    async def main() -> None:
        threads = Threads(1, "test")

        async def told(word: str) -> str:
            WORD.set(word)
            return await threads.run(WORD.get)

        assert list(await asyncio.gather(told("one"), told("two"))) == ["one", "two"]
        assert await threads.run(WORD.get) == "none"

    anyio.run(main)


def test_threads_are_as_many_as_calls_wait_up_to_the_limit_and_all_calls_are_answered() -> None:
    async def main() -> None:
        threads = Threads(3, "test-many")
        meet = threading.Barrier(3)

        def together(_: int) -> str:
            meet.wait(WAIT_SECONDS_MAX)
            return threading.current_thread().name

        assert await threads.run(lambda: threading.current_thread().name) == "test-many-1"
        names = await asyncio.gather(*(threads.run(partial(together, n)) for n in range(9)))
        assert set(names) == {"test-many-1", "test-many-2", "test-many-3"}

    anyio.run(main)


def test_who_is_cancelled_while_a_thread_works_leaves_the_threads_in_order() -> None:
    async def main() -> None:
        threads, go = Threads(1, "test"), threading.Event()
        task = asyncio.ensure_future(threads.run(lambda: go.wait(WAIT_SECONDS_MAX)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        assert await threads.run(lambda: 9) == 9

    anyio.run(main)
