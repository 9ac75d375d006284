"""Wrapping, unwrapping and signing: the RSA of a bundle.

The AES key and IV travel as 32 hex characters each (not as 16 bytes), encrypted by RSA with PKCS#1 v1.5 padding, four times: both
for the cloud's certificate and for the user's.  A wrong private key need not fail: OpenSSL answers random bytes instead (implicit
rejection), so what was unwrapped counts only if it is exactly 32 hex digits.  Validity dates are ignored, as every bundler and EC2
itself did; the certificate only carries the key.  SHA-1 signatures and RSA 1024 are the format's, not our choice.
"""

import re
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from amiable.model.errors import BundleRefusal, LocalRefusal

HEX_KEY_CHARACTERS: Final = 32
_HEX_KEY: Final = re.compile(rb"[0-9a-fA-F]{32}")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def load_private_key(pem: str | bytes) -> rsa.RSAPrivateKey:
    """The RSA key in ``pem`` (PKCS#8 or traditional, without a passphrase); raises BundleRefusal at stage key."""
    try:
        key = serialization.load_pem_private_key(_bytes(pem), None)
    except (ValueError, TypeError) as error:
        raise BundleRefusal(
            "key",
            "The private key cannot be read as PEM without a passphrase.",
            hint="Give the RSA private key of the certificate that the bundle was made for.",
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BundleRefusal("key", "The private key is not an RSA key: bundles are wrapped and signed by RSA.")
    return key


def load_public_keys(pem: str | bytes) -> list[rsa.RSAPublicKey]:
    """The RSA keys of all certificates in ``pem``, in order; raises BundleRefusal where there is none, or one cannot be read."""
    text = _bytes(pem).decode("ascii", "replace")
    keys = [_public_key(block) for block in _CERTIFICATE.findall(text)]
    if not keys:
        raise BundleRefusal("key", "No certificate was found: expected PEM with BEGIN CERTIFICATE.")
    return keys


def _public_key(block: str) -> rsa.RSAPublicKey:
    try:
        key = x509.load_pem_x509_certificate(block.encode()).public_key()
    except ValueError as error:
        raise BundleRefusal("key", f"The certificate cannot be read: {error}") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise BundleRefusal("key", "The certificate's key is not an RSA key: bundles are wrapped and signed by RSA.")
    return key


def load_pair(private_key_pem: str | bytes, certificate_pem: str | bytes) -> tuple[rsa.RSAPrivateKey, rsa.RSAPublicKey]:
    """The private key, and the key of the first certificate; refuses two that do not belong together."""
    private_key, public_key = load_private_key(private_key_pem), load_public_keys(certificate_pem)[0]
    if private_key.public_key().public_numbers() != public_key.public_numbers():
        raise LocalRefusal(
            "the certificate and the private key do not belong together",
            hint="pass a pair with -c and -k: a bundle is signed with one and verified with the other",
        )
    return private_key, public_key


def wrap(secret: bytes, public_key: rsa.RSAPublicKey) -> str:
    """The 16 bytes of ``secret`` as hex, encrypted for ``public_key``, as lower-case hex.  Every call pads afresh."""
    assert len(secret) * 2 == HEX_KEY_CHARACTERS
    return public_key.encrypt(secret.hex().encode(), padding.PKCS1v15()).hex()


def unwrap(wrapped_hex: str, private_key: rsa.RSAPrivateKey) -> bytes | None:
    """The 16 bytes that :func:`wrap` hid, or ``None`` where ``private_key`` does not open it to 32 hex digits."""
    try:
        plain = private_key.decrypt(bytes.fromhex(wrapped_hex), padding.PKCS1v15())
    except ValueError:
        return None
    return bytes.fromhex(plain.decode("ascii")) if _HEX_KEY.fullmatch(plain) else None


def sign(text: bytes, private_key: rsa.RSAPrivateKey) -> str:
    """SHA1withRSA over ``text`` as lower-case hex."""
    return private_key.sign(text, padding.PKCS1v15(), hashes.SHA1()).hex()


def is_signed_by(text: bytes, signature_hex: str, public_key: rsa.RSAPublicKey) -> bool:
    """Whether ``signature_hex`` is the SHA1withRSA signature of ``text`` by ``public_key``."""
    try:
        public_key.verify(bytes.fromhex(signature_hex), text, padding.PKCS1v15(), hashes.SHA1())
    except (InvalidSignature, ValueError):
        return False
    return True


def _bytes(pem: str | bytes) -> bytes:
    return pem.encode() if isinstance(pem, str) else pem
