"""Statements that the driver runs itself: the rows, the errors and the transaction are SQLAlchemy's."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Boolean, Column, Integer, LargeBinary, MetaData, String, Table, bindparam, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from amiable.database.connect import Database, Instant
from amiable.database.statement import Statement
from amiable.database.text_match import OneOf, texts

THING = Table(
    "thing",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("is_good", Boolean),
    Column("made_at", Instant),
    Column("body", LargeBinary),
)
ADD = Statement(insert(THING))
QUERY = select(THING).where(THING.c.is_good.is_(True), OneOf(THING.c.name, bindparam("names", type_=String)))
FIND = Statement(QUERY.order_by(THING.c.number))
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
ROWS = [
    {"name": "one", "is_good": True, "made_at": NOW, "body": b"\0\xff"},
    {"name": "two", "is_good": True, "made_at": None, "body": None},
    {"name": "bad", "is_good": False, "made_at": NOW, "body": b""},
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path}/facts.db")
    THING.metadata.create_all(opened.engine)
    yield opened
    opened.close()


def test_values_and_rows_are_converted_as_sqlalchemy_does(database: Database) -> None:
    wanted = texts(["one", "two", "bad"])
    with database.write() as c:
        ADD.execute(c, *ROWS)
        expected = [tuple(row) for row in c.execute(QUERY, {"names": wanted})]
    with database.read() as c:
        assert FIND.all(c, names=wanted) == expected == [(1, "one", True, NOW, b"\0\xff"), (2, "two", True, None, None)]
        assert FIND.first(c, names=texts(["one"])) == expected[0]
        assert FIND.first(c, names=texts(["bad"])) is None


def test_names_in_another_order_mean_the_same(database: Database) -> None:
    with database.write() as c:
        ADD.execute(c, {"name": "one", "is_good": True})
        ADD.execute(c, {"is_good": True, "name": "two"})
        ADD.execute(c, {"is_good": True, "name": "three", "body": b"3"})
        assert [row[1] for row in FIND.all(c, names=texts(["one", "two", "three"]))] == ["one", "two", "three"]


def test_a_refused_change_is_sqlalchemys_error_and_is_undone_with_its_transaction(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as c:
        ADD.execute(c, ROWS[0], ROWS[0])
    with database.read() as c:
        assert FIND.all(c, names=texts(["one"])) == []


def test_a_read_is_one_consistent_view_from_its_first_statement(database: Database) -> None:
    with database.read() as c:
        assert FIND.all(c, names=texts(["one"])) == []
        assert c.in_transaction()
        with database.write() as other:
            ADD.execute(other, ROWS[0])
        assert FIND.all(c, names=texts(["one"])) == []


def test_what_is_no_table_is_sqlalchemys_error(database: Database) -> None:
    nowhere = Table("nowhere", MetaData(), Column("name", String(64)))
    with database.read() as c, pytest.raises(OperationalError):
        Statement(select(nowhere)).all(c)
