"""Statements that are put together once, and that SQLite's driver then runs itself.

SQLAlchemy takes ten times as long over a small statement as SQLite does.  What requests run again and again stands as one of these
at the top of its module: SQLAlchemy writes the text and says how values are converted, once; from then on the driver gets the text
and the values in its order, in the transaction that SQLAlchemy began.  On PostgreSQL SQLAlchemy runs it as it runs any other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import SelectBase

Convert = Callable[[Any], Any] | None
"""From a value of ours to the driver's, or back; None where they are the same."""
Conversion = tuple[int, Callable[[Any], Any], bool]
"""Of the value at a place; and whether None is None on both sides."""
Row = tuple[Any, ...]


class Statement:
    """A statement with its parameters named (``bindparam``; an INSERT's are its columns); values are given by these names.

    It has no list that grows (``in_``: :class:`amiable.database.text_match.OneOf` has none) and no column with a default of Python's.
    """

    def __init__(self, query: Executable) -> None:
        self._query = query
        self._prepared: dict[tuple[str, ...], _Prepared] = {}

    def all(self, c: Connection, **values: Any) -> list[Row]:
        """The rows, in order."""
        if c.dialect.name != "sqlite":
            return [tuple(row) for row in c.execute(self._query, values)]
        return self.run(_begun(c), c.dialect, values)

    def run(self, driver: Any, dialect: Dialect, values: Mapping[str, Any]) -> list[Row]:
        """The rows that SQLite's ``driver`` brings, in whatever transaction it has."""
        prepared = self._prepare(dialect, values)
        return prepared.read(run_text(driver, dialect, prepared.text, prepared.arrange(values)))

    def first(self, c: Connection, **values: Any) -> Row | None:
        """The only row, if there is one."""
        found = self.all(c, **values)
        assert len(found) <= 1
        return found[0] if found else None

    def execute(self, c: Connection, *rows: Mapping[str, Any]) -> None:
        """Makes the change once for each of ``rows``, all of the same names; raises what SQLAlchemy raises, IntegrityError above all."""
        if c.dialect.name != "sqlite":
            if rows:
                c.execute(self._query, list(rows))
            return
        for row in rows:
            prepared = self._prepare(c.dialect, row)
            run_text(_begun(c), c.dialect, prepared.text, prepared.arrange(row))

    def _prepare(self, dialect: Dialect, values: Mapping[str, Any]) -> "_Prepared":
        names = tuple(values)
        prepared = self._prepared.get(names)
        if prepared is None:
            prepared = self._prepared[names] = _Prepared(self._query, dialect, names)
        return prepared


class _Prepared:
    """A statement's text for SQLite, and how its values and rows are converted."""

    def __init__(self, query: Any, dialect: Dialect, names: Sequence[str]) -> None:
        compiled = query.compile(dialect=dialect, column_keys=list(names), for_executemany=True)
        assert isinstance(compiled, SQLCompiler) and compiled.positiontup is not None
        self.text: str = compiled.string
        assert not compiled.post_compile_params and not compiled.prefetch, self.text
        binds = [compiled.binds[name] for name in compiled.positiontup]
        self._names: list[str] = list(compiled.positiontup)
        self._fixed: list[tuple[int, Any]] = [
            (at, bind.value) for at, bind in enumerate(binds) if bind.value is not None
        ]
        self._bound = _conversions(bind.type.dialect_impl(dialect).bind_processor(dialect) for bind in binds)
        columns = query.selected_columns if isinstance(query, SelectBase) else ()
        self._read = _conversions(
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        )

    def arrange(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the text's order, with those that stand in the statement itself."""
        arranged = list(map(values.get, self._names))
        for at, value in self._fixed:
            arranged[at] = values.get(self._names[at], value)
        _convert(arranged, self._bound)
        return arranged

    def read(self, rows: list[Row]) -> list[Row]:
        """The rows as they are meant."""
        if not self._read:
            return rows
        meant = [list(row) for row in rows]
        for row in meant:
            _convert(row, self._read)
        return [tuple(row) for row in meant]


def _conversions(converts: Iterable[Convert]) -> list[Conversion]:
    """Those places that are converted."""
    return [(at, convert, convert(None) is None) for at, convert in enumerate(converts) if convert is not None]


def _convert(values: list[Any], conversions: list[Conversion]) -> None:
    """Converts in place; an absence that stays one is passed by."""
    for at, convert, keeps_none in conversions:
        value = values[at]
        if value is not None or not keeps_none:
            values[at] = convert(value)


def _begun(c: Connection) -> Any:
    """The driver's connection, in a transaction as SQLAlchemy's own first statement would find it."""
    if not c.in_transaction():
        c.begin()
    return c.connection.driver_connection


def run_text(driver: Any, dialect: Dialect, text: str, values: Sequence[Any] = ()) -> list[Row]:
    """The rows of ``text`` as SQLite's ``driver`` runs it; its errors become SQLAlchemy's."""
    try:
        rows: list[Row] = driver.execute(text, values).fetchall()
    except dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(text, tuple(values), error, dialect.loaded_dbapi.Error) from error
    return rows
