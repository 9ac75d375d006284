"""Random reads: the law (a read is the slice), what is read for one, and what one is protected by."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.bundle.assurance import Assurance, read_beside
from amiable.bundle.dsse import load_trusted_keys
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.random_access import READ_BYTES_MAX, RandomReader, RangeReader, folder_ranges, open_random
from amiable.bundle.recorder import Recorder
from amiable.bundle.unbundle import read_bundle
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import Manifest
from amiable.model.units import BLOCK_BYTES, KIB, MIB
from tests.bundle.conftest import sparse_file

Pem = Callable[[str], bytes]


@dataclass(frozen=True)
class Opened:
    """A bundle in a folder, verified, and its image."""

    folder: Path
    manifest: Manifest
    assurance: Assurance
    image: bytes


@contextmanager
def bundled(pem: Pem, size_bytes: int, extents: dict[int, bytes], level: int = 0) -> Iterator[Opened]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = sparse_file(folder / "image", size_bytes, extents)
        pair = (pem("user.crt"), pem("user.key"), pem("ec2.crt"))
        with Recorder() as recorder:
            recipe = Recipe(image, "disk.img", "123456789012", "x86_64", *pair, level=level)
            path = create(recipe, folder, recorder=recorder)
        manifest = read_bundle(path, pem("user.crt"))
        assurance = read_beside(path, manifest, load_trusted_keys(pem("user.crt")))
        assert assurance is not None
        yield Opened(folder, manifest, assurance, image.read_bytes())


def reader_of(opened: Opened, pem: Pem, ranges: RangeReader | None = None) -> RandomReader:
    return open_random(opened.manifest, opened.assurance, ranges or folder_ranges(opened.folder), pem("user.key"))


@pytest.fixture(scope="module")
def large(pem: Pem) -> Iterator[Opened]:
    """Three parts of noise with holes between, and a chunk that straddles two parts."""
    noise = os.urandom(25 * MIB)
    with bundled(
        pem, 70 * MIB + 1, {3: noise[: 12 * MIB], 40 * MIB + 8 * KIB: noise[12 * MIB :], 70 * MIB: b"."}, 2
    ) as made:
        assert len(made.manifest.parts) == 3
        yield made


# ── the law ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def sparse_images(draw: st.DrawFn) -> tuple[int, dict[int, bytes]]:
    """A size and extents, their edges near those of sectors, pages, blocks, chunks and the image."""
    size_bytes = draw(st.integers(1, 5 * MIB))
    edges = st.sampled_from([512, 4 * KIB, BLOCK_BYTES, MIB]).flatmap(
        lambda unit: st.integers(0, max(0, size_bytes // unit)).map(lambda count: count * unit)
    )
    places = st.tuples(edges, st.integers(-600, 600)).map(lambda pair: min(size_bytes - 1, max(0, sum(pair))))
    extents = {}
    for offset in draw(st.lists(places, max_size=6)):
        length = draw(st.one_of(st.integers(1, 5000), st.integers(1, 2 * MIB)))
        seed = draw(st.sampled_from([b"", b"\0", b"a", b"seed"]))
        data = hashlib.shake_128(seed).digest(length) if seed == b"seed" else (seed or b"\0\1") * length
        extents[offset] = data[: min(length, size_bytes - offset)]
    return size_bytes, extents


@settings(max_examples=15, deadline=None)
@given(sparse_images(), st.data())
def test_a_random_read_is_the_slice(pem: Pem, sparse: tuple[int, dict[int, bytes]], data: st.DataObject) -> None:
    with bundled(pem, *sparse) as opened:
        reader = reader_of(opened, pem)
        for _ in range(8):
            offset = data.draw(st.integers(0, len(opened.image) + 10))
            size = data.draw(st.integers(0, 2 * MIB))
            assert reader.read(offset, size) == opened.image[offset : offset + size]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 70 * MIB + 1), st.integers(0, 3 * MIB))
def test_a_random_read_across_parts_is_the_slice(large: Opened, pem: Pem, offset: int, size: int) -> None:
    assert reader_of(large, pem).read(offset, size) == large.image[offset : offset + size]


def test_all_blocks_read_backwards_are_the_image(large: Opened, pem: Pem) -> None:
    reader = reader_of(large, pem)
    count = -(-len(large.image) // BLOCK_BYTES)
    blocks = [reader.block(index) for index in reversed(range(count))]
    assert b"".join(reversed(blocks))[: len(large.image)] == large.image


def test_the_clouds_key_reads_too(large: Opened, pem: Pem) -> None:
    reader = open_random(large.manifest, large.assurance, folder_ranges(large.folder), pem("ec2.key"))
    assert reader.read(5 * MIB, 100) == large.image[5 * MIB : 5 * MIB + 100]


def test_a_stranger_reads_nothing(large: Opened, pem: Pem) -> None:
    with pytest.raises(BundleRefusal) as refused:
        open_random(large.manifest, large.assurance, folder_ranges(large.folder), pem("other.key"))
    assert refused.value.stage == "key"


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Counted:
    """Ranges of a folder, and the bytes that were read."""

    ranges: RangeReader
    read_bytes: int = 0
    largest: int = 0

    def __call__(self, filename: str, offset: int, size: int) -> bytes:
        self.read_bytes += size
        self.largest = max(self.largest, size)
        return self.ranges(filename, offset, size)


def test_a_block_costs_the_two_chunks_that_hold_it_and_a_hole_nothing(large: Opened, pem: Pem) -> None:
    counted = Counted(folder_ranges(large.folder))
    reader = reader_of(large, pem, counted)
    reader.block(10)
    assert counted.read_bytes <= 2 * (MIB + 8 * KIB)
    before = counted.read_bytes
    assert reader.block(50) == bytes(BLOCK_BYTES)
    assert counted.read_bytes == before


def test_reads_in_order_fetch_each_chunk_once(large: Opened, pem: Pem) -> None:
    counted = Counted(folder_ranges(large.folder))
    reader = reader_of(large, pem, counted)
    for offset in range(0, len(large.image), 256 * KIB):
        reader.read(offset, 256 * KIB)
    assert counted.read_bytes < 1.01 * large.manifest.bundled_size_bytes
    assert counted.largest <= MIB + 64 * KIB


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, -1), (0, READ_BYTES_MAX + 1)])
def test_reads_out_of_bounds_are_refused(large: Opened, pem: Pem, offset: int, size: int) -> None:
    with pytest.raises(LocalRefusal):
        reader_of(large, pem).read(offset, size)


# ── what protects it ────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=30, deadline=None)
@given(place=st.integers(0, 10**9), flip=st.integers(1, 255))
def test_a_flipped_byte_in_a_part_is_never_read(large: Opened, pem: Pem, place: int, flip: int) -> None:
    """Each block is the image's, or refused; and a flip in what a block is made of is refused."""
    place %= large.manifest.bundled_size_bytes
    ranges = folder_ranges(large.folder)

    def flipped(filename: str, offset: int, size: int) -> bytes:
        start = 10 * MIB * int(filename.rpartition(".")[2]) + offset
        data = bytearray(ranges(filename, offset, size))
        if start <= place < start + size:
            data[place - start] ^= flip
            touched.append(place)
        return bytes(data)

    touched: list[int] = []
    reader = reader_of(large, pem, flipped)
    # Noise does not pack, so what lies at ``place`` of the parts lies about there in the tar stream.
    near = place + 3 if place < 12 * MIB else place + 28 * MIB
    refused = 0
    for index in range(max(0, near // BLOCK_BYTES - 3), min(near // BLOCK_BYTES + 4, len(large.image) // BLOCK_BYTES)):
        try:
            block = reader.block(index)
        except BundleRefusal:
            refused += 1
        else:
            assert block == large.image[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]
    is_covered = 16 * KIB < place < large.manifest.bundled_size_bytes - MIB
    assert refused or not is_covered, touched


def test_parts_that_are_missing_short_or_swapped_are_refused(large: Opened, pem: Pem, tmp_path: Path) -> None:
    names = [part.filename for part in large.manifest.parts]
    ranges = folder_ranges(large.folder)
    cases: dict[str, RangeReader] = {
        "is missing": folder_ranges(tmp_path),
        "ends before": lambda name, offset, size: ranges(name, offset, size)[:-1],
        "Chunk|Block": lambda name, offset, size: ranges(names[1] if name == names[0] else names[0], offset, size),
    }
    for words, lying in cases.items():
        with pytest.raises(BundleRefusal, match=words):
            reader_of(large, pem, lying).block(5)


def test_a_sidecar_without_tables_says_so(large: Opened, pem: Pem) -> None:
    with bundled(pem, MIB, {0: b"x"}) as other:
        with pytest.raises(BundleRefusal, match="does not open with the bundle's key"):
            reader_of(replace(large, assurance=other.assurance), pem)


def test_an_image_beyond_the_tables_limits_has_digests_alone(pem: Pem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amiable.bundle.recorder.BLOCKS_MAX", 2)
    with (
        bundled(pem, 4 * MIB, {0: b"x" * (3 * MIB)}) as opened,
        pytest.raises(BundleRefusal, match="too large for them"),
    ):
        reader_of(opened, pem)
