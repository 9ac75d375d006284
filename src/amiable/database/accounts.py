"""Accounts, their access keys and their signing certificates."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from amiable.database.connect import Database
from amiable.database.schema import access_key as K
from amiable.database.schema import account as A
from amiable.database.schema import signing_certificate as C
from amiable.database.statement import Statement


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One access key with the account it speaks for; the secret is sealed by the installation for ``access-key``."""

    id: str
    account_id: str
    secret_sealed: bytes
    state: str
    is_administrator: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """One account; a partner is trusted by the administrator to register kernels and ramdisks."""

    id: str
    name: str
    is_administrator: bool
    created_at: datetime
    is_partner: bool = False
    owner_alias: str | None = None
    """What DescribeImages calls the owner of its images; the administrator's word."""


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """One certificate whose key signs the account's manifests."""

    id: str
    pem: str
    state: str
    """``active`` or ``inactive``."""
    created_at: datetime


_CERTIFICATES = select(C.c.id, C.c.pem, C.c.state, C.c.created_at)
_KEYS = select(K.c.id, K.c.account_id, K.c.secret_sealed, K.c.state, A.c.is_administrator, K.c.created_at).join(
    A, A.c.id == K.c.account_id
)
_KEY = Statement(_KEYS.where(K.c.id == bindparam("id")))

_ACCOUNTS = select(
    A.c.id, A.c.name, A.c.is_administrator, A.c.created_at, func.coalesce(A.c.is_partner, False), A.c.owner_alias
)


def find_access_key(c: Connection, key_id: str) -> AccessKey | None:
    """The key of this id, active or not."""
    row = _KEY.first(c, id=key_id)
    return None if row is None else AccessKey(*row)


def look_up_access_key(database: Database, key_id: str) -> AccessKey | None:
    """The same, outside of a transaction."""
    found = database.look_up(_KEY, id=key_id)
    return AccessKey(*found[0]) if found else None


def list_access_keys(c: Connection, account_id: str) -> list[AccessKey]:
    """The account's keys, oldest first."""
    return [
        AccessKey(*row) for row in c.execute(_KEYS.where(K.c.account_id == account_id).order_by(K.c.created_at, K.c.id))
    ]


def insert_access_key(c: Connection, *, key_id: str, account_id: str, secret_sealed: bytes, now: datetime) -> None:
    """Adds an active key."""
    c.execute(
        insert(K).values(id=key_id, account_id=account_id, secret_sealed=secret_sealed, state="active", created_at=now)
    )


def set_access_key_state(c: Connection, *, account_id: str, key_id: str, state: str) -> bool:
    """Switches the account's key to ``active`` or ``inactive``; says whether there is one."""
    return c.execute(update(K).where(K.c.id == key_id, K.c.account_id == account_id).values(state=state)).rowcount > 0


def delete_access_key(c: Connection, *, account_id: str, key_id: str) -> bool:
    """Removes the account's key; says whether there was one."""
    return c.execute(delete(K).where(K.c.id == key_id, K.c.account_id == account_id)).rowcount > 0


def find_account(c: Connection, account_id: str) -> Account | None:
    """The account of this id."""
    row = c.execute(_ACCOUNTS.where(A.c.id == account_id)).first()
    return None if row is None else Account(*row)


def set_partner(c: Connection, account_id: str, is_partner: bool) -> bool:
    """Makes the account a partner, or takes it away; says whether there is such an account."""
    return c.execute(update(A).where(A.c.id == account_id).values(is_partner=is_partner)).rowcount > 0


def set_owner_alias(c: Connection, account_id: str, alias: str | None) -> bool:
    """Sets the account's alias, or with None takes it away; says whether there is such an account."""
    return c.execute(update(A).where(A.c.id == account_id).values(owner_alias=alias)).rowcount > 0


def missing_accounts(c: Connection, account_ids: Collection[str]) -> list[str]:
    """Those of ``account_ids`` that name no account, in their order."""
    known = set(c.execute(select(A.c.id).where(A.c.id.in_(account_ids))).scalars())
    return [account_id for account_id in account_ids if account_id not in known]


def list_accounts(c: Connection) -> list[Account]:
    """Every account, oldest first."""
    return [Account(*row) for row in c.execute(_ACCOUNTS.order_by(A.c.created_at, A.c.id))]


def insert_account(c: Connection, account: Account) -> None:
    """Adds the account."""
    c.execute(
        insert(A).values(
            id=account.id,
            name=account.name,
            is_administrator=account.is_administrator,
            created_at=account.created_at,
            owner_alias=account.owner_alias,
        )
    )


def insert_signing_certificate(c: Connection, *, certificate_id: str, account_id: str, pem: str, now: datetime) -> None:
    """Enrols an active certificate."""
    c.execute(insert(C).values(id=certificate_id, account_id=account_id, pem=pem, state="active", created_at=now))


def list_signing_certificates(c: Connection, account_id: str) -> list[SigningCertificate]:
    """The account's certificates, oldest first."""
    rows = c.execute(_CERTIFICATES.where(C.c.account_id == account_id).order_by(C.c.created_at, C.c.id))
    return [SigningCertificate(*row) for row in rows]


def set_signing_certificate_state(c: Connection, *, account_id: str, certificate_id: str, state: str) -> bool:
    """Switches the account's certificate to ``active`` or ``inactive``; says whether there is one."""
    mine = update(C).where(C.c.id == certificate_id, C.c.account_id == account_id)
    return c.execute(mine.values(state=state)).rowcount > 0


def delete_signing_certificate(c: Connection, *, account_id: str, certificate_id: str) -> bool:
    """Removes the account's certificate; says whether there was one."""
    return c.execute(delete(C).where(C.c.id == certificate_id, C.c.account_id == account_id)).rowcount > 0


def signing_certificates(c: Connection, account_id: str) -> list[str]:
    """PEM of each active certificate that the account enrolled: what the signature of its manifests is checked against."""
    query = select(C.c.pem).where(C.c.account_id == account_id, C.c.state == "active").order_by(C.c.created_at, C.c.id)
    return list(c.execute(query).scalars())
