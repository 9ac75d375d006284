"""The exporter's map: what is encoded is found, and what is damaged is refused."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.blocks.export_map import Entry, ExportMap, MapDamaged, encode_map
from amiable.blocks.pack import Place
from amiable.blocks.store import BlockStore
from amiable.database.connect import Database
from amiable.model.block_map import ZERO_BLOCK
from amiable.model.errors import NotFound, SnapshotNotPending
from amiable.model.units import BLOCK_BYTES, GIB
from tests.blocks.test_store import NewSnapshot, text

PACKS = ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"]
place = st.builds(
    Place, st.sampled_from(PACKS), st.integers(0, 1 << 26), st.integers(0, BLOCK_BYTES), st.integers(0, 1)
)
entry_maps = st.dictionaries(st.integers(0, 200), st.tuples(st.binary(min_size=32, max_size=32), place), max_size=40)


@settings(max_examples=60, deadline=None)
@given(entry_maps, st.integers(1, 1 << 62))
def test_what_is_encoded_is_found(given_: dict[int, tuple[bytes, Place]], size: int) -> None:
    entries = [Entry(index, *given_[index]) for index in sorted(given_)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        path.write_bytes(encode_map(size, entries))
        opened = ExportMap(path)
        assert (opened.size_bytes, len(opened)) == (size, len(entries))
        assert [opened.entry(at) for at in range(len(opened))] == entries
        for index in range(202):
            found = opened.find(index)
            assert (found is None) == (index not in given_)
            assert found is None or found == Entry(index, *given_[index])
            assert opened.next_data(index) == min((known for known in given_ if known >= index), default=None)
        opened.close()


def test_a_damaged_map_is_refused_whatever_was_damaged(tmp_path: Path) -> None:
    body = encode_map(GIB, [Entry(3, os.urandom(32), Place(PACKS[0], 0, 10, 0))])
    path = tmp_path / "m"
    for at in range(len(body)):
        path.write_bytes(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
        with pytest.raises(MapDamaged):
            ExportMap(path)
    for length in (0, 1, 24, 60, len(body) - 1):
        path.write_bytes(body[:length])
        with pytest.raises(MapDamaged):
            ExportMap(path)
    path.write_bytes(body + b"x")
    with pytest.raises(MapDamaged):
        ExportMap(path)


def test_the_store_writes_the_map_of_a_completed_snapshot(
    store: BlockStore, database: Database, new_snapshot: NewSnapshot, tmp_path: Path
) -> None:
    snapshot = new_snapshot("snap-1")
    store.write(snapshot, [(0, text(1)), (1, ZERO_BLOCK), (4000, text(2)), (4001, text(1))])
    with pytest.raises(SnapshotNotPending, match="not completed"):
        store.export_map(snapshot, tmp_path / "m")
    with pytest.raises(NotFound):
        store.export_map("snap-404", tmp_path / "m")
    store.complete(snapshot)
    store.export_map(snapshot, tmp_path / "m")
    opened = ExportMap(tmp_path / "m")
    assert opened.size_bytes == 4 * GIB
    assert [opened.entry(at).index for at in range(len(opened))] == [0, 4000, 4001]
    assert opened.entry(0).place == opened.entry(2).place
    opened.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file() and path.name.startswith("m")) == ["m"]
