"""The tables that make a bundle randomly readable: where the image's bytes lie in the tar stream, and that in the parts.

    image offset ─ extents ─▶ tar offset ─ chunks ─▶ deflate offset ─ first_chunk_at ─▶ cipher text ─ part_bytes ─▶ part, offset

They tell much of the image (where it is empty, how well it packs, the SHA-256 of every 512 KiB), so they are sealed: AES-256-GCM
under a key that is derived from the bundle's own, and whoever can open the bundle can read them.

    sealed = nonce (12) ‖ AES-256-GCM( MessagePack map ) ‖ tag (16)
    key    = HKDF-SHA-256( the AES key (16), salt: the IV (16), info: "amiable-bundle-assurance-v1", 32 bytes )

Authentic is not honest: the signer may be a stranger's account.  Every table is bounded, and they must agree with one another, with
the manifest's sizes and with the content digest before anything is read by them.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta

from amiable.bundle.dsse import fault
from amiable.bundle.parts import AES_BLOCK
from amiable.bundle.recorder import BLOCKS_MAX, CHUNKS_MAX, EXTENTS_MAX, Recorder
from amiable.model.manifest import Manifest
from amiable.model.units import BLOCK_BYTES, KIB, MIB
from amiable.rules.content_digest import content_digest

GZIP_HEADER_BYTES: Final = 10
GZIP_END_BYTES: Final = 10
"""An empty last block of deflate (2), CRC-32 (4), length (4)."""

CHUNK_BYTES_MIN: Final = 64 * KIB
CHUNK_BYTES_MAX: Final = 4 * MIB
"""Of plain text; the last chunk may be shorter."""

DEFLATED_BYTES_MAX: Final = CHUNK_BYTES_MAX + 64 * KIB
DIGEST_BYTES: Final = 32

_INFO: Final = b"amiable-bundle-assurance-v1"
_NONCE_BYTES: Final = 12

_Number = Annotated[int, Meta(ge=0, le=1 << 45)]
_Digest = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]


class _Document(msgspec.Struct, frozen=True):
    """What is sealed.  Tables are flat lists of numbers; all are absent where an image is too large for them."""

    content_digest: _Digest
    header_bytes: _Number = 0
    extents: Annotated[list[_Number], Meta(max_length=2 * EXTENTS_MAX)] | None = None  # (gap before, length) …
    chunks: Annotated[list[_Number], Meta(max_length=2 * CHUNKS_MAX)] | None = None  # (plain bytes, how many alike) …
    deflated: Annotated[list[_Number], Meta(max_length=CHUNKS_MAX)] | None = None  # bytes of each chunk
    blocks: Annotated[list[_Number], Meta(max_length=2 * BLOCKS_MAX)] | None = None  # (gap before, how many in a row) …
    digests: Annotated[bytes, Meta(max_length=DIGEST_BYTES * BLOCKS_MAX)] | None = None  # of each of those blocks


@dataclass(frozen=True, slots=True)
class Tables:
    """Extents and chunks as places to search in; ``block_indexes`` are the blocks that are not zeros, ``digests`` theirs, joined.

    ``tar_offsets`` are where each extent begins in the tar stream; ``chunk_ends`` and ``deflated_ends`` where each chunk ends in it
    and in the gzip stream.  All rise.
    """

    extent_offsets: "array[int]"
    extent_lengths: "array[int]"
    tar_offsets: "array[int]"
    chunk_ends: "array[int]"
    deflated_ends: "array[int]"
    block_indexes: "array[int]"
    digests: bytes

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Index and SHA-256 of every block that is not all zeros."""
        for at, index in enumerate(self.block_indexes):
            yield index, self.digests[DIGEST_BYTES * at : DIGEST_BYTES * at + DIGEST_BYTES]


@dataclass(frozen=True, slots=True)
class Contents:
    """What was sealed: the image's content digest and, unless the image is too large for them, the tables."""

    content_digest: bytes
    tables: Tables | None


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def seal(recorder: Recorder) -> bytes:
    """What ``recorder`` noted of the image, sealed with the key and IV of its bundle."""
    digest = recorder.content_digest()
    document = _Document(digest)
    if recorder.is_complete and _is_regular(recorder):
        document = _Document(
            digest,
            header_bytes=recorder.header_bytes,
            extents=list(_gaps(recorder.extent_offsets, recorder.extent_lengths)),
            chunks=list(_runs_alike(recorder.chunk_bytes)),
            deflated=list(recorder.deflated_bytes),
            blocks=list(_runs_rising(recorder.block_indexes)),
            digests=bytes(recorder.block_digests),
        )
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_derive(*recorder.secrets)).encrypt(nonce, msgspec.msgpack.encode(document), None)


def _is_regular(recorder: Recorder) -> bool:
    """Whether the chunks are of a size that readers take."""
    sizes = recorder.chunk_bytes
    return all(CHUNK_BYTES_MIN <= size <= CHUNK_BYTES_MAX for size in sizes[:-1]) and all(
        size <= CHUNK_BYTES_MAX for size in sizes[-1:]
    )


def _derive(key: bytes, iv: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=iv, info=_INFO).derive(key)


def _gaps(offsets: Iterable[int], lengths: Iterable[int]) -> Iterator[int]:
    end = 0
    for offset, length in zip(offsets, lengths, strict=True):
        yield offset - end
        yield length
        end = offset + length


def _runs_alike(sizes: Iterable[int]) -> Iterator[int]:
    for size, alike in groupby(sizes):
        yield size
        yield len(list(alike))


def _runs_rising(indexes: Sequence[int]) -> Iterator[int]:
    end = 0
    for _, run in groupby(enumerate(indexes), lambda pair: pair[1] - pair[0]):
        found = [index for _, index in run]
        yield found[0] - end
        yield len(found)
        end = found[-1] + 1


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def unseal(sealed: bytes, key: bytes, iv: bytes, manifest: Manifest) -> Contents:
    """What :func:`seal` hid, every table checked against the others and against ``manifest``; raises BundleRefusal."""
    nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    if len(text) < AES_BLOCK:
        raise fault("The sidecar's sealed part is cut short.")
    try:
        plain = AESGCM(_derive(key, iv)).decrypt(nonce, text, None)
    except InvalidTag as error:
        raise fault("The sidecar's sealed part does not open with the bundle's key: it is another bundle's.") from error
    try:
        document = msgspec.msgpack.decode(plain, type=_Document)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise fault(f"The sidecar's tables are not what they should be: {str(error)[:200]}.") from error
    return Contents(document.content_digest, _tables(document, manifest))


def _tables(document: _Document, manifest: Manifest) -> Tables | None:
    extents, chunks, deflated = document.extents, document.chunks, document.deflated
    blocks, digests = document.blocks, document.digests
    if extents is None or chunks is None or deflated is None or blocks is None or digests is None:
        return None
    offsets, lengths = _read_extents(extents, manifest.size_bytes)
    tables = Tables(
        extent_offsets=offsets,
        extent_lengths=lengths,
        tar_offsets=array("Q", accumulate(lengths[:-1], initial=document.header_bytes)) if lengths else array("Q"),
        chunk_ends=_read_chunks(chunks, len(deflated)),
        deflated_ends=_read_deflated(deflated, manifest.bundled_size_bytes),
        block_indexes=_read_blocks(blocks, -(-manifest.size_bytes // BLOCK_BYTES), len(digests)),
        digests=digests,
    )
    stored = document.header_bytes + sum(lengths)
    if not tables.chunk_ends or stored > tables.chunk_ends[-1]:
        raise fault("The sidecar's chunks hold less than its extents.")
    if content_digest(manifest.size_bytes, tables.blocks()) != document.content_digest:
        raise fault("The sidecar's content digest is not that of its blocks.")
    return tables


def _read_extents(pairs: list[int], size_bytes: int) -> tuple["array[int]", "array[int]"]:
    offsets, lengths, end = array("Q"), array("Q"), 0
    for gap, length in _pairs(pairs, "extents"):
        if not length or end + gap + length > size_bytes:
            raise fault("An extent in the sidecar is empty, or lies beyond the image.")
        offsets.append(end + gap)
        lengths.append(length)
        end += gap + length
    return offsets, lengths


def _read_chunks(pairs: list[int], count: int) -> "array[int]":
    runs = list(_pairs(pairs, "chunks"))
    if sum(alike for _, alike in runs) != count or count > CHUNKS_MAX:
        raise fault(f"The sidecar has {count} chunks, but not as many lengths.")
    sizes = array("Q", chain.from_iterable([size] * alike for size, alike in runs))
    if any(not CHUNK_BYTES_MIN <= size <= CHUNK_BYTES_MAX for size in sizes[:-1]) or any(
        not 0 < size <= CHUNK_BYTES_MAX for size in sizes[-1:]
    ):
        raise fault(f"A chunk in the sidecar has not {CHUNK_BYTES_MIN} to {CHUNK_BYTES_MAX} bytes.")
    return array("Q", accumulate(sizes))


def _read_deflated(sizes: list[int], bundled_size_bytes: int) -> "array[int]":
    if any(not 0 < size <= DEFLATED_BYTES_MAX for size in sizes):
        raise fault(f"A chunk in the sidecar is empty, or has more than {DEFLATED_BYTES_MAX} bytes packed.")
    ends = array("Q", accumulate(sizes, initial=GZIP_HEADER_BYTES))[1:]
    gzip_bytes = (ends[-1] if ends else GZIP_HEADER_BYTES) + GZIP_END_BYTES
    if gzip_bytes + AES_BLOCK - gzip_bytes % AES_BLOCK != bundled_size_bytes:
        raise fault(f"The sidecar's chunks do not make the manifest's {bundled_size_bytes} bytes.")
    return ends


def _read_blocks(pairs: list[int], block_count: int, digest_bytes: int) -> "array[int]":
    indexes, end = array("Q"), 0
    for gap, count in _pairs(pairs, "blocks"):
        if not count or end + gap + count > block_count or len(indexes) + count > BLOCKS_MAX:
            raise fault("The sidecar's blocks are none, too many, or lie beyond the image.")
        indexes.extend(range(end + gap, end + gap + count))
        end += gap + count
    if digest_bytes != DIGEST_BYTES * len(indexes):
        raise fault(f"The sidecar has {len(indexes)} blocks, but {digest_bytes} bytes of digests.")
    return indexes


def _pairs(numbers: list[int], what: str) -> Iterator[tuple[int, int]]:
    if len(numbers) % 2:
        raise fault(f"The sidecar's {what} are no pairs.")
    return zip(numbers[::2], numbers[1::2], strict=True)
