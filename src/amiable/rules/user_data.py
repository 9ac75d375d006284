"""User data that was encoded by whoever wrote it, before the client encodes it: the guest then gets base64 and runs nothing."""

import base64
import binascii
import gzip
from typing import Final

BEGINNINGS: Final = (
    b"#!",
    b"#cloud-config",
    b"#include",
    b"#part-handler",
    b"Content-Type: multipart",
    b"MIME-Version:",
)
GZIP: Final = gzip.compress(b"")[:2]


def looks_encoded(data: bytes) -> bool:
    """Whether the data is base64 of what guests run: a script, cloud-config, a part of several, or any of it compressed."""
    try:
        decoded = base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return decoded.startswith((*BEGINNINGS, GZIP))
