"""Answers that wait for the disk without a thread: none leaves too early, none is lost, none lies."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from amiable.database.commit_group import CommitGroups
from amiable.database.connect import RIDER, Database
from amiable.server.threads import Threads
from tests.database.things import add, seen, things

WAIT_SECONDS_MAX = 30


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with things(tmp_path) as opened:
        yield opened


def groups_of(database: Database) -> CommitGroups:
    assert database._groups is not None
    return database._groups


def write(database: Database, name: str) -> str:
    """A call that writes and answers."""
    with database.write_and_answer() as c:
        add(c, name)
    return name


async def answered_while_another_waits(
    database: Database, call: Callable[[], Any], then: Callable[[Threads, "asyncio.Future[Any]"], Any]
) -> Any:
    """What the call answers whose group is left open for a writer that has its turn only behind ``then``."""
    groups, threads = groups_of(database), Threads(1, "answering")
    groups._waiting += 1
    future = asyncio.ensure_future(threads.run(call))
    try:
        await asyncio.sleep(0)  # the task begins: the call is the first in the queue
        await threads.run(lambda: None)  # the only thread: the call has returned
        await then(threads, future)
    finally:
        groups._waiting -= 1
    groups._end_left()
    return await asyncio.wait_for(future, WAIT_SECONDS_MAX)


def test_an_answer_leaves_behind_the_commit_and_its_thread_serves_others_before(database: Database) -> None:
    async def not_yet(threads: Threads, future: "asyncio.Future[Any]") -> None:
        assert await threads.run(lambda: seen(database)) == set()
        assert not future.done()

    answer = asyncio.run(answered_while_another_waits(database, lambda: write(database, "a"), not_yet))
    assert answer == "a" and seen(database) == {"a"}


def test_whoever_commits_answers_for_all_of_the_group(database: Database) -> None:
    async def another_writes(threads: Threads, future: "asyncio.Future[Any]") -> None:
        groups_of(database)._waiting -= 1
        with database.write() as c:
            add(c, "b")
        groups_of(database)._waiting += 1
        assert await asyncio.wait_for(asyncio.shield(future), WAIT_SECONDS_MAX) == "a"
        assert seen(database) == {"a", "b"}

    asyncio.run(answered_while_another_waits(database, lambda: write(database, "a"), another_writes))


def test_a_call_whose_commit_fails_is_told_so_and_the_log_has_not_recorded_it(database: Database) -> None:
    recorded: list[str] = []

    def ride(_c: Connection) -> Callable[[], None]:
        return lambda: recorded.append("yes")

    def full(_connection: Any) -> None:
        raise OperationalError("COMMIT", None, sqlite3.OperationalError("database or disk is full"))

    async def main() -> None:
        threads, ridden = Threads(1, "full"), RIDER.set(ride)
        try:
            event.listen(database.engine, "commit", full)
            with pytest.raises(OperationalError, match="disk is full"):
                await threads.run(lambda: write(database, "a"))
            event.remove(database.engine, "commit", full)
            assert recorded == []
            assert await threads.run(lambda: write(database, "b")) == "b"
            assert recorded == ["yes"]
        finally:
            RIDER.reset(ridden)

    asyncio.run(main())
    assert seen(database) == {"b"}


def test_a_call_that_asks_once_more_waits_for_what_it_wrote(database: Database) -> None:
    def call() -> tuple[int, str]:
        write(database, "a")
        with database.read() as c:
            found = c.execute(text("SELECT count(*) FROM thing")).scalar_one()
        write(database, "b")
        with database.write() as c:
            add(c, "c")
        return found, ",".join(sorted(seen(database)))

    assert asyncio.run(Threads(1, "asking").run(call)) == (1, "a,b,c")


def test_a_call_that_fails_behind_its_change_fails_once_the_change_is_there(database: Database) -> None:
    def call() -> None:
        write(database, "a")
        raise ValueError("behind")

    async def main() -> None:
        with pytest.raises(ValueError, match="behind"):
            await Threads(1, "failing").run(call)

    asyncio.run(main())
    assert seen(database) == {"a"}


def test_a_change_that_is_refused_is_undone_and_holds_no_answer(database: Database) -> None:
    def call() -> str:
        with pytest.raises(ValueError, match="no"), database.write_and_answer() as c:
            add(c, "undone")
            raise ValueError("no")
        return "refused"

    assert asyncio.run(Threads(1, "refusing").run(call)) == "refused"
    assert seen(database) == set()


def test_where_no_answer_can_be_held_back_the_block_itself_waits(database: Database) -> None:
    assert write(database, "a") == "a"
    assert seen(database) == {"a"}


def test_many_calls_at_once_are_all_answered_and_all_on_disk(database: Database) -> None:
    async def main() -> list[str]:
        threads = Threads(6, "many")

        async def client(number: int) -> list[str]:
            told = []
            for at in range(25):
                name = f"{number}-{at}"
                told.append(await threads.run(partial(write, database, name)))
                assert name in seen(database)
            return told

        return [name for told in await asyncio.gather(*(client(number) for number in range(8))) for name in told]

    assert set(asyncio.run(main())) == seen(database)
    assert len(seen(database)) == 200


def test_a_writer_that_gives_up_its_wait_leaves_no_group_open(database: Database) -> None:
    groups = groups_of(database)
    groups._wait_seconds_max = 0.01
    holds, go = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write() as c:
            add(c, "held")
            holds.set()
            go.wait(WAIT_SECONDS_MAX)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(WAIT_SECONDS_MAX)
    with pytest.raises(TimeoutError, match="Another writer"), database.write():
        pass
    go.set()
    thread.join(WAIT_SECONDS_MAX)
    assert not thread.is_alive() and groups._group is None
    assert seen(database) == {"held"}
