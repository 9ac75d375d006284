"""Instants keep milliseconds exactly; writes are durable and exclusive."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, String, Table, delete, insert, select, text

from amiable.database.connect import Database, Instant, milliseconds
from amiable.database.migrate import migrate
from amiable.database.statement import Statement

FIRST, LAST = datetime(1970, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001  hypothesis wants naive bounds
moments = st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.just(UTC))


@given(moments)
def test_an_instant_comes_back_in_whole_milliseconds(moment: datetime) -> None:
    kept = Instant().process_bind_param(moment, None)
    back = Instant().process_result_value(kept, None)
    assert back == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert kept == milliseconds(moment)


def test_a_naive_time_does_not_enter_the_database() -> None:
    with pytest.raises(AssertionError):
        Instant().process_bind_param(datetime(2026, 1, 1), None)  # noqa: DTZ001


def test_a_look_up_sees_what_is_committed_at_once_and_waits_for_no_writer(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/facts.db")
    names = Table("thing", MetaData(), Column("name", String(64)))
    names.metadata.create_all(database.engine)
    every = Statement(select(names))
    assert database.looks_at_once
    with database.write() as c:
        c.execute(insert(names), {"name": "one"})
        assert database.look_up(every) == []
    assert database.look_up(every) == [("one",)]
    with database.write() as c:
        c.execute(delete(names))
    assert database.look_up(every) == []
    database.close()


def test_sqlite_is_durable_and_checks_foreign_keys(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/facts.db")
    with database.read() as c:
        assert c.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert c.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert c.execute(text("PRAGMA foreign_keys")).scalar() == 1
    database.close()


def test_writers_wait_for_each_other_and_none_is_lost(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/facts.db")
    with database.write() as c:
        c.execute(text("CREATE TABLE counter (n INTEGER)"))
        c.execute(text("INSERT INTO counter VALUES (0)"))

    def count() -> None:
        for _ in range(20):
            with database.write() as c:
                n = c.execute(text("SELECT n FROM counter")).scalar_one()
                c.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    with database.read() as c:
        assert c.execute(text("SELECT n FROM counter")).scalar() == 160
    database.close()


def test_a_write_that_raises_leaves_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/facts.db"
    migrate(url)
    database = Database(url)
    with pytest.raises(RuntimeError), database.write() as c:
        c.execute(text("INSERT INTO generation VALUES (99)"))
        raise RuntimeError
    with database.read() as c:
        assert c.execute(text("SELECT count(*) FROM generation WHERE number = 99")).scalar() == 0
    database.close()
