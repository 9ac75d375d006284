"""The store against a model of it: whatever is written, inherited, dropped, and however often it is opened anew."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from amiable.blocks.export_map import ExportMap
from amiable.blocks.pack import read_place
from amiable.blocks.store import BlockStore
from amiable.database import snapshots
from amiable.model.block_map import ZERO_BLOCK, ZERO_DIGEST
from amiable.model.units import BLOCK_BYTES
from tests.blocks.conftest import make_database, make_snapshot

CONTENTS = [ZERO_BLOCK, *(bytes([number]) * BLOCK_BYTES for number in range(1, 4))]
blocks = st.lists(
    st.tuples(st.sampled_from([0, 1, 2047, 2048, 4095, 8191]), st.integers(0, len(CONTENTS) - 1)),
    min_size=1,
    max_size=4,
)
"""Indexes, and which of ``CONTENTS`` to write there."""


class StoreMachine(RuleBasedStateMachine):
    """``model`` is what each snapshot must read as: index → bytes."""

    pending = Bundle("pending")
    completed = Bundle("completed")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.database = make_database(self.folder)
        self.store = BlockStore.open(self.database, self.folder / "packs")
        self.model: dict[str, dict[int, bytes]] = {}

    def teardown(self) -> None:
        self.store.close()
        self.database.close()
        shutil.rmtree(self.folder)

    @rule(target=pending)
    def start(self) -> str:
        name = f"snap-{len(self.model)}"
        self.model[name] = {}
        return make_snapshot(self.database, name)

    @rule(target=pending, parent=completed)
    def start_from(self, parent: str) -> str:
        name = f"snap-{len(self.model)}"
        make_snapshot(self.database, name, parent_id=parent)
        with self.database.write() as c:
            self.store.inherit(c, name, parent)
        self.model[name] = dict(self.model[parent])
        return name

    @rule(snapshot=pending, written=blocks)
    def write(self, snapshot: str, written: list[tuple[int, int]]) -> None:
        plain = [(index, CONTENTS[content]) for index, content in written]
        self.store.write(snapshot, plain)
        self.model[snapshot] |= dict(plain)

    @rule(target=completed, snapshot=consumes(pending))
    def complete(self, snapshot: str) -> str:
        self.store.complete(snapshot)
        return snapshot

    @rule(snapshot=consumes(completed))
    def delete(self, snapshot: str) -> None:
        with self.database.write() as c:
            self.store.drop(c, snapshot)
            snapshots.delete_row(c, snapshot)
        self.model[snapshot] = {}

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = BlockStore.open(self.database, self.folder / "packs")

    @rule(snapshot=completed)
    def export(self, snapshot: str) -> None:
        self.store.export_map(snapshot, self.folder / "map")
        opened = ExportMap(self.folder / "map")
        entries = [opened.entry(at) for at in range(len(opened))]
        read = {entry.index: read_place(self.folder / "packs", entry.place, entry.digest) for entry in entries}
        opened.close()
        assert read == {index: plain for index, plain in self.model[snapshot].items() if plain != ZERO_BLOCK}

    @invariant()
    def every_snapshot_reads_as_the_model(self) -> None:
        for snapshot, expected in self.model.items():
            listed = self.store.blocks_of(snapshot)
            assert [index for index, _ in listed] == sorted(expected)
            for index, digest in listed:
                assert self.store.read(snapshot, index) == expected[index]
                assert (digest == ZERO_DIGEST) == (expected[index] == ZERO_BLOCK)

    @invariant()
    def what_nothing_refers_to_is_reclaimable(self) -> None:
        used = {plain for blocks_ in self.model.values() for plain in blocks_.values() if plain != ZERO_BLOCK}
        assert self.store.reclaimable_bytes() >= 0
        if len(used) == len(CONTENTS) - 1:
            assert self.store.reclaimable_bytes() == 0


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
