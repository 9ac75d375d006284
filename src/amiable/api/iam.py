"""IAM: the certificates whose keys sign an account's manifests.

There are no users yet: every certificate is the account's, and ``UserName`` is ``root`` wherever one is said.  The certificate that an
account was born with is one of them.  Only an active one vouches for a manifest: what an inactive or deleted one signed is not
registered any more; images that are registered stay.
"""

import base64
import re
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from amiable.database import accounts
from amiable.database.accounts import SigningCertificate
from amiable.database.connect import milliseconds
from amiable.model.errors import IamRefusal
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.services.audit import note_made
from amiable.services.installation import pem_of_certificate
from amiable.wire.generated import iam

USER_NAME: Final = "root"
CERTIFICATES_MAX: Final = 8
"""AWS allows two a user; here an account stands for all of its users."""
RSA_BITS_MIN: Final = 1024
RSA_BITS_MAX: Final = 8192
PAGE_SIZE: Final = 100
STATES: Final = {"Active": "active", "Inactive": "inactive"}
STATUSES: Final = {state: status for status, state in STATES.items()}

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_MARKER: Final = re.compile(r"(\d{1,15})-(\w{24,128})", re.ASCII)


def upload_signing_certificate(
    services: Services, principal: Principal, request: iam.UploadSigningCertificateRequest
) -> iam.UploadSigningCertificateResponse:
    """Enrols the certificate, active at once."""
    _check_user(request.user_name)
    certificate = _certificate(request.certificate_body)
    fingerprint = certificate.fingerprint(hashes.SHA256())
    certificate_id = base64.b32encode(services.entropy(20)).decode()
    note_made(certificate_id)
    now, pem = services.now(), pem_of_certificate(certificate).decode()
    with services.database.write() as c:
        mine = accounts.list_signing_certificates(c, principal.account_id)
        for other in mine:
            if x509.load_pem_x509_certificate(other.pem.encode()).fingerprint(hashes.SHA256()) == fingerprint:
                raise IamRefusal("DuplicateCertificate", f"The certificate is enrolled already, as {other.id}.")
        if len(mine) >= CERTIFICATES_MAX:
            raise IamRefusal(
                "LimitExceeded",
                f"Cannot exceed quota for CertificatesPerUser: {CERTIFICATES_MAX}",
                hint="delete a certificate that is not in use",
            )
        accounts.insert_signing_certificate(
            c, certificate_id=certificate_id, account_id=principal.account_id, pem=pem, now=now
        )
    made = SigningCertificate(certificate_id, pem, "active", now)
    return iam.UploadSigningCertificateResponse(certificate=_said(made))


def list_signing_certificates(
    services: Services, principal: Principal, request: iam.ListSigningCertificatesRequest
) -> iam.ListSigningCertificatesResponse:
    """The account's certificates, oldest first, page by page; a marker stays good when what it names is deleted."""
    _check_user(request.user_name)
    after = _read_marker(request.marker)
    with services.database.read() as c:
        mine = accounts.list_signing_certificates(c, principal.account_id)
    rest = [one for one in mine if after is None or (milliseconds(one.created_at), one.id) > after]
    page = rest[: request.max_items or PAGE_SIZE]
    is_truncated = len(page) < len(rest)
    marker = f"{milliseconds(page[-1].created_at)}-{page[-1].id}" if is_truncated else None
    return iam.ListSigningCertificatesResponse(
        certificates=[_said(one) for one in page], is_truncated=is_truncated, marker=marker
    )


def update_signing_certificate(
    services: Services, principal: Principal, request: iam.UpdateSigningCertificateRequest
) -> None:
    """Switches the certificate on or off."""
    _check_user(request.user_name)
    state = STATES.get(request.status)
    if state is None:
        raise IamRefusal("InvalidInput", f"A certificate's status is set to {' or '.join(STATES)}.")
    with services.database.write_and_answer() as c:
        if not accounts.set_signing_certificate_state(
            c, account_id=principal.account_id, certificate_id=request.certificate_id, state=state
        ):
            raise _no_such_certificate(request.certificate_id)


def delete_signing_certificate(
    services: Services, principal: Principal, request: iam.DeleteSigningCertificateRequest
) -> None:
    """Forgets the certificate."""
    _check_user(request.user_name)
    with services.database.write_and_answer() as c:
        if not accounts.delete_signing_certificate(
            c, account_id=principal.account_id, certificate_id=request.certificate_id
        ):
            raise _no_such_certificate(request.certificate_id)


def _check_user(name: str | None) -> None:
    if name not in (None, USER_NAME):
        raise IamRefusal(
            "NoSuchEntity",
            f"The user with name {name} cannot be found.",
            hint=f"there are no users yet: leave UserName out, or give {USER_NAME}",
        )


def _certificate(body: str) -> x509.Certificate:
    """The one X.509 certificate in ``body``.  Its dates are not looked at, as no tool of the format looks at them."""
    if "PRIVATE KEY" in body:
        raise IamRefusal("MalformedCertificate", "The text holds a private key. Upload the certificate alone.")
    found = _PEM.findall(body)
    if len(found) != 1:
        raise IamRefusal("MalformedCertificate", f"Expected one certificate in PEM, found {len(found)}.")
    try:
        certificate = x509.load_pem_x509_certificate(found[0].encode())
        key = certificate.public_key()
    except ValueError as error:
        raise IamRefusal("MalformedCertificate", f"The certificate cannot be read: {error}") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise IamRefusal("InvalidCertificate", "The certificate's key is not an RSA key: manifests are signed by RSA.")
    if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise IamRefusal(
            "InvalidCertificate",
            f"The certificate's key has {key.key_size} bits; {RSA_BITS_MIN} to {RSA_BITS_MAX} are taken.",
        )
    return certificate


def _read_marker(marker: str | None) -> tuple[int, str] | None:
    if marker is None:
        return None
    found = _MARKER.fullmatch(marker)
    if found is None:
        raise IamRefusal("InvalidInput", "The Marker is none that a page ended with.")
    return int(found[1]), found[2]


def _said(certificate: SigningCertificate) -> iam.SigningCertificate:
    uploaded: datetime = certificate.created_at
    return iam.SigningCertificate(
        user_name=USER_NAME,
        certificate_id=certificate.id,
        certificate_body=certificate.pem,
        status=STATUSES[certificate.state],
        upload_date=uploaded,
    )


def _no_such_certificate(certificate_id: str) -> IamRefusal:
    return IamRefusal("NoSuchEntity", f"The Certificate with id {certificate_id} cannot be found.")
