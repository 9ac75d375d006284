"""Where a disk of two layers has data: the overlay's runs, and below its holes the snapshot's blocks."""

import socket
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.blocks import nbd
from amiable.blocks.nbd_client import NbdClient, NbdFailed, Status
from amiable.bundle.layout import merge_runs
from amiable.bundle.sparse_tar import BLOCK as SECTOR
from amiable.jobs.disk_layout import NoBase, data_runs, disk_layout
from amiable.model.units import BLOCK_BYTES
from tests.blocks.test_nbd_client import talking

BLOCKS = 6
SIZE = BLOCKS * BLOCK_BYTES + 1000


class Blocks:
    """A snapshot with these blocks."""

    def __init__(self, indexes: set[int]) -> None:
        self._indexes = sorted(indexes)

    def next_data(self, index: int) -> int | None:
        at = bisect_left(self._indexes, index)
        return self._indexes[at] if at < len(self._indexes) else None


DATA, ZERO, HOLE = (False, False), (True, True), (False, True)


@given(
    cuts=st.lists(st.integers(1, SIZE - 1), unique=True, max_size=8).map(sorted),
    kinds=st.lists(st.sampled_from([DATA, ZERO, HOLE]), min_size=9, max_size=9),
    blocks=st.sets(st.integers(0, BLOCKS)),
    least_hole=st.sampled_from([SECTOR, 64 * SECTOR, BLOCK_BYTES]),
)
def test_a_byte_is_read_if_either_layer_may_have_it_and_hardly_else(
    cuts: list[int], kinds: list[tuple[bool, bool]], blocks: set[int], least_hole: int
) -> None:
    bounds = [0, *cuts, SIZE]
    statuses = [Status(start, end - start, *kind) for start, end, kind in zip(bounds, bounds[1:], kinds, strict=False)]

    def has_data(offset: int) -> bool:
        status = next(each for each in statuses if each.offset <= offset < each.offset + each.length_bytes)
        return not status.is_zero and (not status.is_hole or offset // BLOCK_BYTES in blocks)

    runs = list(data_runs(statuses, Blocks(blocks)))
    extents = merge_runs(runs, SIZE, least_hole=least_hole)
    assert extents is not None
    probes = {point + d for point in (*bounds, *(n * BLOCK_BYTES for n in range(BLOCKS + 1))) for d in (-1, 0, 1)}
    for offset in sorted(probe for probe in probes if 0 <= probe < SIZE):
        assert any(start <= offset < start + length for start, length in runs) == has_data(offset)
        if has_data(offset):
            assert any(start <= offset < start + length for start, length in extents)
    end = 0
    for number, (start, length) in enumerate(extents):
        assert start % SECTOR == 0 and length > 0 and (length % SECTOR == 0 or start + length == SIZE)
        assert start - end >= (least_hole if number else 0)
        end = start + length
    assert end <= SIZE


def test_without_a_base_nothing_lies_below() -> None:
    assert list(data_runs([Status(0, 4096, *HOLE), Status(4096, 4096, *DATA)], NoBase())) == [(4096, 4096)]


@pytest.mark.parametrize("size_bytes", [SIZE - 2 * SECTOR, SIZE])
def test_a_server_whose_disk_has_another_length_is_not_believed(size_bytes: int) -> None:
    disk_bytes = SIZE - SIZE % SECTOR
    export = nbd.Export(
        "", disk_bytes, lambda _, length: bytes(length), lambda _, length, __: [nbd.Extent(length, True)]
    )

    def use(connection: socket.socket) -> None:
        client = NbdClient(connection)
        for exact in (disk_bytes, disk_bytes - 1):  # QEMU's disks have whole sectors
            layout = disk_layout(client, NoBase(), size_bytes=exact, stopped=lambda: None)
            assert (layout.size_bytes, layout.extents) == (disk_bytes, ((0, disk_bytes),))
        with pytest.raises(NbdFailed, match="the disk has "):
            disk_layout(client, NoBase(), size_bytes=size_bytes, stopped=lambda: None)

    talking(lambda connection: nbd.serve(connection, export), use)
