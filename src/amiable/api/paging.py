"""Pages of a list, and the sealed tokens between them.

A token is the installation's own: AES-GCM over {who, action, hash of the parameters, last key, expiry}.  It serves for 60
minutes, for the same caller, and for the same question only; MaxResults may change from page to page.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag

from amiable.api.requests import action_of, parameter_hash
from amiable.database.connect import milliseconds
from amiable.model.errors import InvalidPaginationToken, InvalidParameterValue
from amiable.model.principal import Principal
from amiable.services import Services

PAGE_SIZE_MAX: Final = 1000
TOKEN_LIFE: Final = timedelta(minutes=60)
TOKEN_LENGTH_MAX: Final = 4096
NOT_HASHED: Final = ("next_token", "max_results", "dry_run")
PURPOSE: Final = "page"

T = TypeVar("T")


class Paged(Protocol):
    """A request that can be asked page by page."""

    @property
    def max_results(self) -> int | None:
        """How many things a page may hold."""
        ...

    @property
    def next_token(self) -> str | None:
        """What the page before ended with."""
        ...


class _Token(msgspec.Struct, array_like=True):
    account: str
    region: str
    action: str
    parameters: bytes
    after: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Page:
    """What ``principal`` asks to see of a list: what follows the key ``after`` (None: from the start), at most ``size`` things.

    Without a size it holds all of them.  A list is ordered by a key that is text; a page begins after the last key of the one before.
    """

    services: Services
    principal: Principal
    request: Paged
    after: str | None
    size: int | None

    def cut(self, things: Sequence[T], key: Callable[[T], str]) -> tuple[list[T], str | None]:
        """What of ``things`` (in key order) stands on this page, and the token for what follows; None at the end."""
        after = self.after
        rest = list(things) if after is None else [thing for thing in things if key(thing) > after]
        if self.size is None or len(rest) <= self.size:
            return rest, None
        shown = rest[: self.size]
        return shown, self._seal(key(shown[-1]))

    def _seal(self, after: str) -> str:
        who, services = self.principal, self.services
        expires_ms = milliseconds(services.now() + TOKEN_LIFE)
        token = _Token(
            who.account_id,
            who.region,
            action_of(self.request),
            parameter_hash(self.request, NOT_HASHED),
            after,
            expires_ms,
        )
        sealed = services.installation.seal(PURPOSE, msgspec.json.encode(token), services.entropy(12))
        return base64.urlsafe_b64encode(sealed).decode()


@dataclass(frozen=True, slots=True)
class PageBounds:
    """What a request may say of a page's size, and how much a page holds whatever it says.

    Without ``size_max`` a page of more than ``held_max`` things may be asked for, and has so many.
    """

    size_min: int = 1
    size_max: int | None = None
    held_max: int = PAGE_SIZE_MAX


def open_page(services: Services, principal: Principal, request: Paged, bounds: PageBounds = PageBounds()) -> Page:
    """The page that the request asks for; refuses a size outside its bounds and a token that is not for this question."""
    size_min, size_max, held_max = bounds.size_min, bounds.size_max, bounds.held_max
    size = request.max_results
    if size is not None and size_max is not None and size > size_max:
        raise InvalidParameterValue(
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value less than or equal to {size_max}."
        )
    if size is not None and size < size_min:
        raise InvalidParameterValue(
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value greater than or equal to {size_min}."
        )
    after = None if not request.next_token else _unseal(services, principal, request)
    if after is not None and size is None:
        size = held_max
    return Page(services, principal, request, after, None if size is None else min(size, held_max))


def _unseal(services: Services, principal: Principal, request: Paged) -> str:
    text = request.next_token or ""
    try:
        if len(text) > TOKEN_LENGTH_MAX:
            raise InvalidPaginationToken()
        sealed = base64.b64decode(text, altchars=b"-_", validate=True)
        token = msgspec.json.decode(services.installation.unseal(PURPOSE, sealed), type=_Token)
    except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidPaginationToken() from None
    asked = (principal.account_id, principal.region, action_of(request), parameter_hash(request, NOT_HASHED))
    if asked != (token.account, token.region, token.action, token.parameters) or token.expires_ms < milliseconds(
        services.now()
    ):
        raise InvalidPaginationToken()
    return token.after
