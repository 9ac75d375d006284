"""Sealed tokens of EBS direct: (snapshot, index, expiry) under the installation's key, different each time, remembered nowhere."""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag

from amiable.api.ebs_snapshots import invalid
from amiable.database.connect import milliseconds
from amiable.services import Services

PAGE: Final = "ebs-page"
BLOCK: Final = "ebs-block"
TOKEN_CHARACTERS_MAX: Final = 256
BLOCK_TOKEN_LIFE: Final = timedelta(days=7)
PAGE_TOKEN_LIFE: Final = timedelta(minutes=60)
PAGE_MIN, PAGE_MAX = 100, 10_000


class Token(msgspec.Struct, array_like=True):
    """What a token says."""

    snapshot_id: str
    index: int
    expires_ms: int


def seal_token(services: Services, purpose: str, snapshot_id: str, index: int, expires: datetime) -> str:
    """A token for ``purpose``, in base64, at most 256 characters."""
    plain = msgspec.json.encode(Token(snapshot_id, index, milliseconds(expires)))
    text = base64.b64encode(services.installation.seal(purpose, plain, services.entropy(12))).decode()
    assert len(text) <= TOKEN_CHARACTERS_MAX
    return text


def open_token(services: Services, purpose: str, text: str) -> Token | None:
    """What was sealed; None unless it is whole, ours, for this purpose, and not expired."""
    if len(text) > TOKEN_CHARACTERS_MAX:
        return None
    try:
        sealed = base64.b64decode(text, validate=True)
        token = msgspec.json.decode(services.installation.unseal(purpose, sealed), type=Token)
    except (binascii.Error, InvalidTag, ValueError):
        return None
    return token if token.expires_ms > milliseconds(services.now()) else None


def page_size(asked: int | None) -> int:
    """Blocks on a page; EBS takes fewer than :data:`PAGE_MIN` as that many."""
    if asked is not None and asked > PAGE_MAX:
        raise invalid("INVALID_PARAMETER_VALUE", f"maxResults is {asked}; it is {PAGE_MAX} at most.")
    return PAGE_MAX if asked is None else max(asked, PAGE_MIN)


def unseal_page(services: Services, snapshot_ids: str, text: str) -> int:
    """The index at which the page begins that a token of this snapshot, or of these two, asks for."""
    token = open_token(services, PAGE, text)
    if token is None or token.snapshot_id != snapshot_ids:
        raise invalid("INVALID_PAGE_TOKEN", "The page token is not valid for this snapshot, or has expired.")
    return token.index
