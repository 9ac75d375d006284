"""Client tokens: the same call twice makes one thing.

Inside the write transaction that makes something::

    once = Repeatable(services, principal, request)
    made = once.recall(c)
    if made is None:
        …make…
        once.remember(c, ids)

A token belongs to account, region and action, of what is asked for in a zone to that zone too, and is kept 24 hours;
its row falls with the transaction, so a call that was refused, and a dry run, use none.  Source: EC2 API reference, "Ensuring idempotency".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import Connection

from amiable.api.requests import action_of, parameter_hash
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


def check_token(request: Tokened) -> None:
    """Refuses a client token of the wrong form; a dry run looks no further."""
    token, characters_max = request.client_token, CHARACTERS_MAX_OF.get(action_of(request), TOKEN_CHARACTERS_MAX)
    if token is not None and not (0 < len(token) <= characters_max and token.isascii()):
        raise InvalidParameterValue(
            parameter="ClientToken", value=token, why=f"It has 1 to {characters_max} ASCII characters."
        )


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A call that makes something once, however often it comes: who calls, with what request, and the zone that the request says.

    Source of the zone: EC2 API, "Ensuring idempotency", zonal idempotency of RunInstances and CreateVolume.
    """

    services: Services
    principal: Principal
    request: Tokened
    zone: str | None = None

    def recall(self, c: Connection) -> tuple[str, ...] | None:
        """The ids that the request's token made before; None without a token or the first time.

        Raises IdempotentParameterMismatch where the token came with other parameters.
        """
        check_token(self.request)
        if self.request.client_token is None:
            return None
        known = client_tokens.find_token(c, self._key(self.request.client_token), now=self.services.now())
        if known is None:
            return None
        if known.request_hash != request_hash(self.request):
            raise IdempotentParameterMismatch()
        return known.resource_ids

    def remember(self, c: Connection, resource_ids: Sequence[str]) -> None:
        """Remembers in the caller's transaction that the request's token made ``resource_ids``; without a token, nothing."""
        if self.request.client_token is None:
            return
        made = Remembered(request_hash(self.request), tuple(resource_ids))
        client_tokens.insert_token(c, self._key(self.request.client_token), made, now=self.services.now())

    def _key(self, token: str) -> Key:
        action = action_of(self.request)
        scope = action if self.zone is None else f"{action} in {self.zone}"
        return Key(self.principal.account_id, self.principal.region, scope, token)


def request_hash(request: Tokened) -> bytes:
    """SHA-256 over every parameter but the token and DryRun."""
    return parameter_hash(request, NOT_HASHED)
