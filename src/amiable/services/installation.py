"""The installation's own secrets and certificates, made once at the first start and kept in ``<data>/installation/``.

    sealing.key         32 bytes, mode 0600: seals access-key secrets, page tokens, block tokens, metadata tokens
    ca.key, ca.pem      the installation's certificate authority (RSA 2048)
    bundling.key, .pem  the image-bundling certificate, issued by the CA: tools wrap bundle keys for it
    identity-*.key, .pem  what signs instances' identity documents, made after the first start (``services/identity_signer``)

All files are 0600 in a 0700 directory, written whole (temp, fsync, rename).
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from amiable.blocks.files import new_file

VALID = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Installation:
    """Keys in memory; :meth:`seal` and :meth:`unseal` are AES-256-GCM under the sealing key."""

    sealing_key: bytes
    ca_pem: str
    ca_key_pem: str
    bundling_pem: str
    bundling_key_pem: str

    def seal(self, purpose: str, plain: bytes, nonce: bytes) -> bytes:
        """``nonce`` (12 bytes) and ciphertext of ``plain``, bound to ``purpose``."""
        assert len(nonce) == 12
        return nonce + AESGCM(self.sealing_key).encrypt(nonce, plain, purpose.encode())

    def unseal(self, purpose: str, sealed: bytes) -> bytes:
        """What :meth:`seal` sealed for ``purpose``; raises ``cryptography.exceptions.InvalidTag`` on anything else."""
        return AESGCM(self.sealing_key).decrypt(sealed[:12], sealed[12:], purpose.encode())


def write_private(path: Path, body: bytes) -> None:
    """Puts ``body`` at ``path`` with mode 0600, durable, whole or not at all."""
    with new_file(path) as file:
        file.write(body)


def open_installation(data: Path) -> Installation:
    """Reads ``data/installation``, making what is not there yet."""
    folder = data / "installation"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / "sealing.key").exists():
        write_private(folder / "sealing.key", os.urandom(32))
    if not (folder / "ca.pem").exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_private(folder / "ca.key", pem_of_key(key))
        write_private(
            folder / "ca.pem", pem_of_certificate(certify("Amiable installation CA", key, issuer=None, issuer_key=key))
        )
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, rsa.RSAPrivateKey)
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    if not (folder / "bundling.pem").exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_private(folder / "bundling.key", pem_of_key(key))
        write_private(
            folder / "bundling.pem",
            pem_of_certificate(certify("Amiable image bundling", key, issuer=ca, issuer_key=ca_key)),
        )
    return Installation(
        sealing_key=(folder / "sealing.key").read_bytes(),
        ca_pem=(folder / "ca.pem").read_text(),
        ca_key_pem=(folder / "ca.key").read_text(),
        bundling_pem=(folder / "bundling.pem").read_text(),
        bundling_key_pem=(folder / "bundling.key").read_text(),
    )


def certify(
    name: str,
    key: rsa.RSAPrivateKey | dsa.DSAPrivateKey,
    *,
    issuer: x509.Certificate | None,
    issuer_key: rsa.RSAPrivateKey,
) -> x509.Certificate:
    """A certificate for ``key`` under ``name``, signed by ``issuer_key``; self-signed and a CA where ``issuer`` is None."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(minutes=5)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + VALID)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def pem_of_key(key: rsa.RSAPrivateKey | dsa.DSAPrivateKey) -> bytes:
    """PKCS#8 PEM without a passphrase (what ec2-ami-tools and euca2ools read)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem_of_certificate(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)
