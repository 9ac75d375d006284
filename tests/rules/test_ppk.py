"""PuTTY's files: every number is there as SSH spells it, and the check sum is over all of them (``puttygen`` reads them in tests/api)."""

import base64
import hashlib
import hmac
import math

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from amiable.rules.ppk import LINE_CHARACTERS, ppk_of

COMMENTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=255)


def parts(text: str) -> tuple[dict[str, str], bytes, bytes]:
    lines = text.split("\r\n")
    assert lines.pop() == "" and all(len(line) <= LINE_CHARACTERS for line in lines if ": " not in line)
    heads, blobs, at = {}, {}, 0
    while at < len(lines):
        key, _, value = lines[at].partition(": ")
        at += 1
        heads[key] = value
        if key.endswith("-Lines"):
            blobs[key] = base64.b64decode("".join(lines[at : at + int(value)]), validate=True)
            at += int(value)
    return heads, blobs["Public-Lines"], blobs["Private-Lines"]


def strings(blob: bytes) -> list[bytes]:
    found = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return found


@given(st.binary(min_size=32, max_size=32), COMMENTS)
def test_an_ed25519_file_holds_its_seed_and_a_check_sum_over_everything(seed: bytes, comment: str) -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    heads, public, private = parts(ppk_of(key, comment))
    assert heads["PuTTY-User-Key-File-2"] == "ssh-ed25519" and heads["Comment"] == comment
    assert strings(private) == [key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())]
    signed = b"".join(
        len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", b"none", comment.encode(), public, private)
    )
    secret = hashlib.sha1(b"putty-private-key-file-mac-key").digest()
    assert heads["Private-MAC"] == hmac.new(secret, signed, "sha1").hexdigest()


def test_an_rsa_file_holds_the_numbers_that_make_the_key() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _, public, private = parts(ppk_of(key, "c"))
    d, p, q, inverse = (int.from_bytes(each, "big", signed=True) for each in strings(private))
    kind, e, n = strings(public)
    assert kind == b"ssh-rsa" and int.from_bytes(e, "big") == 65537 and int.from_bytes(n, "big") == p * q
    assert inverse * q % p == 1 and d * 65537 % math.lcm(p - 1, q - 1) == 1
