"""The tar stream of a bundle: one regular file, in GNU's old sparse form where the image has holes.

    header block (512)                                     offset  width
      name, mode, uid, gid, size, mtime, checksum, type     0 100 108 116 124 136 148 156
      magic "ustar  " NUL                                   257
      up to 4 extents (offset 12, bytes 12)                 386     24 each
      isextended                                            482     1
      real size                                             483     12
    extension blocks (512), while isextended
      up to 21 extents, then isextended                     0, 504
    the bytes of the extents, one after another, padded to 512
    two zero blocks, padded to 10,240

``size`` counts the stored bytes, ``real size`` the file with its holes.  Numbers are 11 octal digits and NUL, or base-256 from 8 GiB
on (first byte 0x80).  A hole at the end is a last extent (real size, 0).  PAX headers are never written, and refused: readers of
bundles take the first header for the image.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from amiable.model.errors import BundleRefusal

BLOCK: Final = 512
RECORD: Final = 20 * BLOCK
MEMBER_NAME_BYTES_MAX: Final = 100
LONG_NAME_BYTES_MAX: Final = 4096
EXTENTS_MAX: Final = 1 << 21
TRAILER_BYTES_MAX: Final = 1 << 20
"""Zeros that may follow the member: GNU tar's largest usual record is far below."""

_OCTAL_MAX: Final = 8**11
_ZEROS: Final = bytes(BLOCK)
_HEADER_EXTENTS: Final = 4
_EXTENSION_EXTENTS: Final = 21

Extent = tuple[int, int]
"""Offset and length in bytes."""


class Source(Protocol):
    """The unpacked stream: a file, or the chain of decryption and inflation."""

    def read_exactly(self, size: int, /) -> bytes:
        """The next ``size`` bytes; refuses the stream if it ends before."""

    def read_some(self, size: int, /) -> bytes:
        """At least one and at most ``size`` bytes; ``b''`` at the end."""


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def stored_bytes(extents: Sequence[Extent]) -> int:
    """How many bytes of data the member stores."""
    return sum(length for _, length in extents)


def header(name: str, size_bytes: int, extents: Sequence[Extent]) -> bytes:
    """The header of a member ``name``, a whole number of blocks; plain if ``extents`` cover it all.

    The same arguments give the same bytes: mode 0644, owner 0, time 0, no owner's name.
    """
    if list(extents) == [(0, size_bytes)]:
        return bytes(_finish(_plain(name, size_bytes, b"0")))
    pairs = list(extents)
    if not pairs or sum(pairs[-1]) < size_bytes:
        pairs.append((size_bytes, 0))
    block = _plain(name, stored_bytes(extents), b"S")
    _put_pairs(block, 386, pairs[:_HEADER_EXTENTS])
    block[482] = len(pairs) > _HEADER_EXTENTS
    block[483:495] = _number(size_bytes)
    blocks = [bytes(_finish(block))]
    for start in range(_HEADER_EXTENTS, len(pairs), _EXTENSION_EXTENTS):
        extension = bytearray(BLOCK)
        _put_pairs(extension, 0, pairs[start : start + _EXTENSION_EXTENTS])
        extension[504] = start + _EXTENSION_EXTENTS < len(pairs)
        blocks.append(bytes(extension))
    return b"".join(blocks)


def trailer(header_bytes: int, data_bytes: int) -> bytes:
    """What ends the stream after a header and data of these lengths: padding, two zero blocks, the rest of the record."""
    before = header_bytes + data_bytes
    ended = _round_up(before, BLOCK) + 2 * BLOCK
    return bytes(_round_up(ended, RECORD) - before)


def _plain(name: str, size_bytes: int, kind: bytes) -> bytearray:
    encoded = name.encode("ascii")
    assert 0 < len(encoded) <= MEMBER_NAME_BYTES_MAX
    block = bytearray(BLOCK)
    block[0 : len(encoded)] = encoded
    block[100:108] = b"0000644\0"
    block[108:124] = b"0000000\0" * 2
    block[124:136] = _number(size_bytes)
    block[136:148] = _number(0)
    block[156:157] = kind
    block[257:265] = b"ustar  \0"
    return block


def _finish(block: bytearray) -> bytearray:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return block


def _put_pairs(block: bytearray, at: int, pairs: Sequence[Extent]) -> None:
    for offset, length in pairs:
        block[at : at + 24] = _number(offset) + _number(length)
        at += 24


def _number(value: int) -> bytes:
    return b"%011o\0" % value if value < _OCTAL_MAX else b"\x80" + value.to_bytes(11, "big")


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Member:
    """The image as the tar stream holds it: offsets and lengths of what is stored, in order, and the size with holes."""

    name: str
    size_bytes: int
    offsets: "array[int]"
    lengths: "array[int]"


def _fault(message: str) -> BundleRefusal:
    return BundleRefusal("tar", f"The tar stream is refused: {message}")


def read_member(source: Source, size_bytes: int) -> Member:
    """The header of the stream's only member, which must be a regular file of ``size_bytes``.

    An extent lies inside the file and after the one before it.  Nothing is allocated by what a header claims.
    """
    block = _header_block(source)
    name = _text(block, 0, 100)
    if block[156:157] == b"L":
        name = _long_name(source, block)
        block = _header_block(source)
    elif block[257:263] == b"ustar\0" and block[345]:
        name = _text(block, 345, 155) + "/" + name
    if not name or "/" in name or name in (".", ".."):
        raise _fault(f"the member's name {name[:80]!r} is not a plain file name.")
    kind = block[156:157]
    stored = _read_number(block, 124, "size")
    if kind == b"S":
        real = _read_number(block, 483, "real size")
        if real != size_bytes:
            raise _fault(f"the image has {real} bytes, the manifest declares {size_bytes}.")
        offsets, lengths = _read_map(source, block, size_bytes)
    elif kind in (b"0", b"\0", b"7"):
        if stored != size_bytes:
            raise _fault(f"the image has {stored} bytes, the manifest declares {size_bytes}.")
        offsets, lengths = array("Q", [0]), array("Q", [stored])
    else:
        raise _fault(f"its member is of type {kind.decode('latin-1')!r}, not a regular file.")
    if sum(lengths) != stored:
        raise _fault(f"its sparse map stores {sum(lengths)} bytes, its header says {stored}.")
    return Member(name, size_bytes, offsets, lengths)


def read_extents(source: Source, member: Member, piece_bytes: int) -> Iterator[tuple[int, bytes]]:
    """The stored bytes of ``member`` as (offset, at most ``piece_bytes``), in order, then the end of the archive.

    Refuses anything but zeros behind the member.
    """
    for offset, length in zip(member.offsets, member.lengths, strict=True):
        end = offset + length
        while offset < end:
            piece = source.read_some(min(piece_bytes, end - offset))
            if not piece:
                raise _fault("it ends inside the image.")
            yield offset, piece
            offset += len(piece)
        if length % BLOCK:
            _zeros(source.read_exactly(BLOCK - length % BLOCK), "padding")
    _zeros(source.read_exactly(2 * BLOCK), "end-of-archive mark")
    rest = 0
    while zeros := source.read_some(piece_bytes):
        rest += len(zeros)
        if rest > TRAILER_BYTES_MAX:
            raise _fault(f"it goes on for more than {TRAILER_BYTES_MAX} bytes behind the image.")
        _zeros(zeros, "end")


def _header_block(source: Source) -> bytes:
    block = source.read_exactly(BLOCK)
    if block == _ZEROS:
        raise _fault("the archive has no member.")
    digits = block[148:156].strip(b" \0")
    expected = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if not _is_octal(digits) or int(digits, 8) != expected:
        raise _fault("a header's checksum is wrong.")
    return block


def _long_name(source: Source, block: bytes) -> str:
    length = _read_number(block, 124, "name's length")
    if not 1 <= length <= LONG_NAME_BYTES_MAX:
        raise _fault(f"a name has {length} bytes; at most {LONG_NAME_BYTES_MAX} are read.")
    return source.read_exactly(_round_up(length, BLOCK))[:length].rstrip(b"\0").decode("utf-8", "replace")


def _read_map(source: Source, block: bytes, size_bytes: int) -> tuple["array[int]", "array[int]"]:
    offsets, lengths = array("Q"), array("Q")
    fields, slots, extended = block[386:482], _HEADER_EXTENTS, block[482]
    while True:
        for slot in range(slots):
            pair = fields[24 * slot : 24 * slot + 24]
            if not pair[0] and not pair[12]:
                if extended:  # blocks without extents, without end, would cost time and declare nothing
                    raise _fault("its sparse map goes on behind its end.")
                break
            _add_extent(offsets, lengths, _read_number(pair, 0, "offset"), _read_number(pair, 12, "length"), size_bytes)
        if not extended:
            return offsets, lengths
        extension = source.read_exactly(BLOCK)
        fields, slots, extended = extension[:504], _EXTENSION_EXTENTS, extension[504]


def _add_extent(offsets: "array[int]", lengths: "array[int]", offset: int, length: int, size_bytes: int) -> None:
    end = offsets[-1] + lengths[-1] if offsets else 0
    if offset < end:
        raise _fault(f"an extent at {offset} overlaps the one before it, which ends at {end}.")
    if offset + length > size_bytes:
        raise _fault(f"an extent from {offset} to {offset + length} lies beyond the image's {size_bytes} bytes.")
    if length and any(lengths[-1:]) and lengths[-1] % BLOCK:
        # GNU tar pads such an extent, others do not: two readers would see two images.
        raise _fault("an extent that is not the last is no multiple of 512 bytes.")
    if len(offsets) >= EXTENTS_MAX:
        raise _fault(f"there are more than {EXTENTS_MAX} extents.")
    offsets.append(offset)
    lengths.append(length)


def _read_number(block: bytes, at: int, what: str) -> int:
    field = block[at : at + 12]
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not _is_octal(digits):
        raise _fault(f"the {what} in a header is not a number.")
    return int(digits, 8)


def _is_octal(digits: bytes) -> bool:
    return 0 < len(digits) <= 12 and not digits.strip(b"01234567")


def _text(block: bytes, at: int, width: int) -> str:
    return block[at : at + width].split(b"\0", 1)[0].decode("utf-8", "replace")


def _zeros(piece: bytes, what: str) -> None:
    if piece.count(0) != len(piece):
        raise _fault(f"its {what} is not zeros: something follows the image.")
