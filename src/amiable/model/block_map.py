"""A snapshot's map: which block of the disk holds which bytes.

The map is cut into *leaves* of 2,048 blocks, 1 GiB of disk each.  A leaf says which of its blocks were ever written and names
their bytes by SHA-256; it is itself named by the SHA-256 of its body, never changes, and is shared by all snapshots that agree
on that GiB.

    body = bitmap (256 bytes: bit i % 8, least significant first, of byte i // 8 says that block i is present)
         | SHA-256 of each present block's plain bytes, ascending (32 bytes each)

At most 65,792 bytes.  A block of zeros that was written is present, under the digest of zeros (``ZERO_DIGEST``), and has no
bytes anywhere; a block that was never written is absent.  The two read alike and list differently.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from amiable.model.units import BLOCK_BYTES, LEAF_BLOCKS

DIGEST_BYTES: Final = 32
BITMAP_BYTES: Final = LEAF_BLOCKS // 8
LEAF_BYTES_MAX: Final = BITMAP_BYTES + LEAF_BLOCKS * DIGEST_BYTES

ZERO_BLOCK: Final = bytes(BLOCK_BYTES)
ZERO_DIGEST: Final = sha256(ZERO_BLOCK).digest()


def encode_leaf(entries: Mapping[int, bytes]) -> bytes:
    """The body of a leaf that holds ``entries``: place within the leaf (0 to 2,047) → digest."""
    bits = 0
    for place in entries:
        assert 0 <= place < LEAF_BLOCKS
        bits |= 1 << place
    body = bits.to_bytes(BITMAP_BYTES, "little") + b"".join(entries[place] for place in sorted(entries))
    assert len(body) == BITMAP_BYTES + len(entries) * DIGEST_BYTES
    return body


def decode_leaf(body: bytes) -> dict[int, bytes]:
    """What :func:`encode_leaf` was given, ascending; raises ValueError where ``body`` is no leaf."""
    bits = int.from_bytes(body[:BITMAP_BYTES], "little")
    if len(body) != BITMAP_BYTES + bits.bit_count() * DIGEST_BYTES:
        raise ValueError(f"a leaf with {bits.bit_count()} blocks is not {len(body)} bytes long")
    entries: dict[int, bytes] = {}
    at = BITMAP_BYTES
    while bits:
        lowest = bits & -bits
        entries[lowest.bit_length() - 1] = body[at : at + DIGEST_BYTES]
        bits ^= lowest
        at += DIGEST_BYTES
    return entries


def find(body: bytes, place: int) -> bytes | None:
    """The digest at ``place`` of an encoded leaf, without decoding the rest; None where the block was never written."""
    bits = int.from_bytes(body[:BITMAP_BYTES], "little")
    if not bits >> place & 1:
        return None
    at = BITMAP_BYTES + (bits & (1 << place) - 1).bit_count() * DIGEST_BYTES
    return body[at : at + DIGEST_BYTES]


def name_of_leaf(body: bytes) -> bytes:
    """The leaf's name."""
    return sha256(body).digest()


def overlay(below: Mapping[int, bytes], above: Mapping[int, bytes]) -> dict[int, bytes]:
    """A parent's entries with a child's on top: where both have a block, the child's counts."""
    return {**below, **above}
