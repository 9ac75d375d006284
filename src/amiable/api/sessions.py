"""Sessions: an access key of its own for a while, carried whole in its token.

Nothing is kept of a session.  The token holds, sealed by the installation, the session's key, its secret, its end, and the access
key that asked for it; a session ends with that key, or with its time.  Who changes a byte of a token has none.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidTag

from amiable.database.accounts import AccessKey, find_access_key
from amiable.database.connect import milliseconds
from amiable.model.errors import Unauthenticated
from amiable.model.principal import SESSION_PREFIX
from amiable.services import Services

PURPOSE: Final = "session"
TOKEN_LENGTH_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Session:
    """A session's credentials in plain."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: datetime


def begin_session(services: Services, parent_key_id: str, *, seconds: int, token_size_min: int = 0) -> Session:
    """Credentials that speak for the account of ``parent_key_id`` for ``seconds``; the token has at least ``token_size_min`` characters."""
    key_id = SESSION_PREFIX + base64.b32encode(services.entropy(10)).decode()
    secret = base64.b64encode(services.entropy(30)).decode()
    expires_at = services.now() + timedelta(seconds=seconds)
    said = [key_id, secret, parent_key_id, milliseconds(expires_at), " " * token_size_min]
    sealed = services.installation.seal(PURPOSE, json.dumps(said).encode(), services.entropy(12))
    return Session(key_id, secret, base64.b64encode(sealed).decode(), expires_at)


def open_session(services: Services, token: str, key_id: str) -> tuple[AccessKey, str]:
    """The key behind the session ``key_id`` and the session's secret; raises Unauthenticated for a token that is not ours or is over."""
    wrong = Unauthenticated("wrong-token", "The security token included in the request is invalid.")
    try:
        if len(token) > TOKEN_LENGTH_MAX:
            raise wrong
        sealed = base64.b64decode(token, validate=True)
        session_key, secret, parent_key_id, expires_ms, _ = json.loads(services.installation.unseal(PURPOSE, sealed))
    except (InvalidTag, binascii.Error, ValueError):
        raise wrong from None
    if session_key != key_id:
        raise wrong
    if expires_ms < milliseconds(services.now()):
        raise Unauthenticated("expired-token", "The security token included in the request is expired.")
    with services.database.read() as c:
        key = find_access_key(c, parent_key_id)
    if key is None or key.state != "active":
        raise Unauthenticated("wrong-token", "The access key that began the session is not active any more.")
    return key, secret
