"""From a kernel's file to the ELF file in it.

    bzImage   setup sectors ─▶ payload_offset, payload_length ─▶ decompress ─▶ ELF
    gzip, xz, … of an ELF file (how xenU and NetBSD kernels come)  ─▶ decompress ─▶ ELF
    ELF                                                                       ─▶ ELF

One step, never a second: what is compressed in what was compressed is not looked at.  Every decompression is bounded by
``PAYLOAD_BYTES_MAX``.  Sources: Linux, Documentation/arch/x86/boot.rst (payload_offset since protocol 2.08); lib/decompress*.c.
"""

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import lz4.block
import zstandard

from amiable.model.units import MIB, human_bytes

FILE_BYTES_MAX: Final = 128 * MIB
PAYLOAD_BYTES_MAX: Final = 128 * MIB
"""A distribution's vmlinux has 30 to 70 MiB."""
WINDOW_BYTES_MAX: Final = 128 * MIB
"""zstd's and xz's dictionaries: Linux compresses itself with up to this."""
PIECE_BYTES: Final = 1024
LZ4_BLOCK_BYTES_MAX: Final = 8 * MIB
LZ4_BLOCKS_MAX: Final = 64

HEADER_MAGIC: Final = b"HdrS"
HEADER_MAGIC_AT: Final = 0x202
_PAYLOAD_SINCE: Final = 0x208
_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}[!-~]{0,98}")
_BANNER: Final = re.compile(rb"Linux version (\d{1,4}\.\d{1,4}[!-~]{0,98}) ")


B = TypeVar("B", bytes, bytearray)


class Unreadable(ValueError):
    """The ELF file cannot be taken out; the text says why."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What is in a kernel's file: ``container`` in words, and its ELF file, or why there is none."""

    container: str
    elf: bytes | None
    why: str = ""
    version: str | None = None
    is_bzimage: bool = False


def open_payload(data: bytes) -> Payload:
    """What is in ``data``, a kernel's whole file; never raises for what the file holds."""
    if data[HEADER_MAGIC_AT : HEADER_MAGIC_AT + 4] == HEADER_MAGIC:
        return _of_bzimage(data)
    if data[:4] == b"\x7fELF":
        return Payload("ELF file", data, version=linux_version(data))
    found = _compression(data)
    if found is None:
        return Payload("file of an unknown form", None, "it is neither a bzImage nor an ELF file")
    name, decompress = found
    try:
        elf = decompress(data)
    except Unreadable as reason:
        return Payload(f"{name} file", None, str(reason))
    return Payload(f"ELF file compressed by {name}", elf, version=linux_version(elf))


def linux_version(elf: bytes) -> str | None:
    """The release in Linux's own banner."""
    found = _BANNER.search(elf)
    return found[1].decode("ascii") if found else None


def _of_bzimage(data: bytes) -> Payload:
    if len(data) < 0x250:
        return Payload("bzImage", None, "its header is cut short", is_bzimage=True)
    version = _bzimage_version(data)
    protocol = struct.unpack_from("<H", data, 0x206)[0]
    if protocol < _PAYLOAD_SINCE:
        why = f"its boot protocol {protocol >> 8}.{protocol & 255:02d} is older than the one that Xen can read"
        return Payload("bzImage", None, why, version, is_bzimage=True)
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = ((data[0x1F1] or 4) + 1) * 512 + offset
    try:
        if start + length > len(data) or length < 8:
            raise Unreadable("its payload does not lie in the file")
        content = data[start : start + length]
        found = _compression(content)
        if found is None:
            raise Unreadable(f"its payload is of an unknown form (it begins with {content[:4].hex(' ')})")
        container = f"bzImage ({found[0]})"
        return Payload(container, found[1](content), version=version, is_bzimage=True)
    except Unreadable as reason:
        return Payload("bzImage", None, str(reason), version, is_bzimage=True)


def _bzimage_version(data: bytes) -> str | None:
    at = struct.unpack_from("<H", data, 0x20E)[0] + 0x200
    text = data[at : at + 100].partition(b"\0")[0].decode("ascii", "replace")
    found = _VERSION.match(text) if at > 0x200 else None
    return found[0] if found else None


# ── decompression ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _compression(data: bytes) -> tuple[str, Callable[[bytes], bytes]] | None:
    for magic, name, decompress in _COMPRESSIONS:
        if data.startswith(magic):
            return name, decompress
    return None


def _bounded(data: B) -> B:
    if len(data) > PAYLOAD_BYTES_MAX:
        raise Unreadable(f"it unpacks to more than {human_bytes(PAYLOAD_BYTES_MAX)}")
    return data


def _gunzip(data: bytes) -> bytes:
    try:
        return _bounded(zlib.decompressobj(31).decompress(data, PAYLOAD_BYTES_MAX + 1))
    except zlib.error as error:
        raise Unreadable(f"its gzip stream is damaged: {error}") from None


def _unxz(data: bytes) -> bytes:
    return _lzma(data, lzma.FORMAT_XZ, "xz")


def _unlzma(data: bytes) -> bytes:
    return _lzma(data, lzma.FORMAT_ALONE, "lzma")


def _lzma(data: bytes, form: int, name: str) -> bytes:
    try:
        opened = lzma.LZMADecompressor(form, memlimit=WINDOW_BYTES_MAX + 16 * MIB)
        return _bounded(opened.decompress(data, PAYLOAD_BYTES_MAX + 1))
    except lzma.LZMAError as error:
        raise Unreadable(f"its {name} stream is damaged: {error}") from None


def _bunzip2(data: bytes) -> bytes:
    try:
        return _bounded(bz2.BZ2Decompressor().decompress(data, PAYLOAD_BYTES_MAX + 1))
    except (OSError, ValueError) as error:
        raise Unreadable(f"its bzip2 stream is damaged: {error}") from None


def _unzstd(data: bytes) -> bytes:
    """Fed in small pieces: each unpacks to at most ``PIECE_BYTES`` / 4 blocks of 128 KiB before the bound is looked at."""
    made = bytearray()
    opened = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX).decompressobj()
    try:
        for at in range(0, len(data), PIECE_BYTES):
            made += opened.decompress(data[at : at + PIECE_BYTES])
            _bounded(made)
            if opened.eof:
                break
    except zstandard.ZstdError as error:
        raise Unreadable(f"its zstd stream is damaged: {error}") from None
    return bytes(made)


def _unlz4(data: bytes) -> bytes:
    """The legacy frame that Linux uses: blocks of up to 8 MiB, each behind its length; the last word is the size unpacked."""
    made = bytearray()
    at = 4
    try:
        for _ in range(LZ4_BLOCKS_MAX):
            if at + 8 > len(data):
                break
            length = struct.unpack_from("<I", data, at)[0]
            block = data[at + 4 : at + 4 + length]
            if not length or len(block) < length:
                break
            made += lz4.block.decompress(block, uncompressed_size=LZ4_BLOCK_BYTES_MAX)
            _bounded(made)
            at += 4 + length
    except (lz4.block.LZ4BlockError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"its lz4 stream is damaged: {error}") from None
    return bytes(made)


def _unlzo(_data: bytes) -> bytes:
    raise Unreadable("it is compressed by lzo, which Amiable does not read")


_COMPRESSIONS: Final[tuple[tuple[bytes, str, Callable[[bytes], bytes]], ...]] = (
    (b"\x1f\x8b", "gzip", _gunzip),
    (b"\xfd7zXZ\0", "xz", _unxz),
    (b"\x5d\0\0", "lzma", _unlzma),
    (b"BZh", "bzip2", _bunzip2),
    (b"\x02\x21\x4c\x18", "lz4", _unlz4),
    (b"\x28\xb5\x2f\xfd", "zstd", _unzstd),
    (b"\x89LZO", "lzo", _unlzo),
)
