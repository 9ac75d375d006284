"""What would come free with snapshots is what does: exactly, whatever they share."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.blocks.store import BlockStore
from amiable.database import snapshots
from amiable.model.units import BLOCK_BYTES
from tests.blocks.conftest import make_database, make_snapshot

CONTENTS = [bytes([seed]) * BLOCK_BYTES for seed in range(4)]  # the first is all zeros
LEAF_BLOCKS = 2048
ENTRIES = st.dictionaries(st.sampled_from([0, 1, LEAF_BLOCKS, LEAF_BLOCKS + 1]), st.integers(0, 3), max_size=4)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(ENTRIES, st.booleans()), min_size=1, max_size=4), st.data())
def test_the_bytes_promised_are_those_that_become_reclaimable(
    made: list[tuple[dict[int, int], bool]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        database = make_database(Path(folder))
        store = BlockStore.open(database, Path(folder) / "packs")
        try:
            ids = []
            for number, (entries, is_completed) in enumerate(made):
                snapshot_id = make_snapshot(database, f"snap-{number:08x}")
                if entries:
                    store.write(snapshot_id, [(index, CONTENTS[seed]) for index, seed in entries.items()])
                if is_completed:
                    store.complete(snapshot_id)
                ids.append(snapshot_id)
            doomed = data.draw(st.lists(st.sampled_from(ids), unique=True))
            with database.read() as c:
                promised = store.unshared_bytes(c, doomed)
            before = store.reclaimable_bytes()
            with database.write() as c:
                for snapshot_id in doomed:
                    store.drop(c, snapshot_id)
                    snapshots.delete_row(c, snapshot_id)
            assert store.reclaimable_bytes() - before == promised
        finally:
            store.close()
            database.close()
