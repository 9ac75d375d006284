"""Short calls on the event loop: answered behind their commit, several of them together, and the loop never waits."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from amiable.database.connect import Database
from amiable.server.short_calls import ShortCalls
from amiable.server.threads import Threads
from tests.database.things import add, seen, things

WAIT_SECONDS_MAX = 30


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with things(tmp_path) as opened:
        yield opened


@pytest.fixture
def commits(database: Database) -> list[None]:
    """One for each commit from now on."""
    found: list[None] = []
    event.listen(database.engine, "commit", lambda _connection: found.append(None))
    return found


def write(database: Database, name: str) -> str:
    """A short call."""
    with database.write_and_answer() as c:
        add(c, name)
    return name


async def run_all(database: Database, *functions: Callable[[], Any]) -> list[Any]:
    """What all of them return or raise, asked at once."""
    calls = ShortCalls(database, Threads(2, "short"))
    asked = asyncio.gather(*(calls.run(function) for function in functions), return_exceptions=True)
    return await asyncio.wait_for(asked, WAIT_SECONDS_MAX)


class Holder:
    """Another writer, who has the turn inside the block."""

    def __init__(self, database: Database) -> None:
        self._holds, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(database,))

    def _hold(self, database: Database) -> None:
        with database.write() as c:
            add(c, "held")
            self._holds.set()
            assert self._go.wait(WAIT_SECONDS_MAX)

    def __enter__(self) -> "Holder":
        self._thread.start()
        assert self._holds.wait(WAIT_SECONDS_MAX)
        return self

    def let_go(self) -> None:
        self._go.set()

    def __exit__(self, *_error: object) -> None:
        self.let_go()
        self._thread.join(WAIT_SECONDS_MAX)
        assert not self._thread.is_alive()


def test_calls_at_once_run_on_the_loop_and_share_one_commit(database: Database, commits: list[None]) -> None:
    def call(name: str) -> tuple[str, threading.Thread]:
        return write(database, name), threading.current_thread()

    told = asyncio.run(run_all(database, *(partial(call, str(number)) for number in range(5))))
    assert told == [(str(number), threading.main_thread()) for number in range(5)]
    assert seen(database) == {"0", "1", "2", "3", "4"} and len(commits) == 1


def test_an_answer_leaves_only_behind_its_commit(database: Database) -> None:
    async def main() -> None:
        calls = ShortCalls(database, Threads(1, "short"))
        for number in range(20):
            assert await calls.run(partial(write, database, str(number))) in seen(database)

    asyncio.run(main())


def test_a_call_that_is_refused_takes_back_its_own_change_alone(database: Database) -> None:
    def refused() -> None:
        with database.write_and_answer() as c:
            add(c, "undone")
            raise ValueError("no")

    told = asyncio.run(run_all(database, partial(write, database, "a"), refused, partial(write, database, "b")))
    assert told[0] == "a" and isinstance(told[1], ValueError) and told[2] == "b"
    assert seen(database) == {"a", "b"}


def test_calls_that_are_all_refused_hold_the_turn_no_longer_than_others(database: Database) -> None:
    def refused() -> None:
        with database.write_and_answer():
            raise ValueError("no")

    told = asyncio.run(run_all(database, *[refused] * 200, partial(write, database, "a")))
    assert all(isinstance(each, ValueError) for each in told[:-1]) and told[-1] == "a"
    assert seen(database) == {"a"}


def test_the_loop_goes_on_while_another_has_the_turn(database: Database) -> None:
    async def main() -> None:
        calls = ShortCalls(database, Threads(2, "short"))
        with Holder(database) as holder:
            asked = asyncio.ensure_future(calls.run(partial(write, database, "a")))
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert not asked.done() and seen(database) == set()
            holder.let_go()
            assert await asyncio.wait_for(asked, WAIT_SECONDS_MAX) == "a"

    asyncio.run(main())
    assert seen(database) == {"held", "a"}


def test_a_loop_that_ends_while_a_call_waits_keeps_no_turn(database: Database) -> None:
    with Holder(database):

        async def main() -> None:
            calls = ShortCalls(database, Threads(2, "short"))
            asked = asyncio.ensure_future(calls.run(partial(write, database, "a")))
            await asyncio.sleep(0.05)
            assert not asked.done()

        asyncio.run(main())
    with database.write() as c:
        add(c, "b")
    assert seen(database) == {"held", "b"}


def test_a_failed_commit_is_told_to_all_of_the_group(database: Database) -> None:
    def full(_connection: Any) -> None:
        raise OperationalError("COMMIT", None, sqlite3.OperationalError("database or disk is full"))

    event.listen(database.engine, "commit", full)
    told = asyncio.run(run_all(database, partial(write, database, "a"), partial(write, database, "b")))
    event.remove(database.engine, "commit", full)
    assert [str(each).count("disk is full") for each in told] == [1, 1]
    assert asyncio.run(run_all(database, partial(write, database, "c"))) == ["c"]
    assert seen(database) == {"c"}


@pytest.mark.parametrize("way", ["read", "write", "write_and_answer"])
def test_a_call_that_is_not_short_after_all_fails_and_nothing_waits_for_ever(database: Database, way: str) -> None:
    def call() -> None:
        write(database, "a")
        with getattr(database, way)():
            raise ValueError("never reached")

    told = asyncio.run(run_all(database, call, partial(write, database, "b")))
    assert isinstance(told[0], AssertionError) and told[1] == "b"
    assert seen(database) == {"a", "b"}


def test_a_call_that_waits_for_the_disk_fails(database: Database) -> None:
    def call() -> None:
        with database.write() as c:
            add(c, "a")

    told = asyncio.run(run_all(database, call))
    assert isinstance(told[0], AssertionError) and seen(database) == set()


def test_calls_and_threads_at_once_are_all_answered(database: Database) -> None:
    async def main() -> set[str]:
        threads = Threads(6, "many")
        calls = ShortCalls(database, threads)

        async def client(number: int) -> list[str]:
            way, told = (calls if number % 2 else threads), []
            for at in range(25):
                told.append(await way.run(partial(write, database, f"{number}-{at}")))
                assert told[-1] in seen(database)
            return told

        return {name for told in await asyncio.gather(*(client(number) for number in range(8))) for name in told}

    assert asyncio.run(main()) == seen(database)
    assert len(seen(database)) == 200
