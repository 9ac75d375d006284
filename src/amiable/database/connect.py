"""One database, two dialects: SQLite (WAL, durable) by default, PostgreSQL by another URL.

Readers use :meth:`Database.read`, writers :meth:`Database.write`.  On SQLite a write transaction begins ``IMMEDIATE``: one
writer at a time, never a lock upgrade in the middle, and rule R3 of the block store (no writer straddles a raise of the
generation) comes with it.  A write answers only after its commit is on disk (``synchronous=FULL``); writers that wait for one
another commit together (``commit_group``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Engine, PoolProxiedConnection, create_engine, event
from sqlalchemy.types import TypeDecorator

from amiable.database.answer import ANSWER, Answer, wait_for_own_changes
from amiable.database.commit_group import CommitGroups, Turn
from amiable.database.statement import Row, Statement, run_text
from amiable.database.steady_clock import read_steady
from amiable.model.metering import SteadyInstant
from amiable.model.units import KIB, MIB

BUSY_SECONDS_MAX = 60
CACHE_BYTES: Final = 8 * MIB
"""Of each connection: the indexes of some ten thousand images, which SQLite's own 2 MiB do not hold."""

RIDER: ContextVar[Callable[[Connection], Callable[[], None]] | None] = ContextVar("rider", default=None)
"""What is written with every transaction of the call at hand, right before it commits; what it returns is called once it has."""


class Instant(TypeDecorator[datetime]):
    """An aware UTC ``datetime`` kept as whole milliseconds since 1970: the same on every database, sortable, AWS's resolution."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "naive datetimes do not enter the database"
        return milliseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return (
            None
            if value is None
            else datetime.fromtimestamp(value // 1000, UTC).replace(microsecond=value % 1000 * 1000)
        )


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down, without passing through a float."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


class Database:
    """Connections to the facts; ``steady`` is the clock by which its transactions measure how long instances run."""

    def __init__(self, url: str, *, steady: Callable[[], SteadyInstant] = read_steady) -> None:
        self.url = url
        self.steady = steady
        self.engine: Engine = create_engine(url, pool_size=8, max_overflow=56, pool_timeout=BUSY_SECONDS_MAX)
        self._groups: CommitGroups | None = None
        if self.engine.dialect.name == "sqlite":
            _durable_sqlite(self.engine)
            self._groups = CommitGroups(self.engine, wait_seconds_max=BUSY_SECONDS_MAX)
        self._looking = Lock()
        self._looker: PoolProxiedConnection | None = None

    @property
    def looks_at_once(self) -> bool:
        """Whether :meth:`look_up` takes no longer than a call of a function: no server is asked, and no writer waited for."""
        return self._groups is not None

    def look_up(self, statement: Statement, **values: Any) -> list[Row]:
        """The rows of one small statement, in a transaction of its own: what was committed before; for what every request asks.

        On SQLite it takes microseconds, where :meth:`read` takes a tenth of a millisecond to begin and to end.
        """
        wait_for_own_changes()
        if self._groups is None:
            with self.read() as c:
                return statement.all(c, **values)
        with self._looking:
            if self._looker is None:
                self._looker = self.engine.raw_connection()
            return statement.run(self._looker.driver_connection, self.engine.dialect, values)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads: one consistent view."""
        wait_for_own_changes()
        with self.engine.connect() as connection:
            yield connection
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: committed and on disk when the block ends, undone when it raises."""
        with self._change(None) as connection:
            yield connection

    @contextmanager
    def write_and_answer(self) -> Iterator[Connection]:
        """The same, for a call that does nothing behind the block but answer: the answer waits for the disk, and not its thread.

        Whatever must not be before the change is on disk (files that go, workers that are woken) needs :meth:`write`.
        """
        with self._change(ANSWER.get()) as connection:
            yield connection

    @contextmanager
    def _change(self, answer: Answer | None) -> Iterator[Connection]:
        wait_for_own_changes()
        options, rider = {"amiable_write": True, "amiable_steady": self.steady}, RIDER.get()
        committed, groups, turn = None, self._groups, _held_turn()
        assert turn is None or answer is not None, "a short call waits for the disk"
        if groups is None:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
                committed = None if rider is None else rider(connection)
        else:
            with groups.join(options) if turn is None else turn.writer(options) as group:
                yield group.connection
                committed = None if rider is None else rider(group.connection)
            if answer is not None:
                answer.hold(groups, group, committed)
                return
            groups.wait(group)
        if committed is not None:
            committed()

    def turn(self) -> Turn:
        """The turn to write, held for the short calls of the edge; waits for it.  On SQLite only (:attr:`looks_at_once`)."""
        assert self._groups is not None
        return self._groups.turn()

    def turn_at_once(self) -> Turn | None:
        """The same, where nobody has it or waits for it."""
        assert self._groups is not None
        return self._groups.turn_at_once()

    def close(self) -> None:
        """Closes every pooled connection."""
        with self._looking:
            if self._looker is not None:
                self._looker.close()
                self._looker = None
        if self._groups is not None:
            self._groups.close()
        self.engine.dispose()


def _held_turn() -> Turn | None:
    """The turn that is held for the call at hand."""
    answer = ANSWER.get()
    return None if answer is None else answer.turn


def _durable_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # A savepoint keeps what it may undo: in a file that is 30 writes a call.
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS_MAX * 1000}")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_BYTES // KIB}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("amiable_write", False)
        driver: Any = connection.connection.driver_connection
        run_text(driver, engine.dialect, "BEGIN IMMEDIATE" if write else "BEGIN")
