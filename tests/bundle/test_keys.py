"""The RSA of bundles: old keys are read, and a wrong key is told by what it gives."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from amiable.bundle import keys
from amiable.model.errors import BundleRefusal

Pem = Callable[[str], bytes]


@pytest.mark.parametrize(("name", "bits"), [("user", 2048), ("ec2", 2048), ("user-1024", 1024), ("ec2-1024", 1024)])
def test_keys_of_2008_and_of_today_are_read(pem: Pem, name: str, bits: int) -> None:
    private_key, public_key = keys.load_pair(pem(f"{name}.key"), pem(f"{name}.crt"))
    assert private_key.key_size == bits
    assert keys.unwrap(keys.wrap(b"sixteen bytes ..", public_key), private_key) == b"sixteen bytes .."


def test_the_same_key_is_wrapped_differently_every_time(pem: Pem) -> None:
    public_key = keys.load_public_keys(pem("user.crt"))[0]
    assert keys.wrap(bytes(16), public_key) != keys.wrap(bytes(16), public_key)


def test_a_wrong_key_opens_nothing_however_often_it_is_tried(pem: Pem) -> None:
    other = keys.load_private_key(pem("other.key"))
    public_key = keys.load_public_keys(pem("user.crt"))[0]
    assert [keys.unwrap(keys.wrap(bytes(16), public_key), other) for _ in range(20)] == [None] * 20


@pytest.mark.parametrize(
    "plain", [b"", b"0" * 31, b"0" * 33, b"g" * 32, b"\0" * 32, b"0x" + b"0" * 30, b"0" * 31 + b"\n"]
)
def test_what_is_not_32_hex_digits_is_no_key(pem: Pem, plain: bytes) -> None:
    public_key, private_key = keys.load_public_keys(pem("user.crt"))[0], keys.load_private_key(pem("user.key"))
    assert keys.unwrap(public_key.encrypt(plain, padding.PKCS1v15()).hex(), private_key) is None


def test_upper_case_hex_opens_too(pem: Pem) -> None:
    public_key, private_key = keys.load_public_keys(pem("user.crt"))[0], keys.load_private_key(pem("user.key"))
    wrapped = public_key.encrypt(b"ABCDEF0123456789" * 2, padding.PKCS1v15()).hex()
    assert keys.unwrap(wrapped, private_key) == bytes.fromhex("abcdef0123456789" * 2)


def test_a_key_of_another_kind_is_refused_by_name() -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(BundleRefusal, match="not an RSA key"):
        keys.load_private_key(elliptic)
    with pytest.raises(BundleRefusal, match="cannot be read as PEM"):
        keys.load_private_key(b"nothing")


def test_what_holds_no_certificate_is_refused(pem: Pem, tmp_path: Path) -> None:
    with pytest.raises(BundleRefusal, match="No certificate"):
        keys.load_public_keys(pem("user.key"))
    with pytest.raises(BundleRefusal, match="cannot be read"):
        keys.load_public_keys(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_a_signature_fits_its_text_and_its_key_alone(pem: Pem) -> None:
    private_key, public_key = keys.load_private_key(pem("user.key")), keys.load_public_keys(pem("user.crt"))[0]
    signature = keys.sign(b"text", private_key)
    assert keys.is_signed_by(b"text", signature, public_key)
    assert not keys.is_signed_by(b"tex", signature, public_key)
    assert not keys.is_signed_by(b"text", signature[:-2], public_key)
    assert not keys.is_signed_by(b"text", signature, keys.load_public_keys(pem("other.crt"))[0])
