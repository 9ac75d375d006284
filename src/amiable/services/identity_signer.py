"""What signs instances' identity documents: an RSA and a DSA key of 2048 bits, with certificates that the installation's CA issued.

    signature        RSA, PKCS #1 v1.5, SHA-256 over the document's octets
    rsa2048          the same as PKCS #7 signed data, the document inside
    pkcs7, dsa2048   DSA with SHA-256 as PKCS #7 signed data.  EC2's ``pkcs7`` has SHA-1, which today's OpenSSL does not take

Keys and certificates lie in ``<data>/installation/``, made once, after the server's first start (a DSA key takes a second).  The signed data carries no
certificate, as EC2's: who verifies has it from ``amiable instance-identity certificate``.  Formats: RFC 2315, RFC 5652.
"""

import base64
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, padding, rsa

from amiable.services import Services
from amiable.services.installation import Installation, certify, pem_of_certificate, pem_of_key, write_private

KEY_BITS: Final = 2048
NAME: Final = "Amiable instance identity"

INTEGER, OCTETS, NULL, OID, SEQUENCE, SET, EXPLICIT_0 = 0x02, 0x04, 0x05, 0x06, 0x30, 0x31, 0xA0
DATA: Final = bytes.fromhex("2a864886f70d010701")
SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")
SHA_256: Final = bytes.fromhex("608648016503040201")
RSA_ENCRYPTION: Final = bytes.fromhex("2a864886f70d010101")
DSA_WITH_SHA_256: Final = bytes.fromhex("608648016503040302")

_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Signer:
    """One key with its certificate."""

    key: rsa.RSAPrivateKey | dsa.DSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return pem_of_certificate(self.certificate).decode()


def sign_document(services: Services, kind: str, document: str) -> str:
    """The document's signature of that kind, in base64; PKCS #7 without the lines around it."""
    signer = open_signer(services, "rsa" if kind in ("signature", "rsa2048") else "dsa")
    if kind == "signature":
        return base64.b64encode(_sign(signer, document.encode())).decode()
    return base64.encodebytes(signed_data(signer, document.encode())).decode().rstrip("\n")


def make_signers(services: Services) -> None:
    """Makes what is not there yet, so that no guest waits for it."""
    for algorithm in ("rsa", "dsa"):
        open_signer(services, algorithm)


def open_signer(services: Services, algorithm: str) -> Signer:
    """The signer by ``rsa`` or ``dsa``, made when it is not there yet."""
    folder = services.data / "installation"
    with _making:
        if not (folder / f"identity-{algorithm}.pem").exists():
            _make(folder, services.installation, algorithm)
    key = serialization.load_pem_private_key((folder / f"identity-{algorithm}.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey | dsa.DSAPrivateKey)
    return Signer(key, x509.load_pem_x509_certificate((folder / f"identity-{algorithm}.pem").read_bytes()))


def _make(folder: Path, installation: Installation, algorithm: str) -> None:
    ca_key = serialization.load_pem_private_key(installation.ca_key_pem.encode(), None)
    assert isinstance(ca_key, rsa.RSAPrivateKey)
    ca = x509.load_pem_x509_certificate(installation.ca_pem.encode())
    key: rsa.RSAPrivateKey | dsa.DSAPrivateKey
    if algorithm == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    else:
        key = dsa.generate_private_key(KEY_BITS)
    write_private(folder / f"identity-{algorithm}.key", pem_of_key(key))
    certificate = certify(f"{NAME} ({algorithm.upper()})", key, issuer=ca, issuer_key=ca_key)
    write_private(folder / f"identity-{algorithm}.pem", pem_of_certificate(certificate))


def signed_data(signer: Signer, content: bytes) -> bytes:
    """PKCS #7 signed data in DER, ``content`` inside, signed as it stands: one signer, no attributes, no certificates."""
    algorithm = SHA_256, RSA_ENCRYPTION if isinstance(signer.key, rsa.RSAPrivateKey) else DSA_WITH_SHA_256
    digest = _der(SEQUENCE, _der(OID, algorithm[0]), _der(NULL))
    how = _der(SEQUENCE, _der(OID, algorithm[1]), *([_der(NULL)] if algorithm[1] == RSA_ENCRYPTION else []))
    certificate = signer.certificate
    who = _der(SEQUENCE, certificate.issuer.public_bytes(), _integer(certificate.serial_number))
    info = _der(SEQUENCE, _integer(1), who, digest, how, _der(OCTETS, _sign(signer, content)))
    inside = _der(SEQUENCE, _der(OID, DATA), _der(EXPLICIT_0, _der(OCTETS, content)))
    body = _der(SEQUENCE, _integer(1), _der(SET, digest), inside, _der(SET, info))
    return _der(SEQUENCE, _der(OID, SIGNED_DATA), _der(EXPLICIT_0, body))


def _sign(signer: Signer, content: bytes) -> bytes:
    if isinstance(signer.key, rsa.RSAPrivateKey):
        return signer.key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    return signer.key.sign(content, hashes.SHA256())


def _der(tag: int, *parts: bytes) -> bytes:
    """One value in DER."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _integer(value: int) -> bytes:
    return _der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
