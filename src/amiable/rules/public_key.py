"""Public keys as people bring them, in one form, with EC2's fingerprints.

    key                    fingerprint
    RSA, made here         SHA-1 of the private key, PKCS#8 DER       20 hex pairs
    RSA, imported          MD5 of the public key, DER (SPKI)          16 hex pairs
    ED25519                SHA-256 of the OpenSSH blob                base64 with its padding

Source: EC2 User Guide, "Verify the fingerprint of your key pair"; what is read, ibid., "Create a key pair using a third-party tool and
import the public key": OpenSSH, base64 of DER, and RFC 4716.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
    load_ssh_public_key,
)

from amiable.model.key_pair_errors import InvalidKeyFormat

RSA_BITS: Final = (1024, 2048, 3072, 4096, 8192)
MATERIAL_BYTES_MAX: Final = 16 * 1024
RFC_4716_BEGIN: Final = b"---- BEGIN SSH2 PUBLIC KEY ----"
RFC_4716_END: Final = b"---- END SSH2 PUBLIC KEY ----"

PublicKey = RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class ReadKey:
    """A public key: its type, and one line of OpenSSH's form with the comment it came with."""

    key: PublicKey
    key_type: str  # rsa | ed25519
    line: str


def read_public_key(material: bytes) -> ReadKey:
    """The key in ``material``: OpenSSH's line, RFC 4716, PEM, or base64 of DER; refuses what is none of them."""
    if len(material) > MATERIAL_BYTES_MAX:
        raise InvalidKeyFormat(f"The key has {len(material)} bytes; at most {MATERIAL_BYTES_MAX} are read.")
    text = material.strip()
    try:
        if text.startswith(RFC_4716_BEGIN):
            text = _line_of(text)
        key = _load(text)
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        raise InvalidKeyFormat() from None
    comment = ""
    if text.startswith(b"ssh-"):
        line = text.decode(errors="replace")
        if not line.isprintable():  # a second line would be a second key
            raise InvalidKeyFormat()
        comment = "".join(line.split(None, 2)[2:])
    if isinstance(key, RSAPublicKey):
        if key.key_size not in RSA_BITS:
            raise InvalidKeyFormat(f"The RSA key has {key.key_size} bits; supported: {', '.join(map(str, RSA_BITS))}.")
        return ReadKey(key, "rsa", openssh_line(key, comment))
    if isinstance(key, Ed25519PublicKey):
        return ReadKey(key, "ed25519", openssh_line(key, comment))
    raise InvalidKeyFormat("Keys of type RSA and ED25519 are supported.")


def _line_of(text: bytes) -> bytes:
    """OpenSSH's line of a key in RFC 4716's form: between its marks headers, a backslash going on with one, then base64."""
    lines = [line.strip() for line in text.splitlines()]
    if lines[0] != RFC_4716_BEGIN or lines[-1] != RFC_4716_END:
        raise ValueError("a mark is missing")
    headers, body = dict[bytes, bytes](), list[bytes]()
    rest = iter(lines[1:-1])
    for line in rest:
        while line.endswith(b"\\"):
            line = line[:-1] + next(rest, b"")
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().lower()] = value.strip().removeprefix(b'"').removesuffix(b'"')
        else:
            body.append(line)
    encoded = b"".join(body)
    blob = base64.b64decode(encoded, validate=True)
    algorithm = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    return b" ".join((algorithm, encoded, headers.get(b"comment", b""))).strip()


def _load(text: bytes) -> object:
    if text.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        return load_ssh_public_key(text)
    if text.startswith(b"-----BEGIN"):
        return load_pem_public_key(text)
    return load_der_public_key(base64.b64decode(text, validate=True))


def openssh_line(key: PublicKey, comment: str) -> str:
    """The key as one line of ``authorized_keys``."""
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{line} {comment}" if comment else line


def imported_fingerprint(key: PublicKey) -> str:
    """The fingerprint of a key whose private half was never here."""
    if isinstance(key, RSAPublicKey):
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.md5(der, usedforsecurity=False).digest().hex(":")
    blob = base64.b64decode(openssh_line(key, "").split()[1])
    return base64.b64encode(hashlib.sha256(blob).digest()).decode()


def created_rsa_fingerprint(pkcs8_der: bytes) -> str:
    """The fingerprint of an RSA key that was made here, from its private half."""
    return hashlib.sha1(pkcs8_der, usedforsecurity=False).digest().hex(":")
