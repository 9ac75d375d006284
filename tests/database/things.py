"""A database of one table, of things with names, for tests of how writers write."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from amiable.database.connect import Database


@contextmanager
def things(folder: Path) -> Iterator[Database]:
    """A new database in ``folder``, closed with the block."""
    opened = Database(f"sqlite:///{folder}/facts.db")
    with opened.write() as c:
        c.execute(text("CREATE TABLE thing (name TEXT PRIMARY KEY)"))
    yield opened
    opened.close()


def add(c: Connection, name: str) -> None:
    """Adds a thing of that name."""
    c.execute(text("INSERT INTO thing VALUES (:name)"), {"name": name})


def seen(database: Database) -> set[str]:
    """The names that another process would see."""
    with sqlite3.connect(database.url.removeprefix("sqlite:///")) as other:
        found = {name for (name,) in other.execute("SELECT name FROM thing")}
    other.close()
    return found
