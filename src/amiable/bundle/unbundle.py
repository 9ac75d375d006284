"""From a manifest and its parts back to the image, trusting nothing before it is verified.

    manifest ─ strict ─▶ signature ─▶ key, IV ─▶ part: SHA-1 ─▶ AES-128-CBC ─▶ gunzip ─┬─▶ tar ─▶ extents of the image
                                                                                       └─▶ SHA-1 of the stream ─▶ compared last

Bounds: cipher text by ``bundled_size``, the image by ``size``; inflation asks for 1 MiB at a time.  What a sink was given is the
image only once the call returns: after any refusal the caller discards it.
"""

import hashlib
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from amiable.bundle import keys, sparse_tar
from amiable.bundle.assurance import Assurance, Watch, checked_opener
from amiable.bundle.assurance_tables import GZIP_HEADER_BYTES, Contents, unseal
from amiable.bundle.direct_writer import DirectWriter
from amiable.bundle.flow import ahead
from amiable.bundle.inflate import PIECE_BYTES, inflate
from amiable.bundle.manifest_xml import load_document, read_manifest, verify_signature
from amiable.bundle.new_file import new_file
from amiable.bundle.parts import AES_BLOCK, PartOpener, folder_opener, read_parts
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import Manifest

Sink = Callable[[int, bytes], object]
"""Takes (offset, data): data of at most 1 MiB, never empty, in rising order, never overlapping.  Offsets not given are zeros."""

Progress = Callable[[int, int], object]
"""Told (bytes done, bytes in all), now and then."""

HOLE_BYTES: Final = 4096
AHEAD_PIECES: Final = 8
HASHING_PIECES_MAX: Final = 4

_HOLE: Final = bytes(HOLE_BYTES)


@dataclass(frozen=True, slots=True)
class Waivers:
    """Checks that the caller gives up, each by name: an unsigned bundle, or one with the wrong digest of euca2ools before 1.3.2."""

    signature: bool = False
    image_digest: bool = False


@dataclass(frozen=True, slots=True)
class SealedBundle:
    """A bundle that may be opened: its manifest, what opens its parts, and its verified sidecar where it has one.

    ``is_image_digest_waived`` is for bundles of euca2ools before 1.3.2, which wrote a wrong one.
    """

    manifest: Manifest
    opener: PartOpener
    assurance: Assurance | None = None
    is_image_digest_waived: bool = False


def open_image(
    bundle: SealedBundle,
    private_key_pem: str | bytes,
    sink: Sink,
    *,
    progress: Progress | None = None,
    is_image_hashed: bool = True,
) -> None:
    """Gives ``sink`` every byte of the image that is not zero; raises BundleRefusal where anything is wrong.

    ``private_key_pem`` is the user's or the cloud's.  ``progress`` counts bytes of the bundle.  The signature is not looked at:
    :func:`manifest_xml.verify_signature` is called before.  With a sidecar its SHA-256s must fit too; without ``is_image_hashed``
    only those of the parts, from which the rest follows.
    """
    manifest, opener, assurance = bundle.manifest, bundle.opener, bundle.assurance
    key, iv = unwrap_keys(manifest, keys.load_private_key(private_key_pem))
    with ExitStack() as watching:
        watch, chunk_sizes = None, iter(array("Q"))
        if assurance is not None:
            opener = checked_opener(assurance, opener)
            with nullcontext() if is_image_hashed else suppress(BundleRefusal):
                contents = unseal(assurance.sealed, key, iv, manifest)
                chunk_sizes = _chunk_sizes(contents)
                if is_image_hashed:
                    watch = watching.enter_context(Watch(assurance, contents))
        cipher_text = _counted(read_parts(manifest, opener), manifest.bundled_size_bytes, progress)
        gzip = decrypt(cipher_text, key, iv)
        digest = _unpack(gzip, manifest.size_bytes, sink, watch=watch, chunk_sizes=chunk_sizes)
        if digest != manifest.image_sha1 and not bundle.is_image_digest_waived:
            raise BundleRefusal(
                "image", "The image's digest is not the manifest's, though every part fits: the bundler erred, or lied."
            )
        if watch is not None:
            watch.finish()


def _chunk_sizes(contents: Contents) -> Iterator[int]:
    """The bytes of each deflated chunk, where the sidecar tells."""
    ends = contents.tables.deflated_ends if contents.tables is not None else array("Q")
    return (end - start for start, end in pairwise(chain([GZIP_HEADER_BYTES], ends)))


def _unpack(
    gzip: Iterator[bytearray], size_bytes: int, sink: Sink, *, watch: Watch | None, chunk_sizes: Iterator[int]
) -> str:
    """Gives ``sink`` the image in the stream ``gzip``; the SHA-1 of the tar stream."""
    with (
        ThreadPoolExecutor(1, "bundle-sha1") as hasher,
        closing(ahead(gzip, AHEAD_PIECES)) as fetched,
        closing(inflate(fetched, chunk_sizes)) as inflated,
        closing(ahead(inflated, AHEAD_PIECES)) as pieces,
    ):
        stream = _Stream(pieces, hasher, watch)
        member = sparse_tar.read_member(stream, size_bytes)
        for offset, piece in sparse_tar.read_extents(stream, member, PIECE_BYTES):
            for start, data in _without_holes(piece, offset):
                if watch is not None:
                    watch.data(offset + start, data)
                sink(offset + start, data)
        return stream.finish()


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


def decrypt(pieces: Iterator[bytes], key: bytes, iv: bytes) -> Iterator[bytearray]:
    """The plain text of the cipher text ``pieces``, without its padding, which is refused unless it is as PKCS#7 demands."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    last = bytearray()
    for piece in pieces:
        plain = bytearray(len(piece) + AES_BLOCK)
        del plain[decryptor.update_into(piece, plain) :]
        if plain:
            yield last
            last = plain
    # bundled_size is a multiple of 16 and was counted, so the last block is whole.
    assert len(last) >= AES_BLOCK
    assert not len(last) % AES_BLOCK
    count = last[-1]
    if not 1 <= count <= AES_BLOCK or last[-count:] != bytes([count]) * count:
        raise BundleRefusal(
            "cipher", "The last block is not padded as AES-128-CBC demands: wrong key, or a damaged end."
        )
    del last[-count:]
    yield last


class _Stream:
    """The tar stream as ``sparse_tar`` reads it; its SHA-1 is taken in a thread beside."""

    def __init__(self, pieces: Iterator[bytes], hasher: ThreadPoolExecutor, watch: Watch | None) -> None:
        self._pieces = pieces
        self._watch = watch
        self._hasher = hasher
        self._digest = hashlib.sha1(usedforsecurity=False)
        self._hashing: deque[Future[None]] = deque()
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
        while self._hashing:
            self._hashing.popleft().result()
        return self._digest.hexdigest()

    def _next(self) -> bool:
        piece = next(self._pieces, b"")
        if not piece:
            return False
        if len(self._hashing) == HASHING_PIECES_MAX:
            self._hashing.popleft().result()
        self._hashing.append(self._hasher.submit(self._hash, piece))
        self._piece, self._at = piece, 0
        return True

    def _hash(self, piece: bytes) -> None:
        self._digest.update(piece)
        if self._watch is not None:
            self._watch.stream(piece)


def _without_holes(piece: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The runs of ``piece``, which lies at ``offset`` of the image, that hold data: (offset in the piece, bytes).

    Blocks of 4 KiB of the image that are all zero, as far as they lie in the piece, are left out.
    """
    # A block that begins with another byte is told apart without being looked at: the loop holds up every thread.
    lead = -offset % HOLE_BYTES
    firsts, done = piece[lead::HOLE_BYTES], 0
    if lead and not any(piece[:lead]):
        done = min(lead, len(piece))
    index = firsts.find(0)
    while index >= 0:
        start = lead + index * HOLE_BYTES
        end = min(start + HOLE_BYTES, len(piece))
        if piece.startswith(_HOLE[: end - start], start):
            if done < start:
                yield done, piece[done:start]
            done = end
        index = firsts.find(0, index + 1)
    if done < len(piece):
        yield done, piece[done:] if done else piece


def unbundle(
    bundle: SealedBundle, destination: Path, *, private_key_pem: str | bytes, progress: Progress | None = None
) -> None:
    """Writes the image of the bundle to the file ``destination``, holes kept.

    The file appears whole and durable, replacing what was there, or not at all.  With a sidecar every part's SHA-256 must fit: the
    image follows from the parts, so it is not hashed again, as :func:`verify` does.
    """
    with new_file(destination) as file:
        writer = DirectWriter(file.fileno())
        open_image(bundle, private_key_pem, writer.write, progress=progress, is_image_hashed=False)
        writer.finish(bundle.manifest.size_bytes)


def verify(bundle: SealedBundle, *, private_key_pem: str | bytes | None, progress: Progress | None = None) -> None:
    """Checks everything about the bundle and writes nothing.

    Without ``private_key_pem`` what lies under the cipher stays unseen: every part's digest is checked.
    """
    if private_key_pem is not None:
        open_image(bundle, private_key_pem, lambda *_: None, progress=progress)
        return
    assurance, opener = bundle.assurance, bundle.opener
    checked = opener if assurance is None else checked_opener(assurance, opener)
    for _ in _counted(read_parts(bundle.manifest, checked), bundle.manifest.bundled_size_bytes, progress):
        pass


def find_bundle(
    manifest_path: Path,
    certificates_pem: str | bytes | None,
    *,
    source: Path | None = None,
    waivers: Waivers = Waivers(),
    assurance: Assurance | None = None,
) -> SealedBundle:
    """The bundle of the manifest at ``manifest_path``, its signature verified unless waived.

    The parts lie in ``source``, else beside the manifest.
    """
    manifest = read_bundle(manifest_path, certificates_pem, waivers)
    return SealedBundle(manifest, folder_opener(source or manifest_path.parent), assurance, waivers.image_digest)


def read_bundle(manifest_path: Path, certificates_pem: str | bytes | None, waivers: Waivers = Waivers()) -> Manifest:
    """The manifest at ``manifest_path``, its signature verified unless waived."""
    manifest = read_manifest(load_document(manifest_path))
    if waivers.signature:
        return manifest
    if certificates_pem is None:
        raise LocalRefusal(
            "no certificate to verify the bundle's signature with",
            hint="give the certificate of who made the bundle with -c, or pass --waive-signature",
        )
    verify_signature(manifest, certificates_pem)
    return manifest
