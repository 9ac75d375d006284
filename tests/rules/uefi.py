"""Stores of UEFI variables for tests."""

import base64
import struct
import warnings
import zlib
from typing import Any

from awscrt import checksums
from pyuefivars import AWSUEFIVarStore, EDK2UEFIVarStore

from amiable.model.uefi import GLOBAL, Variable
from amiable.rules.uefi_data import VERSION, dictionary, write_uefi_data

ORDER = Variable("BootOrder", GLOBAL, 0x7, b"\x00\x00\x01\x00")
PLATFORM_KEY = Variable("PK", GLOBAL, 0x27, b"a key", timestamp=bytes([0xE5, 7, 1, 2]) + bytes(12))


def uefi_data(*variables: Variable) -> str:
    """A store as EC2 hands it out: of ``variables``, or of one."""
    return write_uefi_data(variables or (ORDER,))


def sealed(rest: bytes, version: int = VERSION) -> str:
    """``rest`` with the head and the checksum of a store."""
    body = struct.pack("<I", version) + rest
    return base64.b64encode(b"AMZNUEFI" + struct.pack("<I", checksums.crc32c(body)) + body).decode()


def deflated(stream: bytes) -> bytes:
    """``stream`` packed with EC2's dictionary."""
    deflate = zlib.compressobj(9, zdict=dictionary())
    return deflate.compress(stream) + deflate.flush()


def as_awss_tool_reads(store: str | bytes) -> tuple[list[Variable], str]:
    """What AWS's own tool finds in a store (text: UefiData; bytes: the firmware's file), and what it writes of that as UefiData."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its temporary files open
        found: Any = AWSUEFIVarStore(store.encode()) if isinstance(store, str) else EDK2UEFIVarStore(store)
        variables = [Variable(it.name, it.guid, it.attr, it.data, it.timestamp, it.digest) for it in found.vars]
        again: Any = AWSUEFIVarStore(uefi_data().encode())
        again.vars = found.vars
        text = str(again)
    return variables, text
