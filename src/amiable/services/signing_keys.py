"""The key pair that the installation made for an account, with which the server signs bundles in the account's name."""

from dataclasses import dataclass

from amiable.database import accounts
from amiable.model.errors import InvalidParameterValue
from amiable.services import Services


@dataclass(frozen=True, slots=True)
class SigningPair:
    """PEM texts."""

    certificate_pem: str
    private_key_pem: str


def signing_pair(services: Services, account_id: str) -> SigningPair:
    """The account's own pair.  Refused where its certificate is not enrolled any more: nobody would believe the signature."""
    folder = services.data / "accounts" / account_id
    with services.database.read() as c:
        enrolled = {pem.strip() for pem in accounts.signing_certificates(c, account_id)}
    try:
        pair = SigningPair((folder / "signing.pem").read_text(), (folder / "signing.key").read_text())
    except FileNotFoundError:
        pair = None
    if pair is None or pair.certificate_pem.strip() not in enrolled:
        raise InvalidParameterValue(
            f"The server cannot sign for account {account_id}: the certificate that it made for it "
            f"(accounts/{account_id}/signing.pem in the data directory) is not enrolled, or not active.",
            hint="enrol it again, or bundle with your own key: amiable bundle volume",
        )
    return pair
