"""What is fuzzed: functions of bytes that return for good input and for refused input, and raise for a fault of ours.

``Refusal`` is the only exception that input may cause.  Every target also asserts what a reader promises of what it accepts.
"""

import contextlib
import gzip
import hashlib
import io
from collections.abc import Callable
from functools import cache
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from amiable.bundle.assurance import PAYLOAD_TYPE, read_assurance
from amiable.bundle.assurance_tables import unseal
from amiable.bundle.dsse import write_envelope
from amiable.bundle.keys import wrap
from amiable.bundle.manifest_xml import IMAGE_BYTES_MAX, read_manifest, write_manifest
from amiable.bundle.sparse_tar import BLOCK, read_extents, read_member
from amiable.bundle.unbundle import SealedBundle, open_image
from amiable.model.errors import BundleRefusal, Refusal
from amiable.model.manifest import Manifest, Part, WrappedKey
from amiable.rules.kernel_kind import check_declared, inspect_kernel

SECRET: Final = bytes(range(16))
ASSURED: Final = (
    b"<?xml version='1.0'?><manifest><version>2007-10-10</version><bundler><name>fuzz</name><version>1</version><release>0"
    b"</release></bundler><machine_configuration><architecture>x86_64</architecture></machine_configuration><image><name>i"
    b"</name><user>123456789012</user><type>machine</type><digest algorithm='SHA1'>%b</digest><size>1048576</size>"
    b"<bundled_size>4096</bundled_size><parts count='1'><part index='0'><filename>i.part.0</filename><digest algorithm='SHA1'>"
    b"%b</digest></part></parts></image><signature>UNSIGNED</signature></manifest>"
) % (b"1" * 40, b"2" * 40)
"""The manifest that the sidecar's target reads sidecars of."""

STREAM_BYTES_MAX: Final = 1 << 24
"""The largest image that the stream's target declares: what is inflated beyond it is a fault."""


def manifest(data: bytes) -> None:
    """Reads ``data`` as a manifest; what was accepted is written and read again."""
    try:
        read = read_manifest(data)
    except Refusal:
        return
    assert 0 < read.size_bytes <= IMAGE_BYTES_MAX
    assert [part.index for part in read.parts] == list(range(len(read.parts)))
    assert all("/" not in part.filename and part.filename not in ("", ".", "..") for part in read.parts)
    try:
        again = read_manifest(write_manifest(read, small_key()[0]))
    except Refusal:
        return  # a name that is read, but never written
    assert (again.name, again.parts, again.kernel_id) == (read.name, read.parts, read.kernel_id)


def tar(data: bytes) -> None:
    """Reads ``data`` as a tar stream: the image's size first, then headers whose checksums are put right."""
    if len(data) < 3 + BLOCK:
        return
    size_bytes, source = 1 + int.from_bytes(data[:3], "big") % STREAM_BYTES_MAX, _Source(_summed(data[3:]))
    at = 0
    try:
        for offset, piece in read_extents(source, read_member(source, size_bytes), 4096):
            assert piece and at <= offset and offset + len(piece) <= size_bytes
            at = offset + len(piece)
    except Refusal:
        return


class _Source:
    """Bytes as ``sparse_tar`` reads them."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read_some(self, size: int) -> bytes:
        """At most ``size`` bytes."""
        return self._file.read(size)

    def read_exactly(self, size: int) -> bytes:
        """``size`` bytes, or a refusal."""
        piece = self._file.read(size)
        if len(piece) < size:
            raise BundleRefusal("tar", "cut short")
        return piece


def _summed(data: bytes) -> bytes:
    """``data`` with the checksums of its first header, and of one behind a long name, as they should be."""
    blocks = bytearray(data)
    for at in (0, 2 * BLOCK) if data[156:157] == b"L" else (0,):
        if len(blocks) >= at + BLOCK and any(blocks[at : at + BLOCK]):
            blocks[at + 148 : at + 156] = b" " * 8
            blocks[at + 148 : at + 156] = b"%06o\0 " % sum(blocks[at : at + BLOCK])
    return bytes(blocks)


def stream(data: bytes) -> None:
    """Opens a bundle whose cipher text holds ``data``: the first byte says whether as gzip or as tar, then the image's size."""
    if len(data) < 5:
        return
    size_bytes = 1 + int.from_bytes(data[1:4], "big") % STREAM_BYTES_MAX
    body = data[4:] if data[0] & 1 else gzip.compress(data[4:], 1)
    described, cipher_text = _bundle(body, size_bytes)
    at = 0

    def sink(offset: int, piece: bytes) -> None:
        nonlocal at
        assert piece and at <= offset and offset + len(piece) <= size_bytes
        at = offset + len(piece)

    try:
        open_image(
            SealedBundle(described, lambda _: io.BytesIO(cipher_text), is_image_digest_waived=True),
            small_key()[1],
            sink,
        )
    except Refusal:
        return


def _bundle(body: bytes, size_bytes: int) -> tuple[Manifest, bytes]:
    padding = 16 - len(body) % 16
    encryptor = Cipher(algorithms.AES(SECRET), modes.CBC(SECRET)).encryptor()
    cipher_text = encryptor.update(body + bytes([padding]) * padding) + encryptor.finalize()
    wrapped = WrappedKey(*small_key()[2])
    return (
        Manifest(
            name="image",
            account_id="123456789012",
            image_sha1="0" * 40,
            size_bytes=size_bytes,
            bundled_size_bytes=len(cipher_text),
            ec2=WrappedKey(None, None),
            user=wrapped,
            parts=(Part(0, "image.part.0", hashlib.sha1(cipher_text, usedforsecurity=False).hexdigest()),),
        ),
        cipher_text,
    )


@cache
def small_key() -> tuple[rsa.RSAPrivateKey, bytes, tuple[str, str]]:
    """A small key, its PEM, and key and IV wrapped for it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret = wrap(SECRET, key.public_key())
    return key, pem, (secret, secret)


def sidecar(data: bytes) -> None:
    """Reads an assurance sidecar of ``ASSURED``; the first byte says what the rest is: envelope, statement or tables."""
    if not data:
        return
    kind, body = data[0] % 3, data[1:]
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    envelope = body if kind == 0 else write_envelope(body, PAYLOAD_TYPE, [key])
    described = read_manifest(ASSURED)
    try:
        if kind == 2:
            contents = unseal(_seal(body), SECRET, SECRET, described)
            assert contents.tables is None or contents.tables.chunk_ends[-1] >= sum(contents.tables.extent_lengths)
        else:
            found = read_assurance(envelope, [key.public_key()], described, ASSURED)
            assert set(found.part_sha256s) == {part.filename for part in described.parts}
    except Refusal:
        return


def _seal(tables: bytes) -> bytes:
    """``tables`` sealed as those of a bundle with key and IV ``SECRET`` (docs/formats/assurance.md)."""
    key = HKDF(hashes.SHA256(), 32, salt=SECRET, info=b"amiable-bundle-assurance-v1").derive(SECRET)
    return bytes(12) + AESGCM(key).encrypt(bytes(12), tables, None)


def kernel(data: bytes) -> None:
    """Looks into ``data`` as a kernel: nothing that a file holds is an error."""
    facts = inspect_kernel(data)
    assert facts.why
    with contextlib.suppress(Refusal):
        check_declared(facts, "x86_64", None)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "manifest": manifest,
    "tar": tar,
    "stream": stream,
    "sidecar": sidecar,
    "kernel": kernel,
}
