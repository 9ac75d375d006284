"""A store of UEFI variables as EC2 hands it out, with a content of the test's own."""

import base64
import struct

from awscrt import checksums

from amiable.rules.uefi_data import DICTIONARY_ID


def uefi_data(body: bytes = b"\x00", *, version: int = 0, dictionary_id: int = DICTIONARY_ID) -> str:
    """A variable store with a right checksum and a zlib header; its stream is never inflated by us."""
    rest = struct.pack("<I", version) + b"\x78\xf9" + struct.pack(">I", dictionary_id) + body
    return base64.b64encode(b"AMZNUEFI" + struct.pack("<I", checksums.crc32c(rest)) + rest).decode()
