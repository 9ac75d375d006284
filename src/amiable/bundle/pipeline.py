"""From a disk image to a bundle, in one pass, with a few megabytes in hand.

    image ─ data only ─▶ tar stream ─┬─▶ SHA-1                                                  (one thread)
                                     └─▶ 1 MiB chunks ─▶ deflate, CRC-32 (threads) ─▶ in order ─▶ AES-128-CBC ─▶ 10 MiB parts ─▶ SHA-1

Holes are never read: the tar header is made from SEEK_DATA and SEEK_HOLE.  The gzip stream is *one* member whose chunks are deflated
independently, each ended by a full flush: it is packed on all cores, can be unpacked from the start of any chunk, and no known
reader stops early in it, as several do after the first of many members.  No intermediate file: a part is written as it fills, and
the manifest, last, makes the bundle.
"""

import hashlib
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from isal import isal_zlib

from amiable.bundle import keys, sparse_tar
from amiable.bundle.assurance import SUFFIX, sidecar_name, write_sidecar
from amiable.bundle.dsse import load_signing_key
from amiable.bundle.flow import ahead
from amiable.bundle.layout import Layout, open_image_file
from amiable.bundle.manifest_words import THIS_BUNDLER, check_account, check_words
from amiable.bundle.manifest_xml import write_manifest
from amiable.bundle.new_file import new_file, sync_folder, write_at
from amiable.bundle.parts import (
    AES_BLOCK,
    NAME,
    HandedOn,
    PartCutter,
    PartFiles,
    PartSink,
    part_count_max,
    part_digits,
)
from amiable.bundle.recorder import Recorder
from amiable.bundle.unbundle import Progress
from amiable.model.errors import LocalRefusal
from amiable.model.manifest import IMAGE_TYPES, KERNEL, MACHINE, Manifest, Mapping, Part, WrappedKey
from amiable.model.units import MIB

CHUNK_BYTES: Final = MIB
LEVEL: Final = 2
LEVELS: Final = range(4)
"""ISA-L's: 0 is fastest, 3 smallest."""

GZIP_HEADER: Final = bytes.fromhex("1f8b08000000000000ff")
"""Deflate, no time, system unknown: the same image and key give the same bytes."""

GZIP_END: Final = bytes.fromhex("0300")
"""An empty last block of deflate."""

WORKERS_MAX: Final = 8
CHUNKS_WAITING_PER_WORKER: Final = 2
CHUNKS_READ_AHEAD: Final = 4
PARTS_WAITING_MAX: Final = 2
"""Parts in memory that wait to be written into a folder."""

Deflated = tuple[bytes, int]
"""A chunk's raw deflate, and the CRC-32 of what it holds."""

_ZERO_CHUNK: Final = bytes(CHUNK_BYTES)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to bundle, as whom and for whom.  ``name`` is also the prefix of the parts; PEM texts are of RSA keys.

    ``ancestor_ami_ids`` are the images that this one came from, oldest first; ``kernel_name`` belongs to a kernel only.
    ``assurance_key_pem``, RSA or Ed25519, signs the assurance sidecar in place of the user's key.
    """

    image: Path | Layout
    name: str
    account_id: str
    architecture: str
    certificate_pem: str | bytes
    private_key_pem: str | bytes
    cloud_certificate_pem: str | bytes
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    block_device_mapping: tuple[Mapping, ...] = ()
    product_codes: tuple[str, ...] = ()
    image_type: str = MACHINE
    kernel_name: str | None = None
    ancestor_ami_ids: tuple[str, ...] = ()
    level: int = LEVEL
    assurance_key_pem: str | bytes | None = None


def create(
    recipe: Recipe,
    folder: Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
    recorder: Recorder | None = None,
) -> Path:
    """The path of the manifest of a new bundle of ``recipe.image`` in ``folder``.

    The manifest is written last, and after the parts are durable; when anything fails, nothing of the bundle remains.  ``force``
    replaces a bundle of the same name.  With a ``recorder`` the assurance sidecar is written too, before the manifest.
    """
    check_recipe(recipe)
    signing_keys = [load_signing_key(recipe.assurance_key_pem or recipe.private_key_pem)] if recorder else []
    manifest_path = folder / f"{recipe.name}.manifest.xml"
    sidecar_path = folder / sidecar_name(manifest_path.name)
    with open_layout(recipe.image) as layout, ExitStack() as undo:
        _clear(folder, recipe.name, force)
        files = PartFiles(folder)
        undo.callback(files.discard)
        with HandedOn(files.write, workers=1, waiting_max=PARTS_WAITING_MAX) as sink:
            document = create_into(replace(recipe, image=layout), sink, progress=progress, recorder=recorder)
        sync_folder(folder)
        if recorder is not None:
            undo.callback(sidecar_path.unlink, missing_ok=True)
            with new_file(sidecar_path) as file:
                write_at(file.fileno(), write_sidecar(recorder, document, signing_keys), 0)
        with new_file(manifest_path) as file:
            write_at(file.fileno(), document, 0)
        undo.pop_all()
    return manifest_path


def create_into(
    recipe: Recipe, sink: PartSink, *, progress: Progress | None = None, recorder: Recorder | None = None
) -> bytes:
    """The manifest's document of a new bundle of ``recipe.image``, after all its parts went to ``sink`` for good.

    ``progress`` counts the bytes of the image's data.  ``recorder`` is told of every chunk, part and digest.  When anything fails,
    what ``sink`` did with the parts is the caller's to undo.
    """
    check_recipe(recipe)
    private_key, user_key, cloud_key = _load_keys(recipe)
    key, iv = secrets.token_bytes(AES_BLOCK), secrets.token_bytes(AES_BLOCK)
    with open_layout(recipe.image) as layout, ExitStack() as reading:
        header = sparse_tar.header(recipe.name, layout.size_bytes, layout.extents)
        if recorder is not None:
            recorder.begin(layout.size_bytes, len(header), (key, iv))
        cutter = PartCutter(
            sink,
            recipe.name,
            digits=part_digits(part_count_max(len(header) + sparse_tar.stored_bytes(layout.extents))),
            encryptor=Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor(),
            told=_part_teller(recorder),
        )
        source = tar_chunks(header, layout, recorder)
        chunks = reading.enter_context(closing(ahead(source, CHUNKS_READ_AHEAD, stop_source=layout.stop)))
        meter = _Meter(layout, progress)
        image_sha1 = _pack(chunks, cutter, level=recipe.level, meter=meter, recorder=recorder)
        layout.check()
        parts = cutter.finish()
        sink.finish()
        manifest = replace(
            _describe(recipe),
            image_sha1=image_sha1,
            size_bytes=layout.size_bytes,
            parts=parts,
            bundled_size_bytes=cutter.size_bytes,
            ec2=WrappedKey(keys.wrap(key, cloud_key), keys.wrap(iv, cloud_key)),
            user=WrappedKey(keys.wrap(key, user_key), keys.wrap(iv, user_key)),
        )
    return write_manifest(manifest, private_key)


def _load_keys(recipe: Recipe) -> tuple[rsa.RSAPrivateKey, rsa.RSAPublicKey, rsa.RSAPublicKey]:
    """The user's private key, the user's public key and the cloud's; the first two are a pair."""
    private_key, user_key = keys.load_pair(recipe.private_key_pem, recipe.certificate_pem)
    return private_key, user_key, keys.load_public_keys(recipe.cloud_certificate_pem)[0]


def _part_teller(recorder: Recorder | None) -> Callable[[Part, memoryview], object] | None:
    if recorder is None:
        return None
    return lambda part, body: recorder.part(part.index, hashlib.sha256(body).digest())


def _describe(recipe: Recipe) -> Manifest:
    """The manifest as far as the recipe knows it."""
    return Manifest(
        name=recipe.name,
        account_id=recipe.account_id,
        image_sha1="",
        size_bytes=0,
        bundled_size_bytes=0,
        ec2=WrappedKey(None, None),
        user=WrappedKey(None, None),
        parts=(),
        bundler=THIS_BUNDLER,
        architecture=recipe.architecture,
        kernel_id=recipe.kernel_id,
        ramdisk_id=recipe.ramdisk_id,
        block_device_mapping=recipe.block_device_mapping,
        product_codes=recipe.product_codes,
        image_type=recipe.image_type,
        kernel_name=recipe.kernel_name,
        ancestor_ami_ids=recipe.ancestor_ami_ids,
    )


def check_recipe(recipe: Recipe) -> None:
    """Refuses what can be known before any work: names, values and keys."""
    if not NAME.fullmatch(recipe.name):
        raise LocalRefusal(
            f"{recipe.name!r} cannot be a bundle's name: at most 100 letters, digits, '.', '_' and '-', the first no '.' or '-'",
            hint="pass another with --prefix",
        )
    check_account(recipe.account_id)
    if recipe.image_type not in IMAGE_TYPES:
        raise LocalRefusal(f"{recipe.image_type!r} is not an image type: {', '.join(IMAGE_TYPES)}")
    if recipe.level not in LEVELS:
        raise LocalRefusal(f"there is no compression level {recipe.level}: 0 (fastest) to 3 (smallest)")
    if recipe.kernel_name is not None and recipe.image_type != KERNEL:
        raise LocalRefusal(f"a {recipe.image_type} image has no kernel's name", hint="bundle it as type kernel")
    mapped = [word for mapping in recipe.block_device_mapping for word in (mapping.virtual, mapping.device)]
    check_words("an architecture", [recipe.architecture])
    check_words("a kernel", [recipe.kernel_id, recipe.kernel_name])
    check_words("a ramdisk", [recipe.ramdisk_id])
    check_words("part of a block device mapping", mapped)
    check_words("a product code", recipe.product_codes)
    check_words("an ancestor", recipe.ancestor_ami_ids)
    _load_keys(recipe)
    if recipe.assurance_key_pem is not None:
        load_signing_key(recipe.assurance_key_pem)


@contextmanager
def open_layout(image: Path | Layout) -> Iterator[Layout]:
    """The image, opened; one that is open already stays so."""
    if isinstance(image, Layout):
        yield image
    else:
        with open_image_file(image) as layout:
            yield layout


def _clear(folder: Path, name: str, force: bool) -> None:
    """Makes room for a bundle ``name``; refuses where one lies already, unless forced."""
    if not force:
        check_free(folder, name)
    for path in _files_of(folder, name):
        path.unlink()


def check_free(folder: Path, name: str) -> None:
    """Refuses where a bundle ``name`` lies in ``folder`` already, or a part of one."""
    old = _files_of(folder, name)
    if old:
        raise LocalRefusal(
            f"{old[0]} exists already", hint="pass --force to replace the old bundle, or another --prefix"
        )


def _files_of(folder: Path, name: str) -> list[Path]:
    """The files of the bundle ``name`` that lie in ``folder``."""
    files = [folder / f"{name}.manifest.xml", folder / f"{name}{SUFFIX}"]
    old = [path for path in files if path.exists()]
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(f"{name}.part."))
    except OSError as error:
        raise LocalRefusal(
            f"{folder} cannot be used: {error.strerror}", hint="pass a folder that exists with --destination"
        ) from error
    return old + [path for path in found if path.name.removeprefix(f"{name}.part.").isdigit()]


class _Meter:
    """Tells ``progress`` how much of the image's data has gone through."""

    def __init__(self, layout: Layout, progress: Progress | None) -> None:
        self._total = sparse_tar.stored_bytes(layout.extents)
        self._done = 0
        self._progress = progress

    def add(self, size: int) -> None:
        """``size`` bytes more of the stream are done; its header and end are not counted beyond the total."""
        self._done = min(self._done + size, self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)


def tar_chunks(header: bytes, layout: Layout, recorder: Recorder | None) -> Iterator[bytearray]:
    """The tar stream in chunks of 1 MiB, the last shorter."""
    end = sparse_tar.trailer(len(header), sparse_tar.stored_bytes(layout.extents))
    regions = chain(
        [(len(header), _from_bytes(header))],
        ((length, _from_image(layout, offset, recorder)) for offset, length in layout.extents),
        [(len(end), _from_bytes(end))],
    )
    chunk, filled = bytearray(CHUNK_BYTES), 0
    for length, read_into in regions:
        at = 0
        while at < length:
            size = min(length - at, CHUNK_BYTES - filled)
            read_into(memoryview(chunk)[filled : filled + size], at)
            filled, at = filled + size, at + size
            if filled == CHUNK_BYTES:
                yield chunk
                chunk, filled = bytearray(CHUNK_BYTES), 0
    if filled:
        yield chunk[:filled]


def _from_bytes(data: bytes) -> Callable[[memoryview, int], None]:
    def read_into(view: memoryview, at: int) -> None:
        view[:] = data[at : at + len(view)]

    return read_into


def _from_image(layout: Layout, offset: int, recorder: Recorder | None) -> Callable[[memoryview, int], None]:
    def read_into(view: memoryview, at: int) -> None:
        layout.read_into(view, offset + at)
        if recorder is not None:
            recorder.data(offset + at, view)

    return read_into


def _pack(
    chunks: Iterator[bytearray], cutter: PartCutter, *, level: int, meter: "_Meter", recorder: Recorder | None
) -> str:
    """Writes ``chunks`` as gzip to ``cutter``; the SHA-1 of the chunks, in hex."""
    digest = hashlib.sha1(usedforsecurity=False)
    modern_digest = hashlib.sha256()
    workers = min(WORKERS_MAX, os.cpu_count() or 1)
    waiting: deque[tuple[int, Future[Deflated], Future[None]]] = deque()
    plain_bytes, crc, gzip_bytes = 0, 0, 0

    def put(data: bytes) -> None:
        nonlocal gzip_bytes
        gzip_bytes += len(data)
        cutter.write(data)

    def put_oldest() -> None:
        nonlocal plain_bytes, crc
        size, deflating, hashing = waiting.popleft()
        hashing.result()
        deflated, chunk_crc = deflating.result()
        put(deflated)
        crc = isal_zlib.crc32_combine(crc, chunk_crc, size)
        plain_bytes += size
        if recorder is not None:
            recorder.chunk(size, len(deflated))
        meter.add(size)

    def hash_chunk(chunk: bytearray) -> None:
        digest.update(chunk)
        if recorder is not None:
            modern_digest.update(chunk)

    put(GZIP_HEADER)
    with ThreadPoolExecutor(1, "bundle-sha1") as hasher, ThreadPoolExecutor(workers, "bundle-deflate") as deflaters:
        for chunk in chunks:
            waiting.append((len(chunk), deflaters.submit(deflate, chunk, level), hasher.submit(hash_chunk, chunk)))
            if len(waiting) > workers * CHUNKS_WAITING_PER_WORKER:
                put_oldest()
        while waiting:
            put_oldest()
    put(GZIP_END + crc.to_bytes(4, "little") + (plain_bytes & 0xFFFFFFFF).to_bytes(4, "little"))
    padding = AES_BLOCK - gzip_bytes % AES_BLOCK
    put(bytes([padding]) * padding)
    if recorder is not None:
        recorder.stream(modern_digest.digest())
    return digest.hexdigest()


def deflate(chunk: bytearray, level: int) -> Deflated:
    """Raw deflate of ``chunk`` that refers to nothing before it and ends on a byte; and its CRC-32."""
    if chunk == _ZERO_CHUNK:
        return _zeros_deflated(level)
    return _deflate_afresh(chunk, level)


@cache
def _zeros_deflated(level: int) -> Deflated:
    return _deflate_afresh(_ZERO_CHUNK, level)


def _deflate_afresh(chunk: bytearray | bytes, level: int) -> Deflated:
    compressor = isal_zlib.compressobj(level, isal_zlib.DEFLATED, -15)
    return compressor.compress(chunk) + compressor.flush(isal_zlib.Z_FULL_FLUSH), isal_zlib.crc32(chunk)
