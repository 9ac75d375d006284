"""DSSE envelopes: the protocol's own vectors, signatures checked by others, and envelopes that are none."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.bundle.dsse import (
    SIGNATURES_MAX,
    key_id,
    load_signing_key,
    load_trusted_keys,
    open_envelope,
    pae,
    write_envelope,
)
from amiable.model.errors import BundleRefusal

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1"}'
PUBLIC = Ed25519PublicKey.from_public_bytes(
    bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
)
"""The first key of RFC 8032, 7.1, which the protocol's vectors use."""

SIGNATURE = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="
SIGNATURE_OF_BYTES = "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw=="


def envelope(payload: str, sig: str, **changes: object) -> bytes:
    document = {"payload": payload, "payloadType": IN_TOTO, "signatures": [{"sig": sig}]}
    return json.dumps(document | changes).encode()


def test_the_encoding_is_the_protocols() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == expected
    assert pae(IN_TOTO, b"") == b"DSSEv1 28 application/vnd.in-toto+json 0 "
    assert pae("application/vnd.exämple+json", b"x").startswith("DSSEv1 29 application/vnd.exämple+json 1 x".encode())


def test_the_protocols_own_envelopes_open() -> None:
    payload = base64.b64encode(STATEMENT).decode()
    assert open_envelope(envelope(payload, SIGNATURE), IN_TOTO, [PUBLIC]) == STATEMENT
    assert open_envelope(envelope("-_-_Pj8=", SIGNATURE_OF_BYTES), IN_TOTO, [PUBLIC]) == b"\xfb\xff\xbf>?"


def test_the_payloads_type_is_signed_too() -> None:
    other = "application/vnd.example.other+json"
    document = envelope(base64.b64encode(STATEMENT).decode(), SIGNATURE, payloadType=other)
    with pytest.raises(BundleRefusal, match="not signed by a key that is trusted"):
        open_envelope(document, other, [PUBLIC])


def test_another_type_is_refused_though_signed(pem: Callable[[str], bytes]) -> None:
    document = write_envelope(b"{}", "application/other", [load_signing_key(pem("user.key"))])
    with pytest.raises(BundleRefusal, match="application/other"):
        open_envelope(document, IN_TOTO, load_trusted_keys(pem("user.crt")))


def test_openssl_verifies_an_rsa_signature(pem: Callable[[str], bytes], tmp_path: Path) -> None:
    document = json.loads(write_envelope(STATEMENT, IN_TOTO, [load_signing_key(pem("user.key"))]))
    text = b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(STATEMENT), STATEMENT)
    (tmp_path / "text").write_bytes(text)
    (tmp_path / "sig").write_bytes(base64.b64decode(document["signatures"][0]["sig"]))
    public = subprocess.run(
        ["openssl", "x509", "-pubkey", "-noout"], input=pem("user.crt"), capture_output=True, check=True
    )
    (tmp_path / "public").write_bytes(public.stdout)
    words = ["openssl", "dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
    words += ["-verify", str(tmp_path / "public"), "-signature", str(tmp_path / "sig"), str(tmp_path / "text")]
    subprocess.run(words, capture_output=True, check=True)
    (tmp_path / "text").write_bytes(text[:-1])
    assert subprocess.run(words, capture_output=True, check=False).returncode != 0


def test_plain_cryptography_verifies_an_ed25519_signature() -> None:
    key = Ed25519PrivateKey.generate()
    document = json.loads(write_envelope(b"body", "t", [key]))
    key.public_key().verify(base64.b64decode(document["signatures"][0]["sig"]), b"DSSEv1 1 t 4 body")
    assert document["signatures"][0]["keyid"] == key_id(key.public_key())


def test_a_signature_of_pkcs1_is_no_signature(pem: Callable[[str], bytes]) -> None:
    key = load_signing_key(pem("user.key"))
    assert isinstance(key, rsa.RSAPrivateKey)
    sig = key.sign(pae(IN_TOTO, STATEMENT), padding.PKCS1v15(), hashes.SHA256())
    document = envelope(base64.b64encode(STATEMENT).decode(), base64.b64encode(sig).decode())
    with pytest.raises(BundleRefusal, match="not signed"):
        open_envelope(document, IN_TOTO, [key.public_key()])


def test_one_trusted_signature_among_others_is_enough(pem: Callable[[str], bytes]) -> None:
    mine, stranger = load_signing_key(pem("user.key")), Ed25519PrivateKey.generate()
    document = write_envelope(STATEMENT, IN_TOTO, [stranger, mine])
    assert open_envelope(document, IN_TOTO, [mine.public_key()]) == STATEMENT
    with pytest.raises(BundleRefusal):
        open_envelope(document, IN_TOTO, [Ed25519PrivateKey.generate().public_key()])
    with pytest.raises(BundleRefusal):
        open_envelope(document, IN_TOTO, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_byte_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    """Not every byte is signed: white space, key ids and the idle bits at the end of base64 may say something else."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    document = bytearray(write_envelope(STATEMENT, IN_TOTO, [key]))
    at = data.draw(st.integers(0, len(document) - 1))
    document[at] ^= data.draw(st.integers(1, 255))
    try:
        payload = open_envelope(bytes(document), IN_TOTO, [key.public_key()])
    except BundleRefusal:
        return
    assert payload == STATEMENT


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"payload":1,"payloadType":"t","signatures":[]}',
        b'{"payload":"","payloadType":"t","signatures":[]}',
        b'{"payload":"\xff","payloadType":"t","signatures":[{"sig":""}]}',
        b'{"payload":"!","payloadType":"t","signatures":[{"sig":""}]}',
        b'{"payload":"","payloadType":"t","signatures":[{"sig":"\xc3\xa9"}]}',
        b'{"payload":"","payloadType":"\\ud800","signatures":[{"sig":""}]}',
        b'{"payload":"","payloadType":"t","signatures":[' + b'{"sig":""},' * SIGNATURES_MAX + b'{"sig":""}]}',
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=range(13),
)
def test_what_is_no_envelope_is_refused(document: bytes) -> None:
    with pytest.raises(BundleRefusal) as refused:
        open_envelope(document, IN_TOTO, [PUBLIC])
    assert refused.value.stage == "assurance"


@settings(max_examples=300)
@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["payload", "payloadType", "signatures", "sig", "keyid"]), inner, max_size=5
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_document_does_more_than_be_refused(document: bytes) -> None:
    with pytest.raises(BundleRefusal):
        open_envelope(document, IN_TOTO, [PUBLIC])


def test_keys_that_cannot_sign_are_refused() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    text = small.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert load_signing_key(text).public_key() == small.public_key()
    for bad in (b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(BundleRefusal):
            load_signing_key(bad)
    with pytest.raises(BundleRefusal):
        load_trusted_keys(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert load_trusted_keys(b"nothing here") == []
