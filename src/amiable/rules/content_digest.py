"""The content digest of a disk image: equal for equal content, whatever packed, stored or moved it.

    digest = SHA-256( "amiable-image-content-v1" NUL ‖ size ‖ for every block that is not all zeros: index ‖ SHA-256(block) )

``size`` is the image's length in bytes, ``index`` counts blocks of 524,288 bytes from 0; both are 8 bytes, big-endian.  Blocks come
in rising order; the last is filled up with zeros.  So a hole costs nothing, blocks are hashed on all cores, and the digest of each
is the very checksum that EBS direct and the block store have for it.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from amiable.model.units import BLOCK_BYTES

DOMAIN: Final = b"amiable-image-content-v1\0"
ZERO_BLOCK: Final = hashlib.sha256(bytes(BLOCK_BYTES)).digest()
"""The SHA-256 of a block of zeros: a block that has it is left out."""


class ContentDigest:
    """The digest of an image of ``size_bytes``, taken block by block."""

    def __init__(self, size_bytes: int) -> None:
        self._blocks = -(-size_bytes // BLOCK_BYTES)
        self._before = -1
        self._whole = hashlib.sha256(DOMAIN + size_bytes.to_bytes(8, "big"))

    def add(self, index: int, block_sha256: bytes) -> None:
        """Block ``index`` has this SHA-256.  Indexes rise; blocks of zeros may be given or left out."""
        assert self._before < index < self._blocks
        self._before = index
        if block_sha256 != ZERO_BLOCK:
            self._whole.update(index.to_bytes(8, "big") + block_sha256)

    def digest(self) -> bytes:
        """The digest, of the blocks given so far and zeros elsewhere."""
        return self._whole.digest()


def content_digest(size_bytes: int, blocks: Iterable[tuple[int, bytes]]) -> bytes:
    """The digest of an image of ``size_bytes`` whose blocks have the SHA-256s ``blocks``, as (index, digest) in rising order."""
    whole = ContentDigest(size_bytes)
    for index, block_sha256 in blocks:
        whole.add(index, block_sha256)
    return whole.digest()
