"""The checksums of EBS direct: SHA-256 of a block, and LINEAR over a snapshot.  Both travel as base64 with padding.

LINEAR: the raw digests of the blocks that were written into this snapshot (not the parent's), by ascending index, joined, and
hashed again.  The API reference speaks of "the checksums, concatenated as a string"; its reference client joins the decoded
octets, and so does AWS.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable


def encode(digest: bytes) -> str:
    """The digest as the wire has it."""
    return base64.b64encode(digest).decode()


def linear(digests: Iterable[bytes]) -> bytes:
    """The aggregate of a snapshot's own blocks, in index order."""
    aggregate = hashlib.sha256()
    for digest in digests:
        aggregate.update(digest)
    return aggregate.digest()


def agrees(text: str, digest: bytes) -> bool:
    """Whether ``text`` is ``digest`` in base64; text that is no base64 is not."""
    try:
        return hmac.compare_digest(base64.b64decode(text, validate=True), digest)
    except (binascii.Error, ValueError):
        return False
