"""Group commit: many callers' blocks become durable by one sync and one transaction.

    callers ──ticket──▶ queue ──▶ the first to hold the lock commits for all:
                                  append records → fdatasync → rows of all tickets in one transaction → answer each

There is no thread of its own and no fixed delay: while one caller commits, the others queue up and become the next group.  A
group is at most 128 blocks, or one ticket.  Bytes come before facts, and look-up, touch and reference share the transaction
(rules R1, R2 of the store).  A ticket whose own part is refused is rolled back to its savepoint alone.
"""

import errno
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from amiable.blocks.pack import Extent, PackWriter, Stored, encode_block
from amiable.database import blocks as rows
from amiable.database import snapshots
from amiable.database.connect import Database
from amiable.model.errors import NotFound, SnapshotNotPending, StorageFull

GROUP_BLOCKS_MAX: Final = 128
VANISHED_TRIES_MAX: Final = 4
FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True)
class Ticket:
    """One caller's blocks: ``entries`` are (index, digest), ``plain`` the bytes of each digest that is not zeros."""

    snapshot_id: str
    entries: list[tuple[int, bytes]]
    plain: dict[bytes, bytes]
    encoded: dict[bytes, Stored]
    alongside: Callable[[Connection], None] | None
    done: bool = False
    error: BaseException | None = field(default=None)


class _Vanished(Exception):
    """Blocks that were there at the look-up and are condemned in the transaction: store them again (rule R5)."""

    def __init__(self, digests: set[bytes]) -> None:
        self.digests = digests


class Journal:
    """The one writer of packs and of the rows that name their bytes.  Thread-safe."""

    def __init__(
        self, database: Database, writer: PackWriter, *, compress: bool, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._writer = writer
        self._compress = compress
        self._clock = clock
        self._queue: deque[Ticket] = deque()
        self._committing = threading.Lock()
        self._abandoned: list[str] = []

    def submit(self, ticket: Ticket) -> None:
        """Returns when the ticket's blocks and references are durable; raises what refused or failed it."""
        self._queue.append(ticket)
        while not ticket.done:
            with self._committing:
                if not ticket.done:
                    self._commit_group(self._next_group())
        if ticket.error is not None:
            raise ticket.error

    def close(self) -> None:
        """Closes the pack that is open, and its row."""
        with self._committing:
            self._abandoned += self._writer.give_up(cut=False)
            with self._database.write() as c:
                rows.close_packs(c, self._abandoned)
            self._abandoned = []

    def _next_group(self) -> list[Ticket]:
        group, count = [self._queue.popleft()], 0
        count = len(group[0].entries)
        while self._queue and count + len(self._queue[0].entries) <= GROUP_BLOCKS_MAX:
            group.append(self._queue.popleft())
            count += len(group[-1].entries)
        return group

    def _commit_group(self, group: list[Ticket]) -> None:
        try:
            self._commit(group)
        except BaseException as error:  # whatever it is, each caller that waits must hear of it
            for ticket in group:
                ticket.error = _translate(error)
            if not isinstance(error, Exception):
                raise
        finally:
            for ticket in group:
                ticket.done = True

    def _commit(self, group: list[Ticket]) -> None:
        digests = {digest for ticket in group for digest in ticket.plain}
        with self._database.read() as c:
            missing = digests - rows.live_digests(c, digests)
        written: dict[bytes, rows.BlockRow] = {}
        for _ in range(VANISHED_TRIES_MAX):
            extents = self._write(group, missing, written)
            try:
                self._commit_rows(group, digests, written, extents)
            except _Vanished as vanished:
                missing = vanished.digests
                continue
            except BaseException:
                self._abandoned += self._writer.give_up(cut=False)
                raise
            self._writer.confirm()
            self._abandoned = []
            return
        raise RuntimeError("blocks vanish as fast as they are looked up")

    def _write(self, group: list[Ticket], missing: set[bytes], written: dict[bytes, rows.BlockRow]) -> list[Extent]:
        """Makes the bytes of ``missing`` durable and notes where they lie in ``written``."""
        try:
            for digest in sorted(missing):
                written[digest] = self._append(group, digest)
            return self._writer.sync()
        except BaseException:
            self._abandoned += self._writer.give_up(cut=True)
            raise

    def _append(self, group: list[Ticket], digest: bytes) -> rows.BlockRow:
        ticket = next(ticket for ticket in group if digest in ticket.plain)
        stored = ticket.encoded.get(digest) or encode_block(digest, ticket.plain[digest], compress=self._compress)
        place = self._writer.append(stored)
        return rows.BlockRow(digest, place.pack, place.offset, place.stored_length, place.codec)

    def _commit_rows(
        self, group: list[Ticket], digests: set[bytes], written: dict[bytes, rows.BlockRow], extents: list[Extent]
    ) -> None:
        with self._database.write() as c:
            generation = rows.current_generation(c)
            others = digests - written.keys()
            vanished = others - rows.touch_live(c, others, generation)
            if vanished:
                raise _Vanished(vanished)
            rows.close_packs(c, self._abandoned)
            for extent in extents:
                rows.set_pack(c, extent.pack, extent.size_bytes, closed=extent.closed)
            rows.put_rows(c, list(written.values()), generation)
            for ticket in group:
                self._refer(c, ticket)

    def _refer(self, c: Connection, ticket: Ticket) -> None:
        ticket.error = None
        try:
            with c.begin_nested():
                if not snapshots.touch(c, ticket.snapshot_id, now=self._clock()):
                    raise _refusal(c, ticket.snapshot_id)
                rows.put_pending(c, ticket.snapshot_id, ticket.entries)
                if ticket.alongside is not None:
                    ticket.alongside(c)
        except Exception as error:  # noqa: BLE001 - it is the caller's own, and is raised in the caller's thread
            ticket.error = error


def _translate(error: BaseException) -> BaseException:
    if isinstance(error, OSError) and error.errno in FULL:
        return StorageFull()
    return error


def _refusal(c: Connection, snapshot_id: str) -> Exception:
    snapshot = snapshots.get(c, snapshot_id)
    if snapshot is None:
        return NotFound("snapshot", [snapshot_id])
    state = (
        "being completed"
        if snapshot.changed_block_count is not None and snapshot.state == "pending"
        else snapshot.state
    )
    return SnapshotNotPending(snapshot_id=snapshot_id, state=state)
