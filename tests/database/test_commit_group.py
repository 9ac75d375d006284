"""Writers that commit together: all or each, never told too early, never told wrong."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from amiable.database.commit_group import Abandoned
from amiable.database.connect import Database
from tests.database.things import add, seen, things

WRITERS = 12
WAIT_SECONDS_MAX = 30


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with things(tmp_path) as opened:
        yield opened


def together(database: Database, works: list[Callable[[Any], None]]) -> list[BaseException | None]:
    """Runs the works as writers that all wait while a first one holds the turn; what each was told."""
    told: list[BaseException | None] = [None] * len(works)
    groups = database._groups
    assert groups is not None

    def write(number: int) -> None:
        try:
            with database.write() as c:
                works[number](c)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            told[number] = error

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(works))]
    with database.write() as c:
        add(c, "first")
        for thread in threads:
            thread.start()
        while groups._waiting < len(works):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join(WAIT_SECONDS_MAX)
        assert not thread.is_alive()
    return told


def test_writers_that_wait_commit_together_and_all_is_there(database: Database) -> None:
    commits: list[None] = []
    event.listen(database.engine, "commit", lambda _c: commits.append(None))
    told = together(database, [partial(add, name=str(number)) for number in range(WRITERS)])
    assert told == [None] * WRITERS
    assert seen(database) == {"first", *map(str, range(WRITERS))}
    assert len(commits) == 1


def test_one_that_raises_undoes_its_own_changes_only(database: Database) -> None:
    def fail(c: Any) -> None:
        add(c, "undone")
        raise ValueError("no")

    told = together(database, [lambda c: add(c, "a"), fail, lambda c: add(c, "b"), lambda c: add(c, "a")])
    kinds = sorted("" if error is None else type(error).__name__ for error in told)
    assert kinds == ["", "", "IntegrityError", "ValueError"], "one of the two named a came second"
    assert seen(database) == {"first", "a", "b"}


def test_a_transaction_that_the_database_gave_up_is_told_to_all_and_the_next_begins_anew(database: Database) -> None:
    def give_up(c: Any) -> None:
        c.connection.driver_connection.execute("ROLLBACK")
        raise ValueError("given up")

    holds, hangs = threading.Event(), threading.Event()
    told: list[BaseException | None] = [None]

    def first() -> None:
        try:
            with database.write() as c:
                add(c, "lost")
                holds.set()
                hangs.wait(WAIT_SECONDS_MAX)
        except Abandoned as error:
            told[0] = error

    def second() -> None:
        with pytest.raises(ValueError, match="given up"), database.write() as c:
            give_up(c)

    groups = database._groups
    assert groups is not None
    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    holds.wait(WAIT_SECONDS_MAX)
    threads[1].start()
    while groups._waiting < 1:
        threading.Event().wait(0.001)
    hangs.set()
    for thread in threads:
        thread.join(WAIT_SECONDS_MAX)
    assert isinstance(told[0], Abandoned)
    with database.write() as c:
        add(c, "anew")
    assert seen(database) == {"anew"}


def test_a_writer_sees_what_those_before_it_changed_and_a_reader_only_what_is_on_disk(database: Database) -> None:
    found: list[set[str]] = []

    def look(c: Any) -> None:
        found.append({name for (name,) in c.execute(text("SELECT name FROM thing"))})
        found.append(seen(database))

    assert together(database, [look]) == [None]
    assert found == [{"first"}, set()]


def test_writers_after_one_another_write_by_one_connection_that_a_failure_replaces(database: Database) -> None:
    drivers = []
    for name in ("one", "two"):
        with database.write() as c:
            add(c, name)
            drivers.append(c.connection.driver_connection)
    assert drivers[0] is drivers[1]

    def full(_connection: Any) -> None:
        raise OperationalError("COMMIT", None, sqlite3.OperationalError("database or disk is full"))

    event.listen(database.engine, "commit", full)
    with pytest.raises(OperationalError, match="disk is full"), database.write() as c:
        add(c, "three")
    event.remove(database.engine, "commit", full)
    with database.write() as c:
        add(c, "four")
    assert seen(database) == {"one", "two", "four"}


def test_a_turn_at_once_is_not_had_from_a_holder_nor_before_one_who_waits(database: Database) -> None:
    groups = database._groups
    assert groups is not None
    turn = database.turn_at_once()
    assert turn is not None and database.turn_at_once() is None
    turn.end()
    groups._waiting += 1
    assert database.turn_at_once() is None
    groups._waiting -= 1
    again = database.turn_at_once()
    assert again is not None


def test_a_turn_that_nobody_holds_any_more_ends(database: Database) -> None:
    turn = database.turn_at_once()
    assert turn is not None
    with turn.writer({"amiable_write": True, "amiable_steady": database.steady}) as group:
        add(group.connection, "kept")
    del turn, group
    assert seen(database) == {"kept"}
    with database.write() as c:
        add(c, "next")
    assert seen(database) == {"kept", "next"}
