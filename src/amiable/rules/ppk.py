"""A private key as PuTTY keeps it: a text file of version 2, unencrypted, as EC2 gives keys of the format ppk.

    PuTTY-User-Key-File-2: ssh-rsa
    Encryption: none
    Comment: NAME
    Public-Lines: N       base64 of the OpenSSH blob, 64 characters a line
    Private-Lines: N      base64 of the private numbers
    Private-MAC: hex      HMAC-SHA-1 over all of the above, under a key that all unencrypted files share

Version 2 is read by every PuTTY, old and new.  The MAC of an unencrypted file guards against damage, not against people.
Source: PuTTY manual, appendix C, "PPK file format".
"""

import base64
import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

LINE_CHARACTERS: Final = 64
ENCRYPTION: Final = "none"
_MAC_KEY: Final = hashlib.sha1(b"putty-private-key-file-mac-key", usedforsecurity=False).digest()

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


def ppk_of(key: PrivateKey, comment: str) -> str:
    """The key as a file of PuTTY's; ``comment`` is one line of ASCII."""
    assert comment.isascii() and comment.isprintable()
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()
    algorithm, public = line[0].decode(), base64.b64decode(line[1])
    private = _private_blob(key)
    signed = b"".join(
        _string(part) for part in (algorithm.encode(), ENCRYPTION.encode(), comment.encode(), public, private)
    )
    mac = hmac.new(_MAC_KEY, signed, hashlib.sha1).hexdigest()
    head = [f"PuTTY-User-Key-File-2: {algorithm}", f"Encryption: {ENCRYPTION}", f"Comment: {comment}"]
    blobs = [*_lines("Public", public), *_lines("Private", private)]
    return "\r\n".join([*head, *blobs, f"Private-MAC: {mac}", ""])


def _private_blob(key: PrivateKey) -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        return _string(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    numbers = key.private_numbers()
    inverse = pow(numbers.q, -1, numbers.p)
    return b"".join(_string(_integer(each)) for each in (numbers.d, numbers.p, numbers.q, inverse))


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _integer(value: int) -> bytes:
    """Two's complement, as SSH spells integers: a positive number's first bit is 0."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def _lines(name: str, blob: bytes) -> list[str]:
    text = base64.b64encode(blob).decode()
    cut = [text[at : at + LINE_CHARACTERS] for at in range(0, len(text), LINE_CHARACTERS)]
    return [f"{name}-Lines: {len(cut)}", *cut]
