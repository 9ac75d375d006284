"""The house account: the owner of the images that the installation itself offers, which DescribeImages calls ``amazon``.

Made at first use.  Nobody logs in as it: the administrator is handed an hour's credentials, and its lasting key stays with the
installation.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Final

from amiable.api.accounts import create_access_key, create_account
from amiable.api.amiable import check_administrator
from amiable.api.sessions import Session, begin_session
from amiable.database import accounts, block_public_access
from amiable.model.block_public_access import UNBLOCKED
from amiable.model.principal import Principal
from amiable.services import Services

NAME: Final = "house"
ALIAS: Final = "amazon"
SESSION_SECONDS: Final = 3600
_MAKING: Final = Lock()
"""Two first uses at once make one account."""


@dataclass(frozen=True, slots=True)
class HouseSession:
    """The house account's id and its credentials for a while."""

    account_id: str
    session: Session = field(repr=False)

    @property
    def expires_at(self) -> datetime:
        return self.session.expires_at


def begin_house_session(services: Services, principal: Principal) -> HouseSession:
    """Credentials of the house account, whose images may be made public in the caller's region; for the administrator."""
    check_administrator(principal)
    account_id = _ensure_account(services)
    with services.database.write() as c:
        guard = block_public_access.find(c, account_id, principal.region)
        block_public_access.put(c, account_id, principal.region, replace(guard, images=UNBLOCKED))
    return HouseSession(account_id, begin_session(services, _key_of(services, account_id), seconds=SESSION_SECONDS))


def _ensure_account(services: Services) -> str:
    """The house account: the oldest of its name that the administrator, or this, gave its alias."""
    with _MAKING:
        with services.database.read() as c:
            for account in accounts.list_accounts(c):
                if account.name == NAME and account.owner_alias == ALIAS and not account.is_administrator:
                    return account.id
        return create_account(services, NAME, owner_alias=ALIAS).account_id


def _key_of(services: Services, account_id: str) -> str:
    """An active key of the account; a new one where all are gone."""
    with services.database.read() as c:
        active = [key.id for key in accounts.list_access_keys(c, account_id) if key.state == "active"]
    return active[0] if active else create_access_key(services, account_id).id
