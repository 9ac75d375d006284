"""Making accounts and access keys.

An account is born whole: its rows, an access key, an RSA signing pair whose certificate is enrolled, and a default network
stand in one transaction.  Its files, ``<data>/accounts/<account>/{credentials.json,signing.key,signing.pem}`` (0600), are
written before that transaction, in a folder that gets its name after it:

    <account>.new/ durable ─▶ the rows ─▶ <account>/        :func:`settle_accounts`, at a start, ends what a crash cut off
"""

import base64
import json
import shutil
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Connection

from amiable.blocks.files import sync_folder
from amiable.database import accounts, network
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, ResourceLimitExceeded
from amiable.services import Services
from amiable.services.audit import note_made
from amiable.services.installation import Installation, certify, pem_of_certificate, pem_of_key, write_private

ACCOUNT_NAME_LENGTH_MAX: Final = 255
ACCESS_KEYS_MAX: Final = 8
SEALED_FOR: Final = "access-key"
SECRETS_KEPT: Final = 1024
"""Of access keys, in plain, in memory."""
UNSETTLED: Final = ".new"
CREDENTIALS: Final = "credentials.json"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What only the maker of an account sees: its secrets in plain."""

    account_id: str
    access_key_id: str
    secret: str = field(repr=False)
    certificate_pem: str
    private_key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    """An access key with its secret in plain."""

    id: str
    secret: str = field(repr=False)


def create_account(
    services: Services,
    name: str,
    *,
    administrator: bool = False,
    account_id: str | None = None,
    owner_alias: str | None = None,
) -> NewAccount:
    """Makes an account with a key, an enrolled signing certificate and a default network; durable on return."""
    if not name.strip() or len(name) > ACCOUNT_NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidParameterValue(
            parameter="Name", value=name[:40], why=f"Give 1 to {ACCOUNT_NAME_LENGTH_MAX} printable characters."
        )
    if account_id is not None and not ids.is_account(account_id):
        raise InvalidParameterValue(parameter="AccountId", value=account_id, why="An account id is 12 digits.")
    account_id = account_id or _mint_account_id(services)
    note_made(account_id)
    with services.database.read() as c:
        if accounts.find_account(c, account_id) is not None:
            raise InvalidParameterValue(
                parameter="AccountId", value=account_id, why="There is such an account already."
            )
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _issue(services, f"Account {account_id}", key)
    access_key = _mint_access_key(services)
    new = NewAccount(
        account_id, access_key.id, access_key.secret, pem_of_certificate(certificate).decode(), pem_of_key(key).decode()
    )
    folder = _write_files(services, name, new, administrator=administrator)
    with services.database.write() as c:
        now = services.now()
        accounts.insert_account(c, accounts.Account(account_id, name, administrator, now, owner_alias=owner_alias))
        _insert_access_key(c, services, account_id, access_key)
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        accounts.insert_signing_certificate(
            c, certificate_id=fingerprint, account_id=account_id, pem=new.certificate_pem, now=now
        )
        create_default_network(c, services, account_id)
    _rename_durably(folder, folder.with_suffix(""))
    return new


def settle_accounts(services: Services) -> None:
    """Gives the folder of each account that was made its name, and removes those of accounts that were not; at a start."""
    for folder in (services.data / "accounts").glob("*" + UNSETTLED):
        with services.database.read() as c:
            account = accounts.find_account(c, folder.stem)
        if account is None:
            shutil.rmtree(folder)
        else:
            _rename_durably(folder, folder.with_suffix(""))


def settle_networks(services: Services) -> None:
    """Gives every account's default network what the settings of this start ask for: a region or zone that is new gets its own."""
    with services.database.write() as c:
        for account in accounts.list_accounts(c):
            create_default_network(c, services, account.id)


def create_access_key(services: Services, account_id: str) -> NewAccessKey:
    """Adds a key to the account; its secret is shown this once."""
    new = _mint_access_key(services)
    note_made(new.id)
    with services.database.write() as c:
        if len(accounts.list_access_keys(c, account_id)) >= ACCESS_KEYS_MAX:
            raise ResourceLimitExceeded(
                f"An account has at most {ACCESS_KEYS_MAX} access keys.",
                hint="amiable access-key list shows them; delete one that is not in use",
            )
        _insert_access_key(c, services, account_id, new)
    return new


def replace_told_key(services: Services, account_id: str, key_id: str, *, by: str) -> None:
    """Has the account's credentials file tell the key ``by`` where it tells ``key_id``, which is to end."""
    file = services.data / "accounts" / account_id / CREDENTIALS
    told = json.loads(file.read_bytes()) if file.exists() else {}  # its owner may have taken it away
    if told.get("AccessKeyId") != key_id:
        return
    with services.database.read() as c:
        key = accounts.find_access_key(c, by)
    if key is not None:
        write_private(file, _credentials({**told, "AccessKeyId": key.id, "SecretAccessKey": secret_of(services, key)}))


def secret_of(services: Services, key: accounts.AccessKey) -> str:
    """The key's secret in plain."""
    return _unsealed(services.installation, key.secret_sealed)


@lru_cache(SECRETS_KEPT)
def _unsealed(installation: Installation, sealed: bytes) -> str:
    return installation.unseal(SEALED_FOR, sealed).decode()


def create_default_network(c: Connection, services: Services, account_id: str) -> None:
    """Makes the account's default VPC and security group in every region, with a default subnet in each zone."""
    settings = services.settings
    for region in settings.regions:
        network.ensure_default_network(
            c, account_id, region, zones=settings.zones_in(region), mint=services.mint, now=services.now()
        )


def _mint_account_id(services: Services) -> str:
    first = 10**11
    return str(first + int.from_bytes(services.entropy(8), "big") % (9 * first))


def _mint_access_key(services: Services) -> NewAccessKey:
    key_id = "AKIA" + base64.b32encode(services.entropy(10)).decode()
    return NewAccessKey(key_id, base64.b64encode(services.entropy(30)).decode())


def _insert_access_key(c: Connection, services: Services, account_id: str, new: NewAccessKey) -> None:
    sealed = services.installation.seal(SEALED_FOR, new.secret.encode(), services.entropy(12))
    accounts.insert_access_key(c, key_id=new.id, account_id=account_id, secret_sealed=sealed, now=services.now())


def _issue(services: Services, name: str, key: rsa.RSAPrivateKey) -> x509.Certificate:
    issuer_key = serialization.load_pem_private_key(services.installation.ca_key_pem.encode(), None)
    assert isinstance(issuer_key, rsa.RSAPrivateKey)
    issuer = x509.load_pem_x509_certificate(services.installation.ca_pem.encode())
    return certify(name, key, issuer=issuer, issuer_key=issuer_key)


def _write_files(services: Services, name: str, new: NewAccount, *, administrator: bool) -> Path:
    folder = services.data / "accounts" / (new.account_id + UNSETTLED)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    credentials = {
        "AccountId": new.account_id,
        "Name": name,
        "Administrator": administrator,
        "AccessKeyId": new.access_key_id,
        "SecretAccessKey": new.secret,
    }
    write_private(folder / CREDENTIALS, _credentials(credentials))
    write_private(folder / "signing.key", new.private_key_pem.encode())
    write_private(folder / "signing.pem", new.certificate_pem.encode())
    return folder


def _credentials(told: dict[str, Any]) -> bytes:
    return json.dumps(told, indent=1).encode() + b"\n"


def _rename_durably(folder: Path, name: Path) -> None:
    folder.rename(name)
    sync_folder(name.parent)
