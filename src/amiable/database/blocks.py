"""Rows of the block store: packs, the index of blocks, leaves, and the pending blocks of snapshots being written.

The statements take a connection: which of them must share a transaction is said in ``blocks/`` (rules R1 to R8 of the store).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from amiable.database.schema import block as B
from amiable.database.schema import generation as G
from amiable.database.schema import leaf as L
from amiable.database.schema import pack as P
from amiable.database.schema import pending_block as PB
from amiable.database.schema import snapshot_leaf as SL

VALUES_MAX = 500
"""Parameters of one ``IN`` list."""


@dataclass(frozen=True, slots=True)
class BlockRow:
    """Where a block's bytes lie."""

    digest: bytes
    pack: str
    offset: int
    stored_length: int
    codec: int


@dataclass(frozen=True, slots=True)
class PackRow:
    """A pack and how many of its bytes are durable."""

    id: str
    state: str
    size_bytes: int


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """``values`` in runs that fit one statement."""
    for start in range(0, len(values), VALUES_MAX):
        yield values[start : start + VALUES_MAX]


def _upsert(c: Connection, table: Table) -> Any:
    return postgresql.insert(table) if c.dialect.name == "postgresql" else sqlite.insert(table)


# ── generation, packs ───────────────────────────────────────────────────────────────────────────────────────────────────


def current_generation(c: Connection) -> int:
    """The collector's clock; made at 1 where there is none yet."""
    number = c.execute(select(func.max(G.c.number))).scalar()
    if number is None:
        c.execute(insert(G).values(number=1))
        number = 1
    return int(number)


def insert_pack(c: Connection, pack_id: str, *, now: datetime) -> None:
    """Records a pack before its file exists."""
    c.execute(insert(P).values(id=pack_id, state="open", size_bytes=0, created_at=now))


def set_pack(c: Connection, pack_id: str, size_bytes: int, *, closed: bool) -> None:
    """Records how much of a pack is durable, and whether more may come."""
    c.execute(update(P).where(P.c.id == pack_id).values(size_bytes=size_bytes, state="closed" if closed else "open"))


def close_packs(c: Connection, pack_ids: Sequence[str]) -> None:
    """Records that no more comes into these packs; their size stays as it was last recorded."""
    if pack_ids:
        c.execute(update(P).where(P.c.id.in_(pack_ids)).values(state="closed"))


def delete_pack(c: Connection, pack_id: str) -> None:
    """Forgets a pack that no block lies in."""
    c.execute(delete(P).where(P.c.id == pack_id))


def open_packs(c: Connection) -> list[PackRow]:
    """Packs that were being written."""
    return [
        PackRow(*row)
        for row in c.execute(select(P.c.id, P.c.state, P.c.size_bytes).where(P.c.state == "open").order_by(P.c.id))
    ]


def packs_size_bytes(c: Connection) -> int:
    """Durable bytes of all packs."""
    return int(c.execute(select(func.coalesce(func.sum(P.c.size_bytes), 0))).scalar_one())


# ── the index ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def live_digests(c: Connection, digests: Iterable[bytes]) -> set[bytes]:
    """Which of ``digests`` have live bytes.  A hint unless it is asked in the transaction that references them."""
    found: set[bytes] = set()
    for some in chunks(list(digests)):
        found.update(c.execute(select(B.c.digest).where(B.c.digest.in_(some), B.c.state == "live")).scalars())
    return found


def touch_live(c: Connection, digests: Iterable[bytes], generation: int) -> set[bytes]:
    """Sets the generation of each live row among ``digests`` (rule R1) and returns those digests: the misses are the rest."""
    found: set[bytes] = set()
    for some in chunks(list(digests)):
        hit = (B.c.digest.in_(some)) & (B.c.state == "live")
        found.update(c.execute(update(B).where(hit).values(generation=generation).returning(B.c.digest)).scalars())
    return found


def put_rows(c: Connection, rows: Sequence[BlockRow], generation: int) -> None:
    """Inserts live rows; a condemned row of the same digest is replaced by the new place (rule R5)."""
    for some in chunks(rows):
        values = [
            {
                "digest": row.digest,
                "pack": row.pack,
                "offset": row.offset,
                "stored_length": row.stored_length,
                "codec": row.codec,
                "key_id": 0,
                "state": "live",
                "generation": generation,
            }
            for row in some
        ]
        statement = _upsert(c, B)
        replaced = {
            name: statement.excluded[name]
            for name in ("pack", "offset", "stored_length", "codec", "key_id", "state", "generation")
        }
        c.execute(statement.on_conflict_do_update(index_elements=[B.c.digest], set_=replaced), values)


def find_blocks(c: Connection, digests: Iterable[bytes]) -> dict[bytes, BlockRow]:
    """The live rows of ``digests``."""
    found: dict[bytes, BlockRow] = {}
    columns = select(B.c.digest, B.c.pack, B.c.offset, B.c.stored_length, B.c.codec)
    for some in chunks(list(digests)):
        for row in c.execute(columns.where(B.c.digest.in_(some), B.c.state == "live")):
            found[row.digest] = BlockRow(*row)
    return found


# ── maps ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def put_pending(c: Connection, snapshot_id: str, entries: Sequence[tuple[int, bytes]]) -> None:
    """Records blocks of a pending snapshot; of one index the last counts."""
    last = dict(entries)
    rows = [{"snapshot_id": snapshot_id, "index": index, "digest": digest} for index, digest in last.items()]
    for some in chunks(rows):
        statement = _upsert(c, PB)
        changed = {"digest": statement.excluded.digest}
        c.execute(
            statement.on_conflict_do_update(index_elements=[PB.c.snapshot_id, PB.c.index], set_=changed), list(some)
        )


def pending(
    c: Connection, snapshot_id: str, *, start: int = 0, end: int | None = None, limit: int | None = None
) -> list[tuple[int, bytes]]:
    """Pending blocks with ``start`` ≤ index < ``end``, ascending."""
    query = select(PB.c.index, PB.c.digest).where(PB.c.snapshot_id == snapshot_id, PB.c.index >= start)
    if end is not None:
        query = query.where(PB.c.index < end)
    return [(index, digest) for index, digest in c.execute(query.order_by(PB.c.index).limit(limit))]


def pending_count(c: Connection, snapshot_id: str) -> int:
    """How many pending blocks there are."""
    return int(c.execute(select(func.count()).select_from(PB).where(PB.c.snapshot_id == snapshot_id)).scalar_one())


def pending_digests(c: Connection, snapshot_id: str) -> Iterator[bytes]:
    """The digests of all pending blocks, by ascending index."""
    yield from c.execute(select(PB.c.digest).where(PB.c.snapshot_id == snapshot_id).order_by(PB.c.index)).scalars()


def delete_pending(c: Connection, snapshot_id: str, *, start: int = 0, end: int | None = None) -> None:
    """Removes pending blocks with ``start`` ≤ index < ``end``."""
    query = delete(PB).where(PB.c.snapshot_id == snapshot_id, PB.c.index >= start)
    c.execute(query if end is None else query.where(PB.c.index < end))


def put_leaf(c: Connection, snapshot_id: str, position: int, digest: bytes, body: bytes) -> None:
    """Makes the leaf, unless another snapshot shares it already, the snapshot's leaf at ``position``."""
    c.execute(_upsert(c, L).on_conflict_do_nothing(index_elements=[L.c.digest]), {"digest": digest, "body": body})
    statement = _upsert(c, SL)
    swung = {"leaf": statement.excluded.leaf}
    row = {"snapshot_id": snapshot_id, "position": position, "leaf": digest}
    c.execute(statement.on_conflict_do_update(index_elements=[SL.c.snapshot_id, SL.c.position], set_=swung), row)


def get_leaf(c: Connection, snapshot_id: str, position: int) -> bytes | None:
    """The body of the snapshot's leaf at ``position``."""
    query = (
        select(L.c.body)
        .join(SL, SL.c.leaf == L.c.digest)
        .where(SL.c.snapshot_id == snapshot_id, SL.c.position == position)
    )
    return c.execute(query).scalar()


def positions(c: Connection, snapshot_id: str, *, start: int = 0) -> list[int]:
    """The positions, from ``start``, at which the snapshot has a leaf, ascending."""
    query = select(SL.c.position).where(SL.c.snapshot_id == snapshot_id, SL.c.position >= start)
    return list(c.execute(query.order_by(SL.c.position)).scalars())


def leaf_names(c: Connection, snapshot_id: str, *, start: int = 0) -> dict[int, bytes]:
    """Position → name of each leaf of the snapshot, from the position ``start`` on."""
    query = select(SL.c.position, SL.c.leaf).where(SL.c.snapshot_id == snapshot_id, SL.c.position >= start)
    return {row.position: row.leaf for row in c.execute(query)}


def inherit_leaves(c: Connection, snapshot_id: str, parent_id: str) -> None:
    """Gives the snapshot its parent's leaves: a reference of its own, so that the parent may go."""
    columns = ["snapshot_id", "position", "leaf"]
    c.execute(
        insert(SL).from_select(
            columns, select(literal(snapshot_id), SL.c.position, SL.c.leaf).where(SL.c.snapshot_id == parent_id)
        )
    )


def drop_map(c: Connection, snapshot_id: str) -> None:
    """Removes the snapshot's map: pending blocks, its leaves, and every leaf that no other snapshot shares."""
    delete_pending(c, snapshot_id)
    mine = list(c.execute(select(SL.c.leaf).where(SL.c.snapshot_id == snapshot_id)).scalars())
    c.execute(delete(SL).where(SL.c.snapshot_id == snapshot_id))
    for some in chunks(mine):
        c.execute(delete(L).where(L.c.digest.in_(some), ~select(SL.c.leaf).where(SL.c.leaf == L.c.digest).exists()))


def drop_leaf_if_unshared(c: Connection, digest: bytes) -> None:
    """Removes a leaf that a snapshot has just swung away from, unless another holds it."""
    c.execute(delete(L).where(L.c.digest == digest, ~select(SL.c.leaf).where(SL.c.leaf == L.c.digest).exists()))


def leaves_of(c: Connection, snapshot_ids: Sequence[str]) -> Iterator[bytes]:
    """The bodies of the leaves that one of the snapshots has, each once."""
    mine = select(SL.c.leaf).where(SL.c.snapshot_id.in_(snapshot_ids))
    yield from c.execute(select(L.c.body).where(L.c.digest.in_(mine)).execution_options(yield_per=64)).scalars()


def leaves_of_others(c: Connection, snapshot_ids: Sequence[str]) -> Iterator[bytes]:
    """The bodies of the leaves that a snapshot beside these has, each once."""
    others = select(SL.c.leaf).where(SL.c.snapshot_id.not_in(snapshot_ids))
    yield from c.execute(select(L.c.body).where(L.c.digest.in_(others)).execution_options(yield_per=64)).scalars()


def pending_of_others(c: Connection, snapshot_ids: Sequence[str]) -> Iterator[bytes]:
    """The digests of the pending blocks of all snapshots beside these."""
    query = select(PB.c.digest).where(PB.c.snapshot_id.not_in(snapshot_ids)).distinct()
    yield from c.execute(query.execution_options(yield_per=1000)).scalars()


def all_leaves(c: Connection) -> Iterator[bytes]:
    """The bodies of all leaves."""
    yield from c.execute(select(L.c.body).execution_options(yield_per=64)).scalars()


def all_pending_digests(c: Connection) -> Iterator[bytes]:
    """The digests of all pending blocks of all snapshots."""
    yield from c.execute(select(PB.c.digest).distinct().execution_options(yield_per=1000)).scalars()


def all_sizes(c: Connection) -> Iterator[tuple[bytes, int]]:
    """Digest and stored length of every live block."""
    for row in c.execute(
        select(B.c.digest, B.c.stored_length).where(B.c.state == "live").execution_options(yield_per=1000)
    ):
        yield row.digest, row.stored_length
