"""Packs: files of block records, written once, by one writer, to 64 MiB at most, then closed.

    packs/<ulid>  =  record | record | …                                    back to back, no header, no padding
    record        =  "BLK1" | codec u8 | key-id u8 | 0 u16 | stored length u32 LE | SHA-256 of the plain bytes (32) | payload
    codec         =  0 plain, 1 zstd          key-id  =  0 none

Each record names itself, so the index can be rebuilt from the packs alone.  A pack's row knows how many of the file's bytes are
durable: what lies behind them was never acknowledged and is cut off when the store opens.  A place in a pack is never used
twice (rule R6): after a failed write or sync the pack is closed at its durable size and the next record goes to a new one.
"""

import errno
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import zstandard

from amiable.blocks.files import Files
from amiable.model.units import BLOCK_BYTES, MIB

MAGIC: Final = b"BLK1"
HEADER: Final = struct.Struct("<4sBBHI32s")
PLAIN: Final = 0
ZSTD: Final = 1
ZSTD_LEVEL: Final = 1
SAVING_PERCENT_MIN: Final = 5
PACK_BYTES_MAX: Final = 64 * MIB
KEPT_FREE_BYTES: Final = 4 * MIB
"""No block is written into the last of the disk: what failed, and why, must still find room in the database."""


class PackDamaged(Exception):
    """A record is not what its place, its header or its name says it is."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A block as a record holds it."""

    digest: bytes
    codec: int
    payload: bytes

    def record(self) -> bytes:
        """The record's bytes."""
        assert len(self.digest) == 32 and len(self.payload) <= BLOCK_BYTES
        return HEADER.pack(MAGIC, self.codec, 0, 0, len(self.payload), self.digest) + self.payload


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies: its pack, its first byte, and the length of its payload."""

    pack: str
    offset: int
    stored_length: int
    codec: int

    @property
    def end(self) -> int:
        """The byte behind the record."""
        return self.offset + HEADER.size + self.stored_length


def encode_block(digest: bytes, plain: bytes, *, compress: bool) -> Stored:
    """``plain`` ready for a pack: compressed where that saves at least 5 %."""
    assert len(plain) == BLOCK_BYTES
    if compress:
        payload = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(plain)
        if len(payload) * 100 <= len(plain) * (100 - SAVING_PERCENT_MIN):
            return Stored(digest, ZSTD, payload)
    return Stored(digest, PLAIN, plain)


def decode_block(digest: bytes, codec: int, payload: bytes) -> bytes:
    """The plain bytes, proved to be those that ``digest`` names; raises PackDamaged."""
    if codec == ZSTD:
        plain = _decompress(payload)
    elif codec == PLAIN:
        plain = payload
    else:
        raise PackDamaged(f"codec {codec} is unknown")
    if sha256(plain).digest() != digest:
        raise PackDamaged(f"the bytes are not those of block {digest.hex()}")
    return plain


def _decompress(payload: bytes) -> bytes:
    """Decompresses exactly one block; what declares another length is not decompressed at all."""
    try:
        if zstandard.frame_content_size(payload) != BLOCK_BYTES:
            raise PackDamaged("the compressed block declares another length than a block's")
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=BLOCK_BYTES)
    except zstandard.ZstdError as error:
        raise PackDamaged(f"the compressed block does not decompress: {error}") from None


def read_record(descriptor: int, place: Place, digest: bytes) -> bytes:
    """The plain bytes of the record at ``place``, checked against its header and its name; raises PackDamaged."""
    record = os.pread(descriptor, HEADER.size + place.stored_length, place.offset)
    if len(record) != HEADER.size + place.stored_length:
        raise PackDamaged(f"pack {place.pack} ends within the record at {place.offset}")
    magic, codec, key_id, _, stored_length, named = HEADER.unpack_from(record)
    if (magic, codec, key_id, stored_length, named) != (MAGIC, place.codec, 0, place.stored_length, digest):
        raise PackDamaged(f"pack {place.pack} has another record at {place.offset}")
    return decode_block(digest, codec, record[HEADER.size :])


def read_place(folder: Path, place: Place, digest: bytes) -> bytes:
    """:func:`read_record` of the pack in ``folder``; a pack that is not there is PackDamaged too."""
    try:
        descriptor = os.open(folder / place.pack, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PackDamaged(f"pack {place.pack} is missing") from None
    try:
        return read_record(descriptor, place, digest)
    finally:
        os.close(descriptor)


def scan(path: Path, size_bytes: int) -> Iterator[tuple[bytes, Place]]:
    """Digest and place of each record within the first ``size_bytes``; raises PackDamaged where the chain breaks."""
    with path.open("rb") as file:
        offset = 0
        while offset < size_bytes:
            file.seek(offset)
            head = file.read(HEADER.size)
            if len(head) != HEADER.size or head[:4] != MAGIC:
                raise PackDamaged(f"pack {path.name} has no record at {offset}")
            _, codec, _, _, stored_length, digest = HEADER.unpack(head)
            place = Place(path.name, offset, stored_length, codec)
            if place.end > size_bytes:
                raise PackDamaged(f"pack {path.name} ends within the record at {offset}")
            yield digest, place
            offset = place.end


@dataclass(slots=True)
class OpenPack:
    """A pack that is being written; ``confirmed_bytes`` of it are durable and named by a committed row."""

    id: str
    descriptor: int
    size_bytes: int = 0
    confirmed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Extent:
    """What a pack's row has to say: how long it is, and whether it is closed."""

    pack: str
    size_bytes: int
    closed: bool


class PackWriter:
    """Appends records; at most one pack is open.  Not thread-safe: the committer alone holds it.

    ``register`` is called with a new pack's id before its file is made, and must leave a durable row for it (rule R7).
    The order is append… → sync → (rows are committed) → confirm; on any error in between, give_up.
    """

    def __init__(
        self, folder: Path, files: Files, *, new_id: Callable[[], str], register: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._files = files
        self._new_id = new_id
        self._register = register
        self._open: OpenPack | None = None
        self._full: list[OpenPack] = []

    def append(self, stored: Stored) -> Place:
        """Writes one record behind the last; durable after :meth:`sync`.  Raises ENOSPC before the disk is wholly full."""
        record = stored.record()
        if self._files.free_bytes(self._folder) < KEPT_FREE_BYTES + len(record):
            raise OSError(errno.ENOSPC, "the last of the disk is kept for the facts", str(self._folder))
        if self._open is not None and self._open.size_bytes + len(record) > PACK_BYTES_MAX:
            self._full.append(self._open)
            self._open = None
        if self._open is None:
            self._open = self._create()
        pack = self._open
        self._files.write(pack.descriptor, record, pack.size_bytes)
        place = Place(pack.id, pack.size_bytes, len(stored.payload), stored.codec)
        pack.size_bytes += len(record)
        return place

    def sync(self) -> list[Extent]:
        """Makes every appended record durable; returns what to write into the rows of the packs that grew."""
        grown = [pack for pack in self._packs() if pack.size_bytes > pack.confirmed_bytes]
        for pack in grown:
            self._files.sync(pack.descriptor)
        full = [pack for pack in self._full if pack not in grown]
        return [Extent(pack.id, pack.size_bytes, pack is not self._open) for pack in grown + full]

    def confirm(self) -> None:
        """The rows that name the synced records are committed."""
        for pack in self._packs():
            pack.confirmed_bytes = pack.size_bytes
        for pack in self._full:
            self._files.close(pack.descriptor)
        self._full = []

    def give_up(self, *, cut: bool) -> list[str]:
        """Closes every pack and returns their names: their rows are to be closed as well, some time.

        ``cut`` takes away what was not confirmed.  It is for failures *before* the rows' transaction only: a commit that failed
        may have happened all the same, and then its rows name those bytes.
        """
        packs = self._packs()
        self._full, self._open = [], None
        for pack in packs:
            try:
                if cut:
                    self._files.truncate(pack.descriptor, pack.confirmed_bytes)
            except OSError:
                pass  # the tail stays: the row's size says that it is garbage
            finally:
                self._files.close(pack.descriptor)
        return [pack.id for pack in packs]

    def _packs(self) -> list[OpenPack]:
        return self._full + ([] if self._open is None else [self._open])

    def _create(self) -> OpenPack:
        pack_id = self._new_id()
        self._register(pack_id)
        descriptor = self._files.create(self._folder / pack_id)
        try:
            self._files.sync_folder(self._folder)
        except BaseException:
            self._files.close(descriptor)
            raise
        return OpenPack(pack_id, descriptor)


def cut_tail(path: Path, size_bytes: int, files: Files) -> int:
    """Cuts an interrupted pack to its durable ``size_bytes``; returns how many bytes went.  Raises PackDamaged if it is shorter."""
    descriptor = files.open(path)
    try:
        found = os.fstat(descriptor).st_size
        if found < size_bytes:
            raise PackDamaged(f"pack {path.name} has {found} bytes of {size_bytes} that were acknowledged")
        if found > size_bytes:
            files.truncate(descriptor, size_bytes)
            files.sync(descriptor)
        return found - size_bytes
    finally:
        files.close(descriptor)
