"""Any bytes of a bundled image, without unpacking the rest: by the tables of its assurance sidecar.

    image offset ─ extents ─▶ tar offset ─ chunks ─▶ gzip offset ─▶ 1 MiB of cipher text, of one or two parts, and the 16 bytes before it

The unit is the image's block of 512 KiB: it is put together whole, its SHA-256 compared with the signed one, and only then is any
byte of it given out.  A block that the sidecar does not list is zeros, and nothing is read for it.  Not checked: SHA-1 or SHA-256
of the parts, padding, the gzip stream's CRC; the block's own digest stands for them.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from isal import isal_zlib

from amiable.bundle import keys
from amiable.bundle.assurance import Assurance
from amiable.bundle.assurance_tables import DIGEST_BYTES, GZIP_HEADER_BYTES, Tables, unseal
from amiable.bundle.block_digests import digest_of
from amiable.bundle.dsse import fault
from amiable.bundle.inflate import IsalError
from amiable.bundle.parts import AES_BLOCK, PartOpener, folder_opener
from amiable.bundle.unbundle import unwrap_keys
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import Manifest
from amiable.model.units import BLOCK_BYTES

RangeReader = Callable[[str, int, int], bytes]
"""(file name of a part, offset, size): those bytes, fewer only where the part ends.  Raises BundleRefusal at stage parts."""

Secrets = tuple[bytes, bytes]
"""The bundle's AES key and IV."""

READ_BYTES_MAX: Final = 64 << 20
"""Of one call; larger reads are several calls."""

CHUNKS_KEPT: Final = 4
"""Unpacked chunks in memory: neighbours share one, for a block is half a chunk, and straddles two."""


class RandomReader:
    """The image of a bundle, readable at any offset.  Not for several threads at once."""

    def __init__(
        self, manifest: Manifest, part_bytes: int, tables: Tables, secrets: Secrets, parts: RangeReader
    ) -> None:
        self.size_bytes = manifest.size_bytes
        self._names = [part.filename for part in manifest.parts]
        self._part_bytes = part_bytes
        self._tables = tables
        self._key, self._iv = secrets
        self._read_range = parts
        self._chunks: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes of the image at ``offset``, fewer where it ends; each block verified by its SHA-256."""
        if offset < 0 or not 0 <= size <= READ_BYTES_MAX:
            raise LocalRefusal(f"a read is of 0 to {READ_BYTES_MAX} bytes, from 0 on", exit_code=2)
        end = min(offset + size, self.size_bytes)
        if offset >= end:
            return b""
        first = offset // BLOCK_BYTES
        data = b"".join(self.block(index) for index in range(first, -(-end // BLOCK_BYTES)))
        return data[offset - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def block(self, index: int) -> bytes:
        """Block ``index`` of the image, filled up with zeros to 512 KiB where the image ends; verified."""
        at = bisect_left(self._tables.block_indexes, index)
        if self._tables.block_indexes[at : at + 1].tolist() != [index]:
            return bytes(BLOCK_BYTES)
        block = bytearray(BLOCK_BYTES)
        start = index * BLOCK_BYTES
        for offset, tar_offset, length in self._stored(start, start + BLOCK_BYTES):
            block[offset - start : offset - start + length] = self._tar_bytes(tar_offset, length)
        if digest_of([(0, memoryview(block))]) != self._tables.digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)]:
            raise fault(
                f"Block {index} of the image is not the one that was bundled: its SHA-256 is not the sidecar's."
            )
        return bytes(block)

    def _stored(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """What the tar stream holds of the image from ``start`` to ``end``: image offset, offset in the stream, length."""
        tables = self._tables
        for at in range(max(0, bisect_right(tables.extent_offsets, start) - 1), len(tables.extent_offsets)):
            offset, length = tables.extent_offsets[at], tables.extent_lengths[at]
            if offset >= end:
                return
            low, high = max(start, offset), min(end, offset + length)
            if low < high:
                yield low, tables.tar_offsets[at] + low - offset, high - low

    def _tar_bytes(self, offset: int, size: int) -> bytes:
        """``size`` bytes of the tar stream at ``offset``."""
        ends, pieces = self._tables.chunk_ends, []
        index = bisect_right(ends, offset)
        while size:
            start = ends[index - 1] if index else 0
            piece = self._chunk(index)[offset - start : offset - start + size]
            pieces.append(piece)
            offset, size, index = offset + len(piece), size - len(piece), index + 1
        return b"".join(pieces)

    def _chunk(self, index: int) -> bytes:
        """Chunk ``index`` of the tar stream, unpacked."""
        if index in self._chunks:
            self._chunks.move_to_end(index)
            return self._chunks[index]
        tables = self._tables
        start = tables.deflated_ends[index - 1] if index else GZIP_HEADER_BYTES
        size = tables.chunk_ends[index] - (tables.chunk_ends[index - 1] if index else 0)
        inflater = isal_zlib.decompressobj(-15)
        try:
            plain = inflater.decompress(self._plain(start, tables.deflated_ends[index] - start), size + 1)
        except IsalError as error:
            raise BundleRefusal("gzip", f"Chunk {index} of the bundle is not sound deflate: {error}.") from error
        if len(plain) != size:
            raise BundleRefusal("gzip", f"Chunk {index} of the bundle has not the {size} bytes that the sidecar tells.")
        self._chunks[index] = plain
        if len(self._chunks) > CHUNKS_KEPT:
            self._chunks.popitem(last=False)
        return plain

    def _plain(self, offset: int, size: int) -> bytes:
        """``size`` bytes of the gzip stream at ``offset``, decrypted."""
        start = offset - offset % AES_BLOCK
        end = -(-(offset + size) // AES_BLOCK) * AES_BLOCK
        before = AES_BLOCK if start else 0
        text = self._cipher_text(start - before, end - start + before)
        iv = text[:AES_BLOCK] if before else self._iv
        decryptor = Cipher(algorithms.AES(self._key), modes.CBC(iv)).decryptor()
        return decryptor.update(text[before:])[offset - start : offset - start + size]

    def _cipher_text(self, offset: int, size: int) -> bytes:
        pieces = []
        while size:
            index, start = divmod(offset, self._part_bytes)
            wanted = min(size, self._part_bytes - start)
            piece = self._read_range(self._names[index], start, wanted)
            if len(piece) != wanted:
                raise BundleRefusal(
                    "parts", f"Part {self._names[index]} ends before byte {start + wanted}, which the sidecar needs."
                )
            pieces.append(piece)
            offset, size = offset + wanted, size - wanted
        return b"".join(pieces)


def open_random(
    manifest: Manifest, assurance: Assurance, read_range: RangeReader, private_key_pem: str | bytes
) -> RandomReader:
    """A reader of the bundle's image; ``assurance`` is its verified sidecar, ``private_key_pem`` the user's or the cloud's."""
    key, iv = unwrap_keys(manifest, keys.load_private_key(private_key_pem))
    tables = unseal(assurance.sealed, key, iv, manifest).tables
    if tables is None:
        raise fault(
            "The sidecar has no tables, for the image was too large for them: its bundle cannot be read at random.",
            "Unbundle it.",
        )
    return RandomReader(manifest, assurance.part_bytes, tables, (key, iv), read_range)


def folder_ranges(folder: Path) -> RangeReader:
    """Reads ranges of parts that lie in ``folder``; no symbolic link, no device."""
    return opened_ranges(folder_opener(folder))


def opened_ranges(opener: PartOpener) -> RangeReader:
    """Reads ranges of parts that ``opener`` opens and that can seek."""

    def read_range(filename: str, offset: int, size: int) -> bytes:
        try:
            stream = opener(filename)
        except FileNotFoundError as error:
            raise BundleRefusal("parts", f"Part {filename} is missing.") from error
        with stream:
            stream.seek(offset)
            pieces = []
            while size and (piece := stream.read(size)):
                pieces.append(piece)
                size -= len(piece)
            return b"".join(pieces)

    return read_range
