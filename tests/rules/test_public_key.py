"""Public keys: one form, whatever form they came in, and never more than one line."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.key_pair_errors import InvalidKeyFormat
from amiable.rules.public_key import imported_fingerprint, openssh_line, read_public_key

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
SEEDS = st.binary(min_size=32, max_size=32)


@given(SEEDS, st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20))
def test_a_line_is_read_as_it_was_written(seed: bytes, comment: str) -> None:
    line = openssh_line(ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key(), comment)
    assert read_public_key(line.encode()).line == line
    assert read_public_key(f"  {line}\r\n".encode()).line == line


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_key_or_is_refused(material: bytes) -> None:
    try:
        read = read_public_key(material)
    except InvalidKeyFormat:
        return
    assert "\n" not in read.line


def test_every_form_of_a_key_has_one_fingerprint() -> None:
    der = RSA.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    forms = (
        RSA.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        RSA.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        base64.b64encode(der),
    )
    assert len({imported_fingerprint(read_public_key(form).key) for form in forms}) == 1


@pytest.mark.parametrize("tail", [b"\nssh-rsa AAAA evil", b" x\x00y", b" a\x1b[0m"])
def test_a_comment_carries_no_second_line_and_no_control_character(tail: bytes) -> None:
    line = RSA.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    with pytest.raises(InvalidKeyFormat):
        read_public_key(line + tail)


def test_a_short_rsa_key_is_refused() -> None:
    odd = rsa.generate_private_key(public_exponent=65537, key_size=1536).public_key()
    with pytest.raises(InvalidKeyFormat, match="1536 bits"):
        read_public_key(odd.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
