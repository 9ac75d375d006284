"""What is said to a TPM 2.0 to have its endorsement keys made, and how their public parts are told.

An endorsement key is derived from the TPM's own seed by a template, so whoever asks with the same template gets the same key: the
server at the first boot, and the guest's tools (``tpm2_createek``) later.  The templates are those that such tools take.
Source: TCG TPM 2.0 Library, part 3; TCG EK Credential Profile 2.5, templates L-1 and H-3.
"""

import struct
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RSA: Final = "rsa-2048"
ECC: Final = "ecc-sec-p384"
RESPONSE_BYTES_MAX: Final = 4096
HEAD: Final = struct.Struct(">HII")
_WITH_SESSIONS: Final = 0x8002
_CREATE_PRIMARY: Final = 0x131
_ENDORSEMENT: Final = 0x4000000B
_PASSWORD_SESSION: Final = struct.pack(">IHBH", 0x40000009, 0, 0, 0)
_NULL: Final = 0x0010
_AES, _CFB = 0x0006, 0x0043
_RSA_TYPE, _ECC_TYPE = 0x0001, 0x0023
_SHA256, _SHA384 = 0x000B, 0x000C
_P384: Final = 0x0004
_EXPONENT: Final = 65537
_POLICY_A: Final = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
"""PolicySecret of the endorsement hierarchy, SHA-256."""
_POLICY_B: Final = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
)
"""That or an authorized NV policy, SHA-384."""


def _sized(body: bytes) -> bytes:
    return struct.pack(">H", len(body)) + body


TEMPLATES: Final = {
    RSA: struct.pack(">HHI", _RSA_TYPE, _SHA256, 0x000300B2)
    + _sized(_POLICY_A)
    + struct.pack(">HHHHHI", _AES, 128, _CFB, _NULL, 2048, 0)
    + _sized(bytes(256)),
    ECC: struct.pack(">HHI", _ECC_TYPE, _SHA384, 0x000300F2)
    + _sized(_POLICY_B)
    + struct.pack(">HHHHHH", _AES, 256, _CFB, _NULL, _P384, _NULL)
    + _sized(b"")
    + _sized(b""),
}
"""TPMT_PUBLIC of each kind of key, its unique part empty."""


class TpmAnswer(ValueError):
    """The TPM answered something else than what was asked; the text says what."""


def create_primary(key_type: str) -> bytes:
    """The command that derives the endorsement key of ``key_type``."""
    body = struct.pack(">II", _ENDORSEMENT, len(_PASSWORD_SESSION)) + _PASSWORD_SESSION
    body += _sized(_sized(b"") + _sized(b"")) + _sized(TEMPLATES[key_type]) + _sized(b"") + struct.pack(">I", 0)
    return HEAD.pack(_WITH_SESSIONS, HEAD.size + len(body), _CREATE_PRIMARY) + body


def public_part(response: bytes) -> bytes:
    """TPMT_PUBLIC of the key that a response to :func:`create_primary` tells; raises TpmAnswer."""
    if len(response) < HEAD.size:
        raise TpmAnswer("the TPM's answer is cut off")
    _, size, code = HEAD.unpack_from(response)
    if code != 0:
        raise TpmAnswer(f"the TPM refused to make its endorsement key: {code:#x}")
    at = HEAD.size + 8  # the key's handle, the parameters' length
    length = int.from_bytes(response[at : at + 2], "big")
    found = response[at + 2 : at + 2 + length]
    if size != len(response) or not length or len(found) != length:
        raise TpmAnswer("the TPM's answer is cut off")
    return found


def der_of(key_type: str, public: bytes) -> bytes:
    """SubjectPublicKeyInfo of the key whose TPMT_PUBLIC is ``public``; raises TpmAnswer."""
    template = TEMPLATES[key_type]
    unique_bytes = 258 if key_type == RSA else 4
    fixed = template[: len(template) - unique_bytes]
    if not public.startswith(fixed):
        raise TpmAnswer("the TPM made another key than its template says")
    numbers = _numbers(public[len(fixed) :])
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    try:
        if key_type == RSA:
            (modulus,) = numbers
            key = rsa.RSAPublicNumbers(_EXPONENT, modulus).public_key()
        else:
            x, y = numbers
            key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key()
    except ValueError as error:
        raise TpmAnswer(f"the TPM's key is none: {error}") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _numbers(rest: bytes) -> list[int]:
    found, at = [], 0
    while at < len(rest):
        length = int.from_bytes(rest[at : at + 2], "big")
        found.append(int.from_bytes(rest[at + 2 : at + 2 + length], "big"))
        at += 2 + length
    return found
