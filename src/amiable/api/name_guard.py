"""The name guard's own calls: an account's policy, and what was found."""

from collections.abc import Sequence
from typing import Final

from amiable.database import name_guard as rows
from amiable.model.errors import InvalidParameterValue
from amiable.model.name_guard import NameGuard, NameGuardFinding, NameGuardMode
from amiable.model.principal import Principal
from amiable.rules.name_guard import check_trusted
from amiable.services import Services

FINDINGS_MAX: Final = 1000


def get_name_guard(services: Services, principal: Principal) -> NameGuard:
    """The caller's policy."""
    with services.database.read() as c:
        return rows.find(c, principal.account_id)


def set_name_guard(services: Services, principal: Principal, mode: str, trusted: Sequence[str]) -> NameGuard:
    """Replaces the caller's policy."""
    if mode not in tuple(NameGuardMode):
        raise InvalidParameterValue(parameter="Mode", value=mode, why=f"Give {', '.join(NameGuardMode)}.")
    check_trusted(trusted)
    guard = NameGuard(NameGuardMode(mode), tuple(dict.fromkeys(trusted)))
    with services.database.write() as c:
        rows.put(c, principal.account_id, guard)
    return guard


def list_findings(services: Services, principal: Principal) -> Sequence[NameGuardFinding]:
    """The caller's suspect launches, the newest first."""
    with services.database.read() as c:
        return rows.list_findings(c, principal.account_id, count_max=FINDINGS_MAX)
