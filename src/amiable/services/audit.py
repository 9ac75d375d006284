"""The log at work: a request is watched, and the line of a mutating call rides in the transaction of its first change.

    request ─▶ watch ─▶ begin: a mutating call ─▶ Database.write ─▶ commit: the change and its line, or neither
                                                └▶ refused: the change is undone; the edge adds a line of its own

So a crash leaves no change without its line.  The edge watches (``server/audit.py``); jobs run unwatched: the call that asked for
them has its line.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from amiable.database import events
from amiable.database.connect import RIDER
from amiable.model.event import Asker, Event, Outcome
from amiable.rules import audit as rules


@dataclass(slots=True)
class Call:
    """One mutating call while it is answered."""

    asker: Asker
    service: str
    action: str
    now: Callable[[], datetime]
    parameters: dict[str, Any] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    is_recorded: bool = False

    def tell(self, parameters: Mapping[str, Any], *named: str) -> None:
        """Adds what the call says, and the resources that it names."""
        self.parameters |= parameters
        self.named += [*named, *rules.resources_of(self.service, parameters)]

    def event(self, outcome: Outcome, error_code: str | None = None) -> Event:
        """Its line: what it made is there only if it was done."""
        made = self.made if outcome is Outcome.DONE else []
        resources = tuple(dict.fromkeys([*self.named, *made]))[: rules.RESOURCES_MAX]
        text = rules.text_of(self.parameters)
        return Event(self.asker, self.service, self.action, resources, text, outcome, error_code, self.now())


@dataclass(slots=True)
class Watch:
    """What one request turns out to be: no mutating call, until ``call`` is set.

    ``action`` is as the request names it, and may be none that there is; ``account_id`` is who was verified to ask.  Empty until known.
    """

    address: str
    call: Call | None = None
    action: str = ""
    account_id: str = ""

    def ride(self, c: Connection) -> Callable[[], None]:
        """Writes the call's line with a transaction that is about to commit; what to do once it has."""
        call = self.call
        if call is None or call.is_recorded:
            return _nothing

        def recorded() -> None:
            call.is_recorded = True

        events.insert_event(c, call.event(Outcome.DONE))
        return recorded


def _nothing() -> None:
    return None


WATCH: Final[ContextVar[Watch | None]] = ContextVar("watch", default=None)
"""The watch over the request at hand, in all its threads."""


@contextmanager
def unridden() -> Iterator[None]:
    """What is written inside is no change that the call asked for: its line does not say so."""
    ridden = RIDER.set(None)
    try:
        yield
    finally:
        RIDER.reset(ridden)


def note_made(resource_id: str) -> None:
    """Remembers an id that the call at hand made."""
    watch = WATCH.get()
    if watch is not None and watch.call is not None:
        watch.call.made.append(resource_id)
