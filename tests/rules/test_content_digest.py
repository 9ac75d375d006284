"""The content digest: its formula by hand, and equality for equal content."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.units import BLOCK_BYTES
from amiable.rules.content_digest import ZERO_BLOCK, content_digest


def test_the_digest_is_the_formula() -> None:
    one, two = b"\1" * BLOCK_BYTES, b"\2" * 10
    size = 2 * BLOCK_BYTES + 10
    text = b"amiable-image-content-v1\0" + size.to_bytes(8, "big")
    text += (0).to_bytes(8, "big") + hashlib.sha256(one).digest()
    text += (2).to_bytes(8, "big") + hashlib.sha256(two + bytes(BLOCK_BYTES - 10)).digest()
    blocks = [(0, hashlib.sha256(one).digest()), (2, hashlib.sha256(two.ljust(BLOCK_BYTES, b"\0")).digest())]
    assert content_digest(size, blocks) == hashlib.sha256(text).digest()


def test_a_written_block_of_zeros_is_as_a_hole() -> None:
    assert content_digest(3 * BLOCK_BYTES, [(1, ZERO_BLOCK)]) == content_digest(3 * BLOCK_BYTES, [])


def test_the_size_counts() -> None:
    assert content_digest(1, []) != content_digest(2, [])


@given(st.dictionaries(st.integers(0, 9), st.binary(min_size=32, max_size=32), min_size=1))
def test_index_and_digest_of_every_block_count(blocks: dict[int, bytes]) -> None:
    given_blocks = sorted(blocks.items())
    whole = content_digest(10 * BLOCK_BYTES, given_blocks)
    moved = [(index + 1, digest) for index, digest in given_blocks]
    assert whole != content_digest(11 * BLOCK_BYTES, moved)
    for at in range(len(given_blocks)):
        assert whole != content_digest(10 * BLOCK_BYTES, given_blocks[:at] + given_blocks[at + 1 :])


def test_blocks_out_of_order_are_a_programmers_error() -> None:
    with pytest.raises(AssertionError):
        content_digest(3 * BLOCK_BYTES, [(1, b"a" * 32), (1, b"b" * 32)])
