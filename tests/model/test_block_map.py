"""Laws of a snapshot's map."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.model.block_map import (
    BITMAP_BYTES,
    LEAF_BYTES_MAX,
    ZERO_DIGEST,
    decode_leaf,
    encode_leaf,
    find,
    name_of_leaf,
    overlay,
)
from amiable.model.units import BLOCK_BYTES, LEAF_BLOCKS

places = st.integers(0, LEAF_BLOCKS - 1)
entries = st.dictionaries(places, st.binary(min_size=32, max_size=32), max_size=60)


@given(entries)
def test_what_is_encoded_is_decoded_in_order(given_: dict[int, bytes]) -> None:
    decoded = decode_leaf(encode_leaf(given_))
    assert decoded == given_
    assert list(decoded) == sorted(given_)


@given(entries, places)
def test_finding_is_decoding_and_looking(given_: dict[int, bytes], place: int) -> None:
    body = encode_leaf(given_)
    assert find(body, place) == given_.get(place)
    assert all(find(body, known) == digest for known, digest in given_.items())


@given(entries, entries, entries)
def test_overlays_associate_and_the_upper_one_counts(
    a: dict[int, bytes], b: dict[int, bytes], c: dict[int, bytes]
) -> None:
    assert overlay(overlay(a, b), c) == overlay(a, overlay(b, c))
    assert overlay(a, {}) == a == overlay({}, a)
    assert all(overlay(a, b)[place] == digest for place, digest in b.items())


@given(entries, entries)
def test_two_leaves_have_one_name_only_if_they_are_equal(a: dict[int, bytes], b: dict[int, bytes]) -> None:
    assert (name_of_leaf(encode_leaf(a)) == name_of_leaf(encode_leaf(b))) == (a == b)


@settings(max_examples=50)
@given(entries, st.integers(-33, 33).filter(bool))
def test_a_leaf_of_another_length_is_no_leaf(given_: dict[int, bytes], difference: int) -> None:
    body = encode_leaf(given_)
    changed = body + bytes(difference) if difference > 0 else body[:difference]
    with pytest.raises(ValueError, match="leaf"):
        decode_leaf(changed)


def test_a_full_leaf_has_the_greatest_length_and_an_empty_one_the_least() -> None:
    full = encode_leaf({place: place.to_bytes(32, "big") for place in range(LEAF_BLOCKS)})
    assert len(full) == LEAF_BYTES_MAX == 65_792
    assert encode_leaf({}) == bytes(BITMAP_BYTES)
    assert find(full, 2047) == (2047).to_bytes(32, "big")


def test_the_first_bit_of_the_first_byte_is_the_first_block() -> None:
    assert encode_leaf({0: bytes(32), 9: bytes(32)})[:2] == b"\x01\x02"


def test_the_digest_of_zeros_is_the_published_one() -> None:
    assert sha256(bytes(BLOCK_BYTES)).digest() == ZERO_DIGEST
    assert ZERO_DIGEST.hex() == "07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541"
