"""Maps in the database: from pending blocks to leaves, and from a snapshot to its blocks.

A pending snapshot holds its parent's leaves from its start, and its own blocks as rows.  Completion takes one leaf a
transaction: the rows of that GiB go on top of the leaf that stands there, the result becomes the leaf, and the rows go.  A
block is never without a reference, and whoever finds the work half done goes on with it.
"""

from collections.abc import Callable, Iterator

from sqlalchemy import Connection

from amiable.database import blocks as rows
from amiable.database.connect import Database
from amiable.model.block_map import decode_leaf, encode_leaf, find, name_of_leaf, overlay
from amiable.model.units import LEAF_BLOCKS


def convert(database: Database, snapshot_id: str, report: Callable[[Connection, int], None]) -> None:
    """Turns every pending block of a sealed snapshot into leaves; ``report`` is told how many remain, in each transaction."""
    with database.read() as c:
        remaining = rows.pending_count(c, snapshot_id)
    while True:
        with database.write() as c:
            converted = _convert_first(c, snapshot_id)
            if not converted:
                return
            remaining = max(0, remaining - converted)
            report(c, remaining)


def _convert_first(c: Connection, snapshot_id: str) -> int:
    """Converts the first leaf that has pending blocks; how many it had."""
    first = rows.pending(c, snapshot_id, limit=1)
    if not first:
        return 0
    position = first[0][0] // LEAF_BLOCKS
    start, end = position * LEAF_BLOCKS, (position + 1) * LEAF_BLOCKS
    own = {index - start: digest for index, digest in rows.pending(c, snapshot_id, start=start, end=end)}
    below = rows.get_leaf(c, snapshot_id, position)
    body = encode_leaf(overlay(decode_leaf(below) if below is not None else {}, own))
    rows.put_leaf(c, snapshot_id, position, name_of_leaf(body), body)
    if below is not None and below != body:
        rows.drop_leaf_if_unshared(c, name_of_leaf(below))
    rows.delete_pending(c, snapshot_id, start=start, end=end)
    return len(own)


def digest_at(c: Connection, snapshot_id: str, index: int) -> bytes | None:
    """The digest of one block, pending ones included; None where it was never written."""
    own = rows.pending(c, snapshot_id, start=index, end=index + 1)
    if own:
        return own[0][1]
    body = rows.get_leaf(c, snapshot_id, index // LEAF_BLOCKS)
    return None if body is None else find(body, index % LEAF_BLOCKS)


def blocks_of(c: Connection, snapshot_id: str, *, start: int, limit: int) -> list[tuple[int, bytes]]:
    """Up to ``limit`` blocks from ``start`` on, ascending by index, pending ones on top of inherited ones."""
    found: list[tuple[int, bytes]] = []
    inherited = rows.positions(c, snapshot_id, start=start // LEAF_BLOCKS)
    own = _pending_positions(c, snapshot_id, start, limit)
    for position in sorted({*inherited, *own}):
        first = position * LEAF_BLOCKS
        body = rows.get_leaf(c, snapshot_id, position)
        below = decode_leaf(body) if body is not None else {}
        above = {index - first: digest for index, digest in own.get(position, [])}
        entries = overlay(below, above)
        found.extend((first + place, entries[place]) for place in sorted(entries) if first + place >= start)
        if len(found) >= limit:
            break
    return found[:limit]


def changed_blocks(
    c: Connection, first_id: str, second_id: str, *, start: int, limit: int
) -> list[tuple[int, bytes | None, bytes | None]]:
    """Up to ``limit`` blocks from ``start`` on in which two completed snapshots differ: index, digest in the first, in the second.

    Leaves of the same name hold the same: they are not read.
    """
    found: list[tuple[int, bytes | None, bytes | None]] = []
    names = [rows.leaf_names(c, each, start=start // LEAF_BLOCKS) for each in (first_id, second_id)]
    for position in sorted({*names[0], *names[1]}):
        if names[0].get(position) == names[1].get(position):
            continue
        bodies = [rows.get_leaf(c, each, position) for each in (first_id, second_id)]
        one, two = (decode_leaf(body) if body is not None else {} for body in bodies)
        begin = position * LEAF_BLOCKS
        found.extend(
            (begin + place, one.get(place), two.get(place))
            for place in sorted({*one, *two})
            if begin + place >= start and one.get(place) != two.get(place)
        )
        if len(found) >= limit:
            break
    return found[:limit]


def all_blocks(c: Connection, snapshot_id: str) -> Iterator[tuple[int, bytes]]:
    """Every block of a completed snapshot, ascending by index, a leaf at a time."""
    for position in rows.positions(c, snapshot_id):
        body = rows.get_leaf(c, snapshot_id, position)
        assert body is not None
        for place, digest in decode_leaf(body).items():
            yield position * LEAF_BLOCKS + place, digest


def _pending_positions(c: Connection, snapshot_id: str, start: int, limit: int) -> dict[int, list[tuple[int, bytes]]]:
    """Up to ``limit`` pending blocks from ``start`` on, by the leaf they will be in."""
    grouped: dict[int, list[tuple[int, bytes]]] = {}
    for index, digest in rows.pending(c, snapshot_id, start=start, limit=limit):
        grouped.setdefault(index // LEAF_BLOCKS, []).append((index, digest))
    return grouped
