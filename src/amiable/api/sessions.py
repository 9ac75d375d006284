"""Sessions: an access key of its own for a while, carried whole in its token.

    GetSessionToken   speaks for the account of the access key that asked, and ends with that key
    AssumeRole        speaks for a role: what its policies allow at each request, and it ends with the role
    an instance       the same, for the role of its instance profile, and for its own identity, which may do nothing but say
                      who it is (``instance_session``)

Nothing is kept of a session.  The token holds, sealed by the installation, the session's key, its secret, its end, and what it speaks
for.  Who changes a byte of a token has none.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidTag

from amiable.database import roles
from amiable.database.accounts import find_access_key
from amiable.database.connect import milliseconds
from amiable.model.errors import Unauthenticated
from amiable.model.instance import Instance
from amiable.model.principal import SESSION_PREFIX, RoleSession
from amiable.model.role import Role
from amiable.rules.policy import read_policy
from amiable.services import Services

PURPOSE: Final = "account-session"
ROLE_PURPOSE: Final = "role-session"
IDENTITY: Final = "identity "
"""What stands before the account's number where an id of a role would: no role's id has a space."""
IDENTITY_ROLE: Final = "aws:ec2-instance"
TOKEN_LENGTH_MAX: Final = 16_384
INSTANCE_SESSION: Final = timedelta(hours=6)
"""How long an instance's credentials serve, as on EC2."""
INSTANCE_ROTATION: Final = timedelta(hours=1)
"""How often an instance is shown new ones: what it read last has five hours left."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session's credentials in plain."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: datetime
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """What a session of a role is given; ``policy`` is the text of the session's own."""

    role: Role
    session_name: str
    seconds: int
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a token that is good says."""

    account_id: str
    is_administrator: bool
    secret: str = field(repr=False)
    role: RoleSession | None = None


def begin_session(services: Services, parent_key_id: str, *, seconds: int, token_size_min: int = 0) -> Session:
    """Credentials that speak for the account of ``parent_key_id`` for ``seconds``; the token has at least ``token_size_min`` characters."""
    return _seal(
        services,
        services.entropy,
        PURPOSE,
        said=[parent_key_id, " " * token_size_min],
        life=(services.now(), timedelta(seconds=seconds)),
    )


def begin_role_session(services: Services, grant: RoleGrant) -> Session:
    """Credentials that speak for a role."""
    said = [grant.role.id, grant.session_name, grant.policy]
    life = (services.now(), timedelta(seconds=grant.seconds))
    return _seal(services, services.entropy, ROLE_PURPOSE, said=said, life=life)


def instance_session(services: Services, instance: Instance, role: Role | None) -> Session:
    """The credentials that an instance is shown now: the same ones until the next rotation, though nothing is kept.

    ``role`` is its profile's; None: those of the instance's own identity.

    All that is random in them is derived from the installation's key and what they are for, so the same words are never sealed twice
    under one nonce with another content.
    """
    ran = max(services.now() - instance.launched_at, timedelta())
    begun_at = instance.launched_at + ran // INSTANCE_ROTATION * INSTANCE_ROTATION
    speaks_for = IDENTITY + instance.account_id if role is None else role.id
    label = f"{instance.id} {speaks_for} {milliseconds(begun_at)} {INSTANCE_SESSION.total_seconds()}"
    chance = _derived(services.installation.sealing_key, f"instance-session {label}")
    return _seal(
        services, chance, ROLE_PURPOSE, said=[speaks_for, instance.id, None], life=(begun_at, INSTANCE_SESSION)
    )


def _derived(key: bytes, label: str) -> Callable[[int], bytes]:
    """Bytes that follow from ``key`` and ``label``; each call gives others."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hmac.digest(key, f"{label} {count}".encode(), hashlib.sha256)[:size]

    return draw


def _seal(
    services: Services,
    chance: Callable[[int], bytes],
    purpose: str,
    *,
    said: list[Any],
    life: tuple[datetime, timedelta],
) -> Session:
    key_id = SESSION_PREFIX + base64.b32encode(chance(10)).decode()
    secret = base64.b64encode(chance(30)).decode()
    begun_at, expires_at = life[0], life[0] + life[1]
    plain = json.dumps([key_id, secret, milliseconds(expires_at), *said]).encode()
    sealed = services.installation.seal(purpose, plain, chance(12))
    return Session(key_id, secret, base64.b64encode(sealed).decode(), expires_at, begun_at)


def open_session(services: Services, token: str, key_id: str) -> Opened:
    """What the session ``key_id`` speaks for, and its secret; raises Unauthenticated for a token that is not ours or is over."""
    purpose, (session_key, secret, expires_ms, *said) = _unseal(services, token)
    if session_key != key_id:
        raise _wrong()
    if expires_ms < milliseconds(services.now()):
        raise Unauthenticated("expired-token", "The security token included in the request is expired.")
    if purpose == ROLE_PURPOSE:
        return _open_role(services, secret, *said)
    with services.database.read() as c:
        key = find_access_key(c, said[0])
    if key is None or key.state != "active":
        raise Unauthenticated("wrong-token", "The access key that began the session is not active any more.")
    return Opened(key.account_id, key.is_administrator, secret)


def _open_role(services: Services, secret: str, role_id: str, session_name: str, policy: str | None) -> Opened:
    if role_id.startswith(IDENTITY):
        account_id, name = role_id.removeprefix(IDENTITY), IDENTITY_ROLE
        arn = f"arn:aws:iam::{account_id}:role/{name}"
        return Opened(account_id, False, secret, RoleSession(f"{account_id}:{name}", name, arn, session_name))
    with services.database.read() as c:
        role = roles.get_role(c, role_id)
        documents = roles.policies_of(c, role_id)
    if role is None:
        raise Unauthenticated("wrong-token", "The role of the session is not there any more.")
    session = RoleSession(
        role_id=role.id,
        role_name=role.name,
        role_arn=role.arn,
        session_name=session_name,
        policies=tuple(read_policy(text) for text in documents.values()),
        session_policy=None if policy is None else read_policy(policy),
    )
    return Opened(role.account_id, False, secret, session)


def _unseal(services: Services, token: str) -> tuple[str, list[Any]]:
    """The purpose that the token was sealed for, and what it holds; raises Unauthenticated."""
    try:
        if len(token) > TOKEN_LENGTH_MAX:
            raise _wrong()
        sealed = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong() from None
    for purpose in (PURPOSE, ROLE_PURPOSE):
        try:
            held: list[Any] = json.loads(services.installation.unseal(purpose, sealed))
        except (InvalidTag, ValueError):
            continue
        return purpose, held
    raise _wrong()


def _wrong() -> Unauthenticated:
    return Unauthenticated("wrong-token", "The security token included in the request is invalid.")
