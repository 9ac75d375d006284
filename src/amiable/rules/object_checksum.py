"""The checksums of S3 objects: CRC32, CRC32C, CRC64NVME, SHA1 and SHA256, as clients send them beside the bytes.

One over the whole object is FULL_OBJECT; one over the concatenated digests of an upload's N parts is COMPOSITE and ends in
``-N``.  The CRC of a whole can be had from its parts' CRCs (:func:`combined`), so completing an upload reads no bytes again.
Source: S3 user guide, "Checking object integrity".
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from awscrt import checksums

FULL_OBJECT: Final = "FULL_OBJECT"
COMPOSITE: Final = "COMPOSITE"


@dataclass(frozen=True, slots=True)
class _Crc:
    bits: int
    over: Callable[[bytes, int], int]
    combine: Callable[[int, int, int], int]


_CRCS: Final = {
    "CRC32": _Crc(32, checksums.crc32, checksums.combine_crc32),
    "CRC32C": _Crc(32, checksums.crc32c, checksums.combine_crc32c),
    "CRC64NVME": _Crc(64, checksums.crc64nvme, checksums.combine_crc64nvme),
}
_HASHES: Final = {"SHA1": (hashlib.sha1, 20), "SHA256": (hashlib.sha256, 32)}

ALGORITHMS: Final = (*_CRCS, *_HASHES)
TYPES: Final[dict[str, tuple[str, ...]]] = {
    "CRC32":     (COMPOSITE, FULL_OBJECT),
    "CRC32C":    (COMPOSITE, FULL_OBJECT),
    "CRC64NVME": (FULL_OBJECT,),
    "SHA1":      (COMPOSITE,),
    "SHA256":    (COMPOSITE,),
}  # fmt: skip
"""What an upload in parts may have, its default first."""


class Summing:
    """A checksum under way."""

    def __init__(self, algorithm: str) -> None:
        self._crc = _CRCS.get(algorithm)
        self._value = 0
        self._hash = None if self._crc else _HASHES[algorithm][0](usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """Takes the next bytes."""
        if self._crc is not None:
            self._value = self._crc.over(chunk, self._value)
        else:
            assert self._hash is not None
            self._hash.update(chunk)

    def base64(self) -> str:
        """The checksum so far, as S3 spells it: base64 of the big-endian value."""
        if self._crc is not None:
            return _spell(self._value, self._crc)
        assert self._hash is not None
        return base64.b64encode(self._hash.digest()).decode()


def checksum_of(algorithm: str, body: bytes) -> str:
    """The checksum of ``body``."""
    summing = Summing(algorithm)
    summing.update(body)
    return summing.base64()


def is_well_formed(algorithm: str, value: str) -> bool:
    """Whether ``value`` is base64 of as many bytes as ``algorithm`` makes."""
    crc = _CRCS.get(algorithm)
    try:
        return len(base64.b64decode(value, validate=True)) == (crc.bits // 8 if crc else _HASHES[algorithm][1])
    except (binascii.Error, ValueError):
        return False


def composite(algorithm: str, parts: Sequence[str]) -> str:
    """The checksum of the parts' checksums, ``-`` and their count."""
    return f"{checksum_of(algorithm, b''.join(base64.b64decode(part) for part in parts))}-{len(parts)}"


def combined(algorithm: str, parts: Sequence[tuple[str, int]]) -> str:
    """The CRC of the whole from each part's CRC and size in bytes."""
    crc = _CRCS[algorithm]
    value = 0
    for part, size_bytes in parts:
        value = crc.combine(value, int.from_bytes(base64.b64decode(part), "big"), size_bytes)
    return _spell(value, crc)


def _spell(value: int, crc: _Crc) -> str:
    return base64.b64encode(value.to_bytes(crc.bits // 8, "big")).decode()
