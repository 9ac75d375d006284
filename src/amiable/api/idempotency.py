"""Client tokens: the same call twice makes one thing.

Inside the write transaction that makes something::

    made = recall(c, services, principal, "RunInstances", request)
    if made is None:
        …make…
        remember(c, services, principal, "RunInstances", request, ids)

A token belongs to account, region and action, of what is asked for in a zone to that zone too (:func:`in_zone`), and is kept 24 hours;
its row falls with the transaction, so a call that was refused, and a dry run, use none.  Source: EC2 API reference, "Ensuring idempotency".
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from sqlalchemy import Connection

from amiable.database import client_tokens
from amiable.database.client_tokens import Key, Remembered
from amiable.model.errors import IdempotentParameterMismatch, InvalidParameterValue
from amiable.model.principal import Principal
from amiable.services import Services

TOKEN_CHARACTERS_MAX: Final = 64
CHARACTERS_MAX_OF: Final = {
    "CopyImage": 128,
    "CreateImageUsageReport": 128,
    "CreateLaunchTemplate": 128,
    "CreateLaunchTemplateVersion": 128,
    "ModifyLaunchTemplate": 128,
}
"""Actions whose tokens may be longer."""
NOT_HASHED: Final = ("client_token", "dry_run")


class Tokened(Protocol):
    """A request that carries a client token."""

    @property
    def client_token(self) -> str | None: ...


def check_token(request: Tokened, action: str = "") -> None:
    """Refuses a client token of the wrong form; a dry run looks no further."""
    token, characters_max = request.client_token, CHARACTERS_MAX_OF.get(action, TOKEN_CHARACTERS_MAX)
    if token is not None and not (0 < len(token) <= characters_max and token.isascii()):
        raise InvalidParameterValue(
            parameter="ClientToken", value=token, why=f"It has 1 to {characters_max} ASCII characters."
        )


def in_zone(action: str, zone: str | None) -> str:
    """What stands for ``action`` in :func:`recall` and :func:`remember` where the request says a zone: each has tokens of its own.

    Source: EC2 API, "Ensuring idempotency", zonal idempotency of RunInstances and CreateVolume.
    """
    return action if zone is None else f"{action} in {zone}"


def recall(
    c: Connection, services: Services, principal: Principal, action: str, request: Tokened
) -> tuple[str, ...] | None:
    """The ids that the request's token made before; None without a token or the first time.

    Raises IdempotentParameterMismatch where the token came with other parameters.
    """
    check_token(request, action)
    if request.client_token is None:
        return None
    key = Key(principal.account_id, principal.region, action, request.client_token)
    known = client_tokens.find_token(c, key, now=services.now())
    if known is None:
        return None
    if known.request_hash != request_hash(request):
        raise IdempotentParameterMismatch()
    return known.resource_ids


def remember(
    c: Connection, services: Services, principal: Principal, action: str, request: Tokened, resource_ids: Sequence[str]
) -> None:
    """Remembers in the caller's transaction that the request's token made ``resource_ids``; without a token, nothing."""
    if request.client_token is None:
        return
    key = Key(principal.account_id, principal.region, action, request.client_token)
    made = Remembered(request_hash(request), tuple(resource_ids))
    client_tokens.insert_token(c, key, made, now=services.now())


def request_hash(request: Tokened) -> bytes:
    """SHA-256 over every parameter but the token and DryRun; absent parameters count as absent."""
    assert isinstance(request, msgspec.Struct)
    parameters = {name: value for name, value in msgspec.structs.asdict(request).items() if name not in NOT_HASHED}
    return hashlib.sha256(msgspec.json.encode(parameters, order="sorted")).digest()
