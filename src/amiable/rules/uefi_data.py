"""UefiData: a store of UEFI variables as EC2 hands it out and takes it back.

    base64, 64,000 characters at most, of
    AMZNUEFI │ CRC-32C, 4 octets │ version 0, 4 octets │ zlib stream with EC2's preset dictionary
               over all that follows

    the stream    count │ variable │ …                               every number little-endian
    a variable    name │ data │ GUID, 16 │ attributes, 4 │ with a time-authenticated one: timestamp, 16 │ digest
    name, data, digest    length, 8 │ octets; names are UTF-8

Layout and dictionary are those of AWS's own python-uefivars (PyPI ``uefivars``, MIT), which is asked for the dictionary.
No timestamp and no digest are zeros there.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from awscrt import checksums

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.uefi import GUID_BYTES, TIME_BYTES, Variable

LENGTH_MAX: Final = 64_000
"""Characters of base64, line breaks not counted."""
STREAM_BYTES_MAX: Final = 256 * 1024
"""Inflated: what the firmware's store holds."""
VARIABLES_MAX: Final = 2000
NAME_CHARACTERS_MAX: Final = 512
ATTRIBUTES_MAX: Final = 0x7F
MAGIC: Final = b"AMZNUEFI"
VERSION: Final = 0
DICTIONARY_ID: Final = 0x6BB7D9F7
"""Adler-32 of the preset dictionary of version 0: what names it in the zlib stream's header."""
DIGEST_BYTES: Final = 32
"""Of a digest of zeros, which says that there is none."""
_HEADER: Final = struct.Struct("<8sII")
_ZLIB_HEADER: Final = struct.Struct(">HI")
_ZLIB_CHECK: Final = 31
_ZLIB_DEFLATE: Final = 8
_ZLIB_HAS_DICTIONARY: Final = 0x20


class UnreadableStore(ValueError):
    """No store of variables; the text says why, in a sentence."""


def check_uefi_data(text: str | None, virtualization_type: str) -> str | None:
    """The variable store without line breaks; refuses what no firmware could read, and any for a paravirtual image."""
    if text is None:
        return None
    if virtualization_type == "paravirtual":
        raise InvalidParameterCombination("UefiData is for hvm images; this one is paravirtual.")
    plain = text.translate({10: None, 13: None})
    try:
        read_uefi_data(plain)
    except UnreadableStore as error:
        raise InvalidParameterValue(f"The value for parameter UefiData is invalid. {error}") from None
    return plain


def read_uefi_data(text: str) -> tuple[Variable, ...]:
    """The variables of a store in base64; raises UnreadableStore."""
    if len(text) > LENGTH_MAX:
        raise UnreadableStore(f"It has {len(text)} characters, {LENGTH_MAX} at most.")
    try:
        store = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableStore(f"It is not base64: {error}.") from None
    _check_head(store)
    return _read_stream(_inflate(store[_HEADER.size :]))


def write_uefi_data(variables: Sequence[Variable]) -> str:
    """The variables as a store in base64; it may be longer than what a registration takes."""
    stream = struct.pack("<Q", len(variables)) + b"".join(map(_write_variable, variables))
    deflate = zlib.compressobj(9, zdict=dictionary())
    rest = struct.pack("<I", VERSION) + deflate.compress(stream) + deflate.flush()
    return base64.b64encode(MAGIC + struct.pack("<I", checksums.crc32c(rest)) + rest).decode()


@cache
def dictionary() -> bytes:
    """EC2's preset dictionary of version 0."""
    from pyuefivars.aws_v0 import UEFIVarStoreV0  # a large table: read when a store is

    found = bytes(UEFIVarStoreV0.dict)
    assert zlib.adler32(found) == DICTIONARY_ID
    return found


def _check_head(store: bytes) -> None:
    if not store.startswith(MAGIC):
        raise UnreadableStore("Decoded, it does not begin with AMZNUEFI.")
    if len(store) < _HEADER.size + _ZLIB_HEADER.size:
        raise UnreadableStore("It is cut off.")
    _, checksum, version = _HEADER.unpack_from(store)
    if checksums.crc32c(store[len(MAGIC) + 4 :]) != checksum:
        raise UnreadableStore("Its checksum does not match: it is damaged or cut off.")
    if version != VERSION:
        raise UnreadableStore(f"It is of version {version}; {VERSION} is known.")
    header, dictionary_id = _ZLIB_HEADER.unpack_from(store, _HEADER.size)
    is_zlib = header % _ZLIB_CHECK == 0 and (header >> 8) & 0xF == _ZLIB_DEFLATE
    if not is_zlib or not header & _ZLIB_HAS_DICTIONARY or dictionary_id != DICTIONARY_ID:
        raise UnreadableStore("What follows its head is no zlib stream with EC2's dictionary.")


def _inflate(packed: bytes) -> bytes:
    inflate = zlib.decompressobj(zdict=dictionary())
    try:
        stream = inflate.decompress(packed, STREAM_BYTES_MAX + 1)
    except zlib.error:
        raise UnreadableStore("Its zlib stream is damaged.") from None
    if len(stream) > STREAM_BYTES_MAX:
        raise UnreadableStore(f"Inflated, it has more than {STREAM_BYTES_MAX} octets.")
    if not inflate.eof or inflate.unused_data:
        raise UnreadableStore("Its zlib stream is cut off, or followed by something else.")
    return stream


@dataclass(slots=True)
class _Reader:
    """A place in a stream; what lies past its end is refused."""

    stream: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        if count > len(self.stream) - self.at:
            raise UnreadableStore("A variable reaches past its end.")
        self.at += count
        return self.stream[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def sized(self) -> bytes:
        return self.take(self.number(8))


def _read_stream(stream: bytes) -> tuple[Variable, ...]:
    reader = _Reader(stream)
    count = reader.number(8)
    if count > VARIABLES_MAX:
        raise UnreadableStore(f"It says that it has {count} variables, {VARIABLES_MAX} at most.")
    found = tuple(_read_variable(reader) for _ in range(count))
    if reader.at != len(stream):
        raise UnreadableStore("Something follows its last variable.")
    if len({(it.name, it.guid) for it in found}) < count:
        raise UnreadableStore("It has a variable twice.")
    return found


def _read_variable(reader: _Reader) -> Variable:
    try:
        name = reader.sized().decode()
    except UnicodeDecodeError:
        raise UnreadableStore("A variable's name is not UTF-8.") from None
    check_name(name)
    data, guid, attributes = reader.sized(), reader.take(GUID_BYTES), reader.number(4)
    if attributes > ATTRIBUTES_MAX:
        raise UnreadableStore(f"The variable {name!r} has unknown attributes: {attributes:#x}.")
    variable = Variable(name, guid, attributes, data)
    if not variable.is_authenticated:
        return variable
    timestamp, digest = reader.take(TIME_BYTES), reader.sized()
    return Variable(
        name, guid, attributes, data, timestamp if any(timestamp) else None, digest if any(digest) else None
    )


def check_name(name: str) -> None:
    """Refuses a name that a store cannot hold: empty, too long, or with a zero inside."""
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or "\0" in name:
        raise UnreadableStore(f"A variable's name is not 1 to {NAME_CHARACTERS_MAX} characters.")


def _write_variable(it: Variable) -> bytes:
    name = it.name.encode()
    parts = [
        struct.pack("<Q", len(name)) + name,
        struct.pack("<Q", len(it.data)) + it.data,
        it.guid + struct.pack("<I", it.attributes),
    ]
    if it.is_authenticated:
        digest = it.digest or bytes(DIGEST_BYTES)
        parts.append((it.timestamp or bytes(TIME_BYTES)) + struct.pack("<Q", len(digest)) + digest)
    return b"".join(parts)
