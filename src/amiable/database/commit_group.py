"""Writers that wait for one another commit together: one wait for the disk for all of them (SQLite).

    writer 1   turn ─ BEGIN IMMEDIATE ─ changes ─┐ others wait: the turn goes on
    writer 2   ……………………………………………… turn ─ SAVEPOINT ─ changes ─┐ nobody waits
                                                             COMMIT ─▶ both answer

Writers go one after the other, as SQLite has it, each seeing what those before it changed.  One that raises undoes its own changes
only: back to its savepoint; the first has none, as nothing stands before it.  Savepoints are left to the commit, one inside the
other: with each statement the interpreter's lock goes over to another thread, while writers wait for the turn.

None is told that it has written before the commit of its group is on disk; where that fails, all of the group are told.  A writer
that waits for it in its thread is woken; one that leaves its answer behind (``answer``) is told by who commits, and no thread waits.
A transaction that SQLite gives up by itself (a full disk) takes the whole group with it: what follows begins anew.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

WRITERS_MAX: Final = 64
"""In a group: the first of them waits for the last."""
LOOK_SECONDS: Final = 0.2
"""How long a writer waits for its group before it looks whether anybody is left to end it."""


class Abandoned(Exception):
    """The group's transaction was given up before it could commit."""


Listener = Callable[[Exception | None], None]
"""Is told why a group's changes are not on disk, None where they are; raises nothing."""


class Group:
    """One transaction and how many have written in it; ended when it is on disk, or failed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transaction = connection.begin()
        self.writers = 0  # whose changes stand
        self.error: Exception | None = Abandoned()
        self._ended = threading.Event()
        self._telling = threading.Lock()
        self._listeners: list[Listener] = []

    @property
    def driver(self) -> Any:
        """The driver's own connection."""
        return self.connection.connection.driver_connection

    @property
    def is_open(self) -> bool:
        """Whether SQLite still has the transaction: of some errors it makes an end itself."""
        return bool(self.transaction.is_active and self.driver.in_transaction)

    @contextmanager
    def writer(self) -> Iterator[Connection]:
        """One writer's changes: kept when the block ends, undone when it raises."""
        if self.writers:
            self.driver.execute("SAVEPOINT writer")
        try:
            yield self.connection
        except BaseException:
            if self.is_open:
                self._undo()
            raise
        if self.is_open:
            self.writers += 1

    def _undo(self) -> None:
        """Takes back what has been changed since the last writer whose changes stand."""
        if self.writers:
            self.driver.execute("ROLLBACK TO writer")
            self.driver.execute("RELEASE writer")
        else:
            self.driver.execute("ROLLBACK")
            self.driver.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        """Commits, whatever comes of it: ``error`` says what.  The connection stays open behind a commit only."""
        try:
            if self.is_open:
                self.transaction.commit()
                self.error = None
            else:
                self.connection.close()
                self.error = Abandoned() if self.writers else None
        except SQLAlchemyError as error:
            self.error = error
            self.connection.invalidate()  # SQLite may still be in the transaction
            self.connection.close()

    def tell(self) -> None:
        """Says to all of the group, once it has ended, what came of it."""
        with self._telling:
            self._ended.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener(self.error)

    def listen(self, listener: Listener) -> None:
        """Has ``listener`` told, in order of asking, by the thread that ends the group; at once where it has ended."""
        with self._telling:
            has_ended = self._ended.is_set()
            if not has_ended:
                self._listeners.append(listener)
        if has_ended:
            listener(self.error)

    def wait(self, seconds: float) -> bool:
        """Whether the group ends within ``seconds``."""
        return self._ended.wait(seconds)


class CommitGroups:
    """The one queue of a process's writers.

    They write by one connection, which stays open: SQLite forgets the pages that it holds where another connection has written.
    """

    def __init__(self, engine: Engine, *, wait_seconds_max: float) -> None:
        self._engine = engine
        self._wait_seconds_max = wait_seconds_max
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._group: Group | None = None
        self._connection: Connection | None = None  # while no group has it

    def close(self) -> None:
        """Closes the writers' connection."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def join(self, options: Mapping[str, Any]) -> Iterator[Group]:
        """A writer's turn in a group: its changes stand when the block has ended without raising, and are not on disk yet."""
        turn = self.turn()
        try:
            with turn.writer(options) as group:
                yield group
        finally:
            turn.end()

    def turn(self) -> "Turn":
        """The turn to write, waited for; raises TimeoutError."""
        self._take_turn()
        return Turn(self)

    def turn_at_once(self) -> "Turn | None":
        """The turn, where nobody has it or waits for it."""
        return Turn(self) if not self._waiting and self._turn.acquire(blocking=False) else None

    def open_group(self, options: Mapping[str, Any]) -> Group:
        """The group that the holder of the turn writes in."""
        group = self._group = self._group or self._begin(options)
        return group

    @property
    def is_group_over(self) -> bool:
        """Whether the group takes no further writer: it is large enough, or SQLite gave it up."""
        group = self._group
        return group is not None and (not group.is_open or group.writers >= WRITERS_MAX)

    def wait(self, group: Group) -> None:
        """Until what stands in the group is on disk; raises what kept it from there."""
        while not group.wait(LOOK_SECONDS):
            self._end_left()
        if group.error is not None:
            raise group.error

    def _begin(self, options: Mapping[str, Any]) -> Group:
        connection, self._connection = self._connection or self._engine.connect(), None
        try:
            return Group(connection.execution_options(**options))
        except BaseException:
            connection.close()
            raise

    def _take_turn(self) -> None:
        with self._counting:
            self._waiting += 1
        has_turn = False
        try:
            has_turn = self._turn.acquire(timeout=self._wait_seconds_max)
        finally:
            with self._counting:
                self._waiting -= 1
            if not has_turn:
                self._end_left()
        if not has_turn:
            raise TimeoutError(f"Another writer has held the database for {self._wait_seconds_max:g} seconds.")

    def _end_left(self) -> None:
        """Ends a group that was left to a writer who waited, and who gave up before the turn came."""
        if self._turn.acquire(blocking=False):
            self.end_turn()

    def end_turn(self) -> None:
        """Hands the turn on; commits first where nobody waits, or the group is large enough."""
        group = self._group
        is_over = group is not None and (not self._waiting or self.is_group_over)
        try:
            if group is not None and is_over:
                self._group = self._connection = None
                group.end()
                if group.error is None and not group.connection.closed:
                    self._connection = group.connection
        finally:
            self._turn.release()
            if group is not None and is_over:
                group.tell()


class Turn:
    """The turn to write, which its holder may keep from one writer to the next; any thread may end it.

    One that was taken for somebody who is gone (a task that was cancelled) ends with its last reference.
    """

    def __init__(self, groups: CommitGroups) -> None:
        self._groups: CommitGroups | None = groups

    def __del__(self) -> None:
        self.end()

    @contextmanager
    def writer(self, options: Mapping[str, Any]) -> Iterator[Group]:
        """One writer's changes: they stand when the block has ended without raising, and are not on disk yet."""
        assert self._groups is not None, "the turn has ended"
        group = self._groups.open_group(options)
        with group.writer():
            yield group

    @property
    def is_over(self) -> bool:
        """Whether nobody should write in it any more."""
        return self._groups is None or self._groups.is_group_over

    def end(self) -> None:
        """Commits where nobody waits for the turn, and hands it on; takes as long as the disk.  Once ended, nothing."""
        groups, self._groups = self._groups, None
        if groups is not None:
            groups.end_turn()
