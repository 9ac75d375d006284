"""The exporter's map of one volume: where each block of its snapshot lies, so that no database is needed to serve it.

    file   = head | packs | entries | SHA-256 of all before it (32)               all numbers little-endian
    head   = "AMIMAP01" | size of the disk in bytes u64 | packs u32 | entries u32
    pack   = ULID, the file's name in packs/ (26)
    entry  = index u32 | pack u32 | offset u32 | stored length u32 | codec u8 | key-id u8 | 0 u16 | SHA-256 of the plain bytes (32)

Entries ascend by index; a block without one reads as zeros.  A map is written whole (temporary file, sync, rename) and pins the
packs that it names.
"""

import mmap
import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from amiable.blocks.pack import Place

MAGIC: Final = b"AMIMAP01"
HEAD: Final = struct.Struct("<8sQII")
ENTRY: Final = struct.Struct("<IIIIBBH32s")
PACK_NAME_BYTES: Final = 26
CHECKSUM_BYTES: Final = 32


class MapDamaged(Exception):
    """The file is no whole map."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One block of the disk and where it lies."""

    index: int
    digest: bytes
    place: Place


def encode_map(size_bytes: int, entries: Sequence[Entry]) -> bytes:
    """The map's file for a disk of ``size_bytes``; ``entries`` ascend by index."""
    packs = sorted({entry.place.pack for entry in entries})
    number = {pack: at for at, pack in enumerate(packs)}
    body = bytearray(HEAD.pack(MAGIC, size_bytes, len(packs), len(entries)))
    for pack in packs:
        assert len(pack) == PACK_NAME_BYTES
        body += pack.encode()
    for entry in entries:
        place = entry.place
        body += ENTRY.pack(
            entry.index, number[place.pack], place.offset, place.stored_length, place.codec, 0, 0, entry.digest
        )
    return bytes(body) + sha256(body).digest()


class ExportMap:
    """A map's file, mapped into memory; :meth:`find` is a binary search."""

    def __init__(self, path: Path) -> None:
        """Opens and checks the file; raises MapDamaged."""
        with path.open("rb") as file:
            if path.stat().st_size < HEAD.size + CHECKSUM_BYTES:
                raise MapDamaged(f"{path.name} is too short for a map")
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, size_bytes, pack_count, entry_count = HEAD.unpack_from(self._bytes)
        self.size_bytes: int = size_bytes
        self.entry_count: int = entry_count
        if magic != MAGIC:
            raise MapDamaged(f"{path.name} is not a map of a version that is known here")
        self._first = HEAD.size + pack_count * PACK_NAME_BYTES
        end = self._first + self.entry_count * ENTRY.size
        if len(self._bytes) != end + CHECKSUM_BYTES:
            raise MapDamaged(f"{path.name} has another length than its head says")
        with memoryview(self._bytes) as view, view[:end] as body:
            self.checksum = sha256(body).digest()
        if self._bytes[end:] != self.checksum:
            raise MapDamaged(f"{path.name} does not match its checksum")
        names = self._bytes[HEAD.size : self._first].decode()
        self.packs = [names[at : at + PACK_NAME_BYTES] for at in range(0, len(names), PACK_NAME_BYTES)]

    def __len__(self) -> int:
        return self.entry_count

    def entry(self, at: int) -> Entry:
        """The entry at position ``at``, in index order."""
        index, pack, offset, stored_length, codec, _, _, digest = ENTRY.unpack_from(
            self._bytes, self._first + at * ENTRY.size
        )
        return Entry(index, digest, Place(self.packs[pack], offset, stored_length, codec))

    def find(self, index: int) -> Entry | None:
        """The entry of block ``index``; None where the disk has zeros."""
        at = bisect_left(range(self.entry_count), index, key=self._index)
        if at == self.entry_count or self._index(at) != index:
            return None
        return self.entry(at)

    def next_data(self, index: int) -> int | None:
        """The first block from ``index`` on that has bytes."""
        at = bisect_left(range(self.entry_count), index, key=self._index)
        return None if at == self.entry_count else self._index(at)

    def _index(self, at: int) -> int:
        return int.from_bytes(self._bytes[self._first + at * ENTRY.size : self._first + at * ENTRY.size + 4], "little")

    def close(self) -> None:
        """Unmaps the file."""
        self._bytes.close()
