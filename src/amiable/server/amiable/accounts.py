"""Accounts and access keys: ``/amiable/v1/accounts``, ``/amiable/v1/access-keys``."""

from typing import Final

import msgspec

from amiable.api import accounts, amiable
from amiable.database.accounts import AccessKey, Account
from amiable.server.amiable.calls import Answer, Routes, instant, read_body
from amiable.server.contracts import Authenticated
from amiable.services import Services


class CreateAccount(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST accounts."""

    name: str


class Partner(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT accounts/{id}/partner."""

    partner: bool


class Activity(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT access-keys/{id}/state."""

    active: bool


class Alias(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT accounts/{id}/alias."""

    alias: str | None


def _list_accounts(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    found = amiable.list_accounts(services, request.principal)
    return {"Accounts": [_account(each) for each in found]}


def _account(it: Account) -> Answer:
    return {
        "AccountId": it.id,
        "Name": it.name,
        "IsAdministrator": it.is_administrator,
        "IsPartner": it.is_partner,
        "OwnerAlias": it.owner_alias,
        "CreatedAt": instant(it.created_at),
    }


def _set_partner(services: Services, request: Authenticated, account_id: str, body: bytes) -> Answer:
    amiable.check_administrator(request.principal)
    wanted = read_body(body, Partner)
    return _account(amiable.set_partner(services, request.principal, account_id, wanted.partner))


def _set_alias(services: Services, request: Authenticated, account_id: str, body: bytes) -> Answer:
    amiable.check_administrator(request.principal)
    wanted = read_body(body, Alias)
    return _account(amiable.set_owner_alias(services, request.principal, account_id, wanted.alias))


def _create_account(services: Services, request: Authenticated, _id: str, body: bytes) -> Answer:
    amiable.check_administrator(request.principal)
    new = accounts.create_account(services, read_body(body, CreateAccount).name)
    return {
        "AccountId": new.account_id,
        "AccessKeyId": new.access_key_id,
        "SecretAccessKey": new.secret,
        "Certificate": new.certificate_pem,
        "PrivateKey": new.private_key_pem,
        "CredentialsFile": str(services.data / "accounts" / new.account_id / "credentials.json"),
    }


def _list_access_keys(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    found = amiable.list_access_keys(services, request.principal)
    return {"AccessKeys": [_access_key(each) for each in found]}


def _access_key(it: AccessKey) -> Answer:
    return {"AccessKeyId": it.id, "State": it.state, "CreatedAt": instant(it.created_at)}


def _create_access_key(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    new = accounts.create_access_key(services, request.principal.account_id)
    return {"AccessKeyId": new.id, "SecretAccessKey": new.secret}


def _set_access_key_state(services: Services, request: Authenticated, key_id: str, body: bytes) -> Answer:
    wanted = read_body(body, Activity)
    return _access_key(amiable.set_access_key_active(services, request.principal, key_id, wanted.active))


def _delete_access_key(services: Services, request: Authenticated, key_id: str, _body: bytes) -> Answer:
    amiable.delete_access_key(services, request.principal, key_id)
    return {}


ROUTES: Final[Routes] = {
    ("PUT",    "accounts/{}/alias"): _set_alias,
    ("GET",    "accounts"): _list_accounts,
    ("POST",   "accounts"): _create_account,
    ("PUT",    "accounts/{}/partner"): _set_partner,
    ("GET",    "access-keys"): _list_access_keys,
    ("POST",   "access-keys"): _create_access_key,
    ("PUT",    "access-keys/{}/state"): _set_access_key_state,
    ("DELETE", "access-keys/{}"): _delete_access_key,
}  # fmt: skip
