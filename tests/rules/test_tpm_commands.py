"""What is said to a TPM, and what is made of its answers."""

import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from amiable.rules.tpm_commands import ECC, RSA, TEMPLATES, TpmAnswer, create_primary, der_of, public_part


def policy_secret(algorithm: str, size: int) -> bytes:
    """The digest of PolicySecret(TPM_RH_ENDORSEMENT), as part 3 of the TPM library says."""
    extended = hashlib.new(algorithm, bytes(size) + struct.pack(">II", 0x151, 0x4000000B)).digest()
    return hashlib.new(algorithm, extended).digest()


def test_the_templates_carry_the_policies_of_the_profile() -> None:
    assert policy_secret("sha256", 32) in TEMPLATES[RSA]
    authorized_nv = bytes.fromhex(
        "d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165"
    )
    either = struct.pack(">I", 0x171) + policy_secret("sha384", 48) + authorized_nv
    assert hashlib.sha384(bytes(48) + either).digest() in TEMPLATES[ECC]


def test_a_command_says_its_length() -> None:
    for name in TEMPLATES:
        command = create_primary(name)
        assert struct.unpack_from(">HII", command) == (0x8002, len(command), 0x131)


def answer(public: bytes, code: int = 0) -> bytes:
    """A response to CreatePrimary."""
    body = struct.pack(">II", 0x80000000, 2 + len(public)) + struct.pack(">H", len(public)) + public
    return struct.pack(">HII", 0x8002, 10 + len(body), code) + body


def rsa_public(modulus: bytes) -> bytes:
    return TEMPLATES[RSA][:-258] + struct.pack(">H", len(modulus)) + modulus


def test_a_keys_public_part_becomes_the_key() -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    public = rsa_public(key.public_numbers().n.to_bytes(256, "big"))
    assert load_der_public_key(der_of(RSA, public_part(answer(public)))) == key
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    numbers = curve.public_numbers()
    points = b"".join(struct.pack(">H", 48) + it.to_bytes(48, "big") for it in (numbers.x, numbers.y))
    assert load_der_public_key(der_of(ECC, TEMPLATES[ECC][:-4] + points)) == curve


@pytest.mark.parametrize(
    "response", [b"", b"\x80\x02", answer(b""), answer(b"x", code=0x101), answer(b"abc")[:-1], answer(b"abc") + b"x"]
)
def test_an_answer_that_is_none_is_refused(response: bytes) -> None:
    with pytest.raises(TpmAnswer):
        public_part(response)


@given(rest=st.binary(max_size=600))
def test_a_key_that_is_none_is_refused(rest: bytes) -> None:
    for name, unique in ((RSA, 258), (ECC, 4)):
        try:
            der_of(name, TEMPLATES[name][:-unique] + rest)
        except TpmAnswer:
            continue
        assert len(rest) > 2
    with pytest.raises(TpmAnswer, match="another key"):
        der_of(RSA, rest)
