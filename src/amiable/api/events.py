"""Who may read what of the log: the administrator everything, an account what its own keys did."""

from amiable.database import events
from amiable.database.events import Wanted
from amiable.model.event import Event
from amiable.model.principal import Principal
from amiable.services import Services


def list_events(services: Services, principal: Principal, wanted: Wanted) -> list[Event]:
    """The lines that the caller may read, oldest first; ``wanted.account_id`` is the caller's own unless it is the administrator."""
    assert principal.is_administrator or wanted.account_id == principal.account_id
    with services.database.read() as c:
        return events.list_events(c, wanted)


def last_number(services: Services) -> int:
    """The newest line's place in the log: where who wants only new ones begins."""
    with services.database.read() as c:
        return events.last_number(c)
