"""A public key with a name; the private half is shown once and never kept."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class KeyPair:
    """``public_key`` is one line of OpenSSH's form.

    ``fingerprint``: SHA-1 of the PKCS#8 DER private key (RSA made here), MD5 of the DER public key (RSA imported), both as
    hex pairs; SHA-256 of the OpenSSH blob in base64 (ED25519).  Source: EC2 user guide, "Verify the fingerprint".
    """

    id: str
    account_id: str
    region: str
    name: str
    key_type: str  # rsa | ed25519
    fingerprint: str
    public_key: str
    created_at: datetime
