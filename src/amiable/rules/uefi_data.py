"""Whether UefiData is a store of UEFI variables as EC2 hands it out; its content is not looked into.

    base64, 64,000 characters at most, of
    AMZNUEFI │ CRC-32C, 4 octets │ version 0, 4 octets │ zlib stream with EC2's preset dictionary
               little-endian, over all that follows

GetInstanceUefiData gives it, and the python-uefivars tool, which is where this layout is from, writes it.
"""

import base64
import binascii
import struct
from typing import Final

from awscrt import checksums

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue

LENGTH_MAX: Final = 64_000
"""Characters of base64, line breaks not counted."""
MAGIC: Final = b"AMZNUEFI"
VERSION: Final = 0
DICTIONARY_ID: Final = 0x6BB7D9F7
"""Adler-32 of the preset dictionary of version 0: what names it in the zlib stream's header."""
_HEADER: Final = struct.Struct("<8sII")
_ZLIB_HEADER: Final = struct.Struct(">HI")
_ZLIB_CHECK: Final = 31
_ZLIB_DEFLATE: Final = 8
_ZLIB_HAS_DICTIONARY: Final = 0x20


def check_uefi_data(text: str | None, virtualization_type: str) -> str | None:
    """The variable store without line breaks; refuses what no firmware could read, and any for a paravirtual image."""
    if text is None:
        return None
    if virtualization_type == "paravirtual":
        raise InvalidParameterCombination("UefiData is for hvm images; this one is paravirtual.")
    plain = text.translate({10: None, 13: None})
    if len(plain) > LENGTH_MAX:
        raise _refusal(f"It has {len(plain)} characters, {LENGTH_MAX} at most.")
    try:
        store = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refusal(f"It is not base64: {error}.") from None
    _check_store(store)
    return plain


def _check_store(store: bytes) -> None:
    if not store.startswith(MAGIC):
        raise _refusal("Decoded, it does not begin with AMZNUEFI.")
    if len(store) < _HEADER.size + _ZLIB_HEADER.size:
        raise _refusal("It is cut off.")
    _, checksum, version = _HEADER.unpack_from(store)
    if checksums.crc32c(store[len(MAGIC) + 4 :]) != checksum:
        raise _refusal("Its checksum does not match: it is damaged or cut off.")
    if version != VERSION:
        raise _refusal(f"It is of version {version}; {VERSION} is known.")
    header, dictionary_id = _ZLIB_HEADER.unpack_from(store, _HEADER.size)
    is_zlib = header % _ZLIB_CHECK == 0 and (header >> 8) & 0xF == _ZLIB_DEFLATE
    if not is_zlib or not header & _ZLIB_HAS_DICTIONARY or dictionary_id != DICTIONARY_ID:
        raise _refusal("What follows its head is no zlib stream with EC2's dictionary.")


def _refusal(why: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"The value for parameter UefiData is invalid. {why}")
