"""What the exporter reads of a volume, whatever the cache holds."""

import itertools
import random
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.blocks.cache import VolumeBlocks
from amiable.blocks.export_map import Entry, encode_map
from amiable.blocks.pack import Place, encode_block
from amiable.model.units import BLOCK_BYTES

PACK = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
DATA = (0, 1, 4, 6, 7)
COUNT = 9
SIZE = COUNT * BLOCK_BYTES + 1234


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A folder with a pack and a map, and the whole disk that they stand for."""
    folder = tmp_path_factory.mktemp("volume")
    whole = bytearray(SIZE)
    body, entries = b"", []
    for index in DATA:
        plain = random.Random(index).randbytes(BLOCK_BYTES) if index % 2 else bytes([index + 1]) * BLOCK_BYTES
        whole[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES] = plain
        stored = encode_block(sha256(plain).digest(), plain, compress=True)
        entries.append(Entry(index, stored.digest, Place(PACK, len(body), len(stored.payload), stored.codec)))
        body += stored.record()
    (folder / PACK).write_bytes(body)
    (folder / "map").write_bytes(encode_map(COUNT * BLOCK_BYTES, entries))
    return folder, bytes(whole)


@pytest.fixture
def volume(disk: tuple[Path, bytes], tmp_path: Path) -> Iterator[VolumeBlocks]:
    """The volume behind a cache of two slots."""
    opened = VolumeBlocks(disk[0] / "map", disk[0], tmp_path / "cache", SIZE, slots=2)
    yield opened
    opened.close()
    assert not (tmp_path / "cache").exists()


ranges = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 3 * BLOCK_BYTES)).map(
    lambda r: (r[0], min(r[1], SIZE - r[0]))
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ranges, min_size=1, max_size=6))
def test_every_range_reads_as_the_disk_has_it(
    volume: VolumeBlocks, disk: tuple[Path, bytes], asked: list[tuple[int, int]]
) -> None:
    for offset, length in asked:
        assert volume.read(offset, length) == disk[1][offset : offset + length]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranges, st.integers(1, 20))
def test_extents_cover_the_range_and_tell_holes(volume: VolumeBlocks, asked: tuple[int, int], count: int) -> None:
    offset, length = asked
    extents = volume.extents(offset, length, count)
    assert 1 <= len(extents) <= count and all(extent.length_bytes > 0 for extent in extents)
    assert all(one.is_data != two.is_data for one, two in itertools.pairwise(extents))
    covered = sum(extent.length_bytes for extent in extents)
    assert covered == length or (covered < length and len(extents) == count)
    at = offset
    for extent in extents:
        touched = range(at // BLOCK_BYTES, (at + extent.length_bytes - 1) // BLOCK_BYTES + 1)
        assert all((index in DATA) == extent.is_data for index in touched)
        at += extent.length_bytes


def test_readers_at_once_over_a_cache_that_is_too_small_each_read_right(
    volume: VolumeBlocks, disk: tuple[Path, bytes]
) -> None:
    wrong: list[int] = []

    def reader(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            offset = chance.randrange(SIZE - 5000)
            if volume.read(offset, 5000) != disk[1][offset : offset + 5000]:
                wrong.append(offset)

    threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert wrong == []


def test_the_cache_is_bounded_and_a_block_in_it_is_fetched_once(disk: tuple[Path, bytes], tmp_path: Path) -> None:
    fetched: list[int] = []
    volume = VolumeBlocks(disk[0] / "map", disk[0], tmp_path / "cache", None, fetched=fetched.append, slots=2)
    for index in (0, 0, 1, 0, 1, 2, 4, 1):
        volume.read(index * BLOCK_BYTES, 10)
    assert fetched == [0, 1, 4]
    volume.read(0, 10)
    assert fetched == [0, 1, 4, 0]
    assert (tmp_path / "cache").stat().st_size <= 2 * BLOCK_BYTES
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o600
    assert volume.size_bytes == COUNT * BLOCK_BYTES
    volume.close()


def test_one_that_is_still_read_and_a_later_one_of_the_same_volume_keep_to_their_own_caches(
    disk: tuple[Path, bytes], tmp_path: Path
) -> None:
    earlier = VolumeBlocks(disk[0] / "map", disk[0], tmp_path / "cache", SIZE, slots=2)
    later = VolumeBlocks(disk[0] / "map", disk[0], tmp_path / "cache", SIZE, slots=2)
    later.read(0, 10)
    earlier.read(BLOCK_BYTES, 10)
    assert later.read(0, 10) == disk[1][:10], "not what the earlier one put into its first slot"
    earlier.close()
    assert (tmp_path / "cache").exists()
    later.close()
    assert not (tmp_path / "cache").exists()
