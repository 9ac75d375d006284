"""What is noted while a bundle is made."""

import hashlib
import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.bundle.block_digests import BlockDigests
from amiable.bundle.recorder import Recorder
from amiable.model.units import BLOCK_BYTES
from amiable.rules.content_digest import content_digest

SECRETS = (bytes(16), bytes(16))


def digests_of(image: bytes) -> list[tuple[int, bytes]]:
    """Index and SHA-256 of every block of ``image`` that is not all zeros, the plain way."""
    padded = image.ljust(-(-len(image) // BLOCK_BYTES) * BLOCK_BYTES, b"\0")
    blocks = [padded[at : at + BLOCK_BYTES] for at in range(0, len(padded), BLOCK_BYTES)]
    return [(index, hashlib.sha256(block).digest()) for index, block in enumerate(blocks) if any(block)]


@st.composite
def pieces_of_an_image(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int]]]:
    """An image, and where pieces of it lie, in order and apart; it is zeros elsewhere."""
    size_bytes = draw(st.integers(1, 4 * BLOCK_BYTES))
    cuts = sorted(draw(st.lists(st.integers(0, size_bytes), max_size=12)))
    pieces = [(start, end - start) for start, end in pairwise(cuts) if end > start and draw(st.booleans())]
    image = bytearray(size_bytes)
    for start, length in pieces:
        pattern = draw(st.sampled_from([b"\0\0", b"aa", b"\0b"]))
        image[start : start + length] = (pattern * length)[:length]
    return bytes(image), pieces


@settings(max_examples=40, deadline=None)
@given(pieces_of_an_image())
def test_blocks_have_the_digests_that_the_whole_image_gives(made: tuple[bytes, list[tuple[int, int]]]) -> None:
    image, pieces = made
    with Recorder() as recorder:
        recorder.begin(len(image), 1024, SECRETS)
        for start, length in pieces:
            recorder.data(start, memoryview(image)[start : start + length])
        assert recorder.content_digest() == content_digest(len(image), digests_of(image))
    found = [bytes(recorder.block_digests[at : at + 32]) for at in range(0, len(recorder.block_digests), 32)]
    assert list(zip(recorder.block_indexes, found, strict=True)) == digests_of(image)


def test_pieces_that_touch_are_one_extent() -> None:
    with Recorder() as recorder:
        recorder.begin(4096, 512, SECRETS)
        for offset in (0, 512, 1024, 3072):
            recorder.data(offset, b"x" * 512)
        assert list(recorder.extent_offsets) == [0, 3072]
        assert list(recorder.extent_lengths) == [1536, 512]


def test_pieces_out_of_order_are_a_programmers_error() -> None:
    with Recorder() as recorder, pytest.raises(AssertionError):
        recorder.begin(2 * BLOCK_BYTES, 512, SECRETS)
        recorder.data(BLOCK_BYTES, b"x")
        recorder.data(0, b"x")


@pytest.mark.parametrize("limit", ["BLOCKS_MAX", "CHUNKS_MAX", "EXTENTS_MAX"])
def test_beyond_a_limit_the_tables_are_given_up_and_the_digest_is_not(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"amiable.bundle.recorder.{limit}", 3)
    image = b"".join(bytes([number]) * 512 + bytes(BLOCK_BYTES - 512) for number in range(1, 8))
    with Recorder() as recorder:
        recorder.begin(len(image), 512, SECRETS)
        for at in range(0, len(image), BLOCK_BYTES):
            recorder.data(at, image[at : at + 512])
            recorder.chunk(1 << 20, 100)
        assert recorder.content_digest() == content_digest(len(image), digests_of(image))
    assert not recorder.is_complete
    assert max(len(recorder.block_indexes), len(recorder.extent_offsets), len(recorder.chunk_bytes)) <= 7


def test_its_threads_end_with_it() -> None:
    before = set(threading.enumerate())
    with BlockDigests(lambda *_: None) as blocks:
        for index in range(40):
            blocks.add(index * BLOCK_BYTES, bytes(BLOCK_BYTES))
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before
