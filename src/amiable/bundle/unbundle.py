"""From a manifest and its parts back to the image, trusting nothing before it is verified.

    manifest ─ strict ─▶ signature ─▶ key, IV ─▶ part: SHA-1 ─▶ AES-128-CBC ─▶ gunzip ─┬─▶ tar ─▶ extents of the image
                                                                                       └─▶ SHA-1 of the stream ─▶ compared last

Bounds: cipher text by ``bundled_size``, the image by ``size``; inflation asks for 1 MiB at a time.  What a sink was given is the
image only once the call returns: after any refusal the caller discards it.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from isal import igzip_lib

from amiable.bundle import keys, sparse_tar
from amiable.bundle.flow import ahead
from amiable.bundle.manifest_xml import MANIFEST_BYTES_MAX, read_manifest, verify_signature
from amiable.bundle.new_file import new_file, write_at
from amiable.bundle.parts import AES_BLOCK, PartOpener, folder_opener, read_parts
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import Manifest

Sink = Callable[[int, bytes], object]
"""Takes (offset, data): data of at most 1 MiB, never empty, in rising order, never overlapping.  Offsets not given are zeros."""

Progress = Callable[[int, int], object]
"""Told (bytes done, bytes in all), now and then."""

PIECE_BYTES: Final = 1 << 20
IsalError: Final[type[Exception]] = getattr(igzip_lib, "IsalError")  # noqa: B009 - its stub takes the class for an instance
INFLATE_INPUT_BYTES: Final = 1 << 16
HOLE_BYTES: Final = 4096
AHEAD_PIECES: Final = 8

_HOLE: Final = bytes(HOLE_BYTES)


def open_image(
    manifest: Manifest,
    opener: PartOpener,
    private_key_pem: str | bytes,
    sink: Sink,
    *,
    progress: Progress | None = None,
    waive_image_digest: bool = False,
) -> None:
    """Gives ``sink`` every byte of the image that is not zero; raises BundleRefusal where anything is wrong.

    ``private_key_pem`` is the user's or the cloud's.  ``progress`` counts bytes of the bundle.  The signature is not looked at:
    :func:`manifest_xml.verify_signature` is called before.  ``waive_image_digest`` is for bundles of euca2ools before 1.3.2, which
    wrote a wrong one.
    """
    key, iv = unwrap_keys(manifest, keys.load_private_key(private_key_pem))
    cipher_text = _counted(read_parts(manifest, opener), manifest.bundled_size_bytes, progress)
    with (
        ThreadPoolExecutor(1, "bundle-sha1") as hasher,
        closing(ahead(_inflate(_decrypt(cipher_text, key, iv)), AHEAD_PIECES)) as pieces,
    ):
        stream = _Stream(pieces, hasher)
        member = sparse_tar.read_member(stream, manifest.size_bytes)
        for offset, piece in sparse_tar.read_extents(stream, member, PIECE_BYTES):
            for start, data in _without_holes(piece):
                sink(offset + start, data)
        digest = stream.finish()
    if digest != manifest.image_sha1 and not waive_image_digest:
        raise BundleRefusal(
            "image", "The image's digest is not the manifest's, though every part fits: the bundler erred, or lied."
        )


def unwrap_keys(manifest: Manifest, private_key: rsa.RSAPrivateKey) -> tuple[bytes, bytes]:
    """AES key and IV, through the user's wrapping or the cloud's, whichever ``private_key`` opens."""
    for wrapped in (manifest.user, manifest.ec2):
        if wrapped.key is None or wrapped.iv is None:
            continue
        key, iv = keys.unwrap(wrapped.key, private_key), keys.unwrap(wrapped.iv, private_key)
        if key is not None and iv is not None:
            return key, iv
    raise BundleRefusal(
        "key",
        "The private key does not open this bundle: it was made for other certificates.",
        hint="Give the private key of the user who made the bundle, or of the cloud it was made for.",
    )


def _counted(pieces: Iterator[bytes], total_bytes: int, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        if progress is not None:
            progress(done, total_bytes)


def _decrypt(pieces: Iterator[bytes], key: bytes, iv: bytes) -> Iterator[bytes]:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    last = b""
    for piece in pieces:
        plain = last + decryptor.update(piece)
        cut = max(0, len(plain) - AES_BLOCK)
        last = plain[cut:]
        yield plain[:cut]
    # bundled_size is a multiple of 16 and was counted, so the last block is whole.
    assert len(last) == AES_BLOCK
    count = last[-1]
    if not 1 <= count <= AES_BLOCK or last[-count:] != bytes([count]) * count:
        raise BundleRefusal(
            "cipher", "The last block is not padded as AES-128-CBC demands: wrong key, or a damaged end."
        )
    yield last[:-count]


def _inflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The contents of one or more gzip members, and nothing else behind them."""
    member, fresh = _gzip_reader(), True
    any_ended = False
    for piece in pieces:
        for start in range(0, len(piece), INFLATE_INPUT_BYTES):
            data = piece[start : start + INFLATE_INPUT_BYTES]
            while data or not (fresh or member.needs_input):
                if data and any_ended and fresh and data[:2] not in (b"\x1f\x8b", b"\x1f"):
                    raise BundleRefusal("gzip", "After the gzip stream come bytes that are no gzip.")
                fresh = False
                try:
                    plain = member.decompress(data, PIECE_BYTES)
                except IsalError as error:
                    raise BundleRefusal("gzip", f"The decrypted stream is not sound gzip: {error}.") from error
                if plain:
                    yield plain
                data = b""
                if member.eof:
                    data, member, fresh, any_ended = member.unused_data, _gzip_reader(), True, True
    if not fresh or not any_ended:
        raise BundleRefusal("gzip", "The gzip stream is cut short.")


def _gzip_reader() -> igzip_lib.IgzipDecompressor:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


class _Stream:
    """The tar stream as ``sparse_tar`` reads it; its SHA-1 is taken in a thread beside."""

    def __init__(self, pieces: Iterator[bytes], hasher: ThreadPoolExecutor) -> None:
        self._pieces = pieces
        self._hasher = hasher
        self._digest = hashlib.sha1(usedforsecurity=False)
        self._hashing: Future[None] | None = None
        self._piece = b""
        self._at = 0

    def read_some(self, size: int) -> bytes:
        """At least one and at most ``size`` bytes; ``b''`` at the end."""
        if self._at == len(self._piece) and not self._next():
            return b""
        taken = self._piece if not self._at and size >= len(self._piece) else self._piece[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def read_exactly(self, size: int) -> bytes:
        """The next ``size`` bytes; refuses the stream if it ends before."""
        taken = []
        while size:
            piece = self.read_some(size)
            if not piece:
                raise BundleRefusal("tar", "The tar stream is refused: it is cut short.")
            taken.append(piece)
            size -= len(piece)
        return b"".join(taken)

    def finish(self) -> str:
        """The SHA-1 of all that was read, in hex; the stream must have ended."""
        assert self._at == len(self._piece)
        if self._hashing is not None:
            self._hashing.result()
        return self._digest.hexdigest()

    def _next(self) -> bool:
        piece = next(self._pieces, b"")
        if not piece:
            return False
        if self._hashing is not None:
            self._hashing.result()
        self._hashing = self._hasher.submit(self._digest.update, piece)
        self._piece, self._at = piece, 0
        return True


def _without_holes(piece: bytes) -> Iterator[tuple[int, bytes]]:
    """The runs of ``piece`` that hold data: (offset in the piece, bytes), blocks of 4 KiB that are all zero left out."""
    start: int | None = None
    for at in range(0, len(piece), HOLE_BYTES):
        block = piece[at : at + HOLE_BYTES]
        if block == _HOLE or (len(block) < HOLE_BYTES and block.count(0) == len(block)):
            if start is not None:
                yield start, piece[start:at]
                start = None
        elif start is None:
            start = at
    if start is not None:
        yield start, piece[start:] if start else piece


@dataclass(frozen=True, slots=True)
class Waivers:
    """Checks that the caller gives up, each by name: an unsigned bundle, or one with the wrong digest of euca2ools before 1.3.2."""

    signature: bool = False
    image_digest: bool = False


def unbundle(
    manifest_path: Path,
    destination: Path,
    *,
    private_key_pem: str | bytes,
    certificates_pem: str | bytes | None,
    source: Path | None = None,
    waivers: Waivers = Waivers(),
    progress: Progress | None = None,
) -> Manifest:
    """Writes the image of the bundle at ``manifest_path`` to the file ``destination``, holes kept.

    The parts lie in ``source``, else beside the manifest.  The file appears whole and durable, replacing what was there, or not
    at all.
    """
    manifest = read_bundle(manifest_path, certificates_pem, waivers)
    with new_file(destination) as file:
        file.truncate(manifest.size_bytes)
        open_image(
            manifest,
            folder_opener(source or manifest_path.parent),
            private_key_pem,
            lambda offset, data: write_at(file.fileno(), data, offset),
            progress=progress,
            waive_image_digest=waivers.image_digest,
        )
    return manifest


def verify(
    manifest_path: Path,
    *,
    private_key_pem: str | bytes | None,
    certificates_pem: str | bytes | None,
    source: Path | None = None,
    waivers: Waivers = Waivers(),
    progress: Progress | None = None,
) -> Manifest:
    """Checks everything about the bundle at ``manifest_path`` and writes nothing.

    Without ``private_key_pem`` what lies under the cipher stays unseen: the signature and every part's digest are checked.
    """
    manifest = read_bundle(manifest_path, certificates_pem, waivers)
    opener = folder_opener(source or manifest_path.parent)
    if private_key_pem is None:
        for _ in _counted(read_parts(manifest, opener), manifest.bundled_size_bytes, progress):
            pass
    else:
        open_image(
            manifest,
            opener,
            private_key_pem,
            lambda *_: None,
            progress=progress,
            waive_image_digest=waivers.image_digest,
        )
    return manifest


def read_bundle(manifest_path: Path, certificates_pem: str | bytes | None, waivers: Waivers = Waivers()) -> Manifest:
    """The manifest at ``manifest_path``, its signature verified unless waived."""
    try:
        with manifest_path.open("rb") as file:
            manifest = read_manifest(file.read(MANIFEST_BYTES_MAX + 1))
    except OSError as error:
        raise LocalRefusal(f"{manifest_path} cannot be read: {error.strerror}") from error
    if waivers.signature:
        return manifest
    if certificates_pem is None:
        raise LocalRefusal(
            "no certificate to verify the bundle's signature with",
            hint="give the certificate of who made the bundle with -c, or pass --waive-signature",
        )
    verify_signature(manifest, certificates_pem)
    return manifest
