"""Checksums of objects: published check values, and parts that make a whole."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.rules.object_checksum import ALGORITHMS, Summing, checksum_of, combined, composite, is_well_formed

CHECK = b"123456789"
PUBLISHED = {
    "CRC32": 0xCBF43926,  # CRC-32/ISO-HDLC
    "CRC32C": 0xE3069283,  # CRC-32/ISCSI
    "CRC64NVME": 0xAE8B14860A799888,  # CRC-64/NVME
}


@pytest.mark.parametrize("algorithm", PUBLISHED)
def test_a_crc_of_the_check_string_is_the_published_one(algorithm: str) -> None:
    width = 8 if algorithm == "CRC64NVME" else 4
    assert base64.b64decode(checksum_of(algorithm, CHECK)) == PUBLISHED[algorithm].to_bytes(width, "big")


def test_hashes_are_the_standard_librarys() -> None:
    assert base64.b64decode(checksum_of("SHA1", CHECK)) == hashlib.sha1(CHECK).digest()
    assert base64.b64decode(checksum_of("SHA256", CHECK)) == hashlib.sha256(CHECK).digest()


@given(st.lists(st.binary(max_size=50), max_size=6), st.sampled_from(ALGORITHMS))
def test_how_the_bytes_are_cut_changes_nothing(pieces: list[bytes], algorithm: str) -> None:
    summing = Summing(algorithm)
    for piece in pieces:
        summing.update(piece)
    assert summing.base64() == checksum_of(algorithm, b"".join(pieces))
    assert is_well_formed(algorithm, summing.base64())


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6), st.sampled_from(list(PUBLISHED)))
def test_the_parts_crcs_make_the_wholes(parts: list[bytes], algorithm: str) -> None:
    values = [(checksum_of(algorithm, part), len(part)) for part in parts]
    assert combined(algorithm, values) == checksum_of(algorithm, b"".join(parts))


def test_a_composite_is_over_the_digests_and_counts_them() -> None:
    parts = [checksum_of("SHA256", b"a"), checksum_of("SHA256", b"b")]
    digests = hashlib.sha256(b"a").digest() + hashlib.sha256(b"b").digest()
    assert composite("SHA256", parts) == base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"


@pytest.mark.parametrize("value", ["", "AAA=", "AAAAAA==AA", "!!!!!!==", "AAAAAAA=", "ä"])
def test_another_length_or_alphabet_is_no_crc32(value: str) -> None:
    assert not is_well_formed("CRC32", value)
