"""Signed envelopes by the DSSE protocol, version 1: a payload, its type, and signatures over both.

    signature = Sign( "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload )         LEN: bytes, as decimal digits
    { "payload": base64, "payloadType": type, "signatures": [ { "keyid": …, "sig": base64 } ] }

The key's kind fixes the algorithm, never the document: RSA signs RSASSA-PSS with SHA-256 and a salt of 32 bytes, Ed25519 as it does.
PSS, because the same RSA key signs the manifest with PKCS#1 v1.5: no signature of one place can pass for one of the other.
``keyid`` is the SHA-256 of the public key (SubjectPublicKeyInfo, DER) in hex: a hint for choosing the key, nothing more.
Source: github.com/secure-systems-lab/dsse, protocol.md and envelope.md.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from amiable.model.errors import BundleRefusal

T = TypeVar("T")
PrivateKey = rsa.RSAPrivateKey | Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | Ed25519PublicKey

WAIVING: Final = "Fetch it again, or pass --waive-assurance to go without what it adds."
ENVELOPE_BYTES_MAX: Final = 20 << 20
SIGNATURES_MAX: Final = 16
KEYS_MAX: Final = 64
RSA_BITS_MIN: Final = 1024
"""What the accounts of the classic tools have; below 528 bits PSS with SHA-256 has no room at all."""

_SALT_BYTES: Final = 32
_PEM: Final = re.compile(r"-----BEGIN (CERTIFICATE|PUBLIC KEY)-----.+?-----END \1-----", re.DOTALL)


class _Signature(msgspec.Struct, frozen=True):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True, rename={"payload_type": "payloadType"}):
    payload: str
    payload_type: str
    signatures: list[_Signature]


def fault(message: str, hint: str = "") -> BundleRefusal:
    """A refusal at stage assurance."""
    return BundleRefusal("assurance", message, hint=hint)


def pae(payload_type: str, payload: bytes) -> bytes:
    """What a signature is over: the "pre-authentication encoding" of the two."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def write_envelope(payload: bytes, payload_type: str, private_keys: Sequence[PrivateKey]) -> bytes:
    """The envelope's document, signed by each of ``private_keys``."""
    text = pae(payload_type, payload)
    signatures = [_Signature(_encode(_sign(key, text)), key_id(key.public_key())) for key in private_keys]
    return msgspec.json.encode(_Envelope(_encode(payload), payload_type, signatures))


def open_envelope(document: bytes, payload_type: str, trusted: Sequence[PublicKey]) -> bytes:
    """The payload of the envelope, signed by one of ``trusted``; raises BundleRefusal at stage assurance.

    Nothing of the payload is looked at before its signature is verified.
    """
    envelope = _read(document)
    payload = _decode(envelope.payload, "payload")
    text = pae(envelope.payload_type, payload)
    if not any(_is_signed(signature, text, trusted) for signature in envelope.signatures):
        raise fault(
            "The assurance sidecar is not signed by a key that is trusted here, or was changed after signing.",
            "Give the certificate of who made the bundle, or its public key with --assurance-key; --waive-assurance goes without.",
        )
    if envelope.payload_type != payload_type:
        raise fault(f"The assurance sidecar's payload is {envelope.payload_type[:80]!r}, not {payload_type}.")
    return payload


def key_id(key: PublicKey) -> str:
    """The name of ``key``: the SHA-256 of its SubjectPublicKeyInfo in hex."""
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


def load_signing_key(pem: str | bytes) -> PrivateKey:
    """The RSA or Ed25519 private key in ``pem``, which has no passphrase."""
    try:
        key = serialization.load_pem_private_key(_bytes(pem), None)
    except (ValueError, TypeError) as error:
        raise fault("The assurance key cannot be read as PEM without a passphrase.") from error
    if not isinstance(key, rsa.RSAPrivateKey | Ed25519PrivateKey):
        raise fault("The assurance key is neither an Ed25519 nor an RSA key.")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < RSA_BITS_MIN:
        raise fault(f"The RSA key has {key.key_size} bits; assurance needs {RSA_BITS_MIN} at least.")
    return key


def load_trusted_keys(pem: str | bytes) -> list[PublicKey]:
    """The keys of all certificates and public keys in ``pem``; those that cannot sign an envelope are left out."""
    text = _bytes(pem).decode("ascii", "replace")
    found: list[PublicKey] = []
    for match in list(_PEM.finditer(text))[:KEYS_MAX]:
        key = _public_key(match[1], match[0].encode())
        if isinstance(key, Ed25519PublicKey) or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN):
            found.append(key)
    return found


def _public_key(kind: str, pem: bytes) -> object:
    try:
        if kind == "CERTIFICATE":
            return x509.load_pem_x509_certificate(pem).public_key()
        return serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise fault("A certificate or public key to trust cannot be read.") from error


def _read(document: bytes) -> _Envelope:
    if len(document) > ENVELOPE_BYTES_MAX:
        raise fault(f"The assurance sidecar has more than {ENVELOPE_BYTES_MAX} bytes.")
    envelope = read_json(document, _Envelope)
    if not 1 <= len(envelope.signatures) <= SIGNATURES_MAX:
        raise fault(
            f"The assurance sidecar has {len(envelope.signatures)} signatures; 1 to {SIGNATURES_MAX} are looked at."
        )
    return envelope


def read_json(document: bytes, kind: type[T]) -> T:
    """``document`` as a ``kind``; members that are not known are ignored, as in-toto demands."""
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise fault(f"The assurance sidecar is not what it should be: {str(error)[:200]}.", WAIVING) from error


def _sign(key: PrivateKey, text: bytes) -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(text)
    return key.sign(text, padding.PSS(padding.MGF1(hashes.SHA256()), _SALT_BYTES), hashes.SHA256())


def _is_signed(signature: _Signature, text: bytes, trusted: Sequence[PublicKey]) -> bool:
    sig = _decode(signature.sig, "signature")
    return any(_verifies(key, sig, text) for key in trusted if signature.keyid in ("", key_id(key)))


def _verifies(key: PublicKey, sig: bytes, text: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(sig, text)
        else:
            key.verify(sig, text, padding.PSS(padding.MGF1(hashes.SHA256()), _SALT_BYTES), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str, what: str) -> bytes:
    """Base64 of either alphabet, as the protocol demands of a verifier."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError as error:
        raise fault(f"The assurance sidecar's {what} is no base64.") from error


def _bytes(pem: str | bytes) -> bytes:
    return pem.encode() if isinstance(pem, str) else pem
