"""One line of the log of what was done: who, when, from where, what, and what came of it.

A call that changed something has the outcome *done*, in the transaction of its change: no change is without its line.  One that was
refused is *refused* with its code; one that met a fault of ours is *failed*.  A call that had changed something before it was refused
has both lines, under one request id.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked, from where, under which request id."""

    request_id: str
    account_id: str
    access_key_id: str
    region: str
    address: str
    user_agent: str
    principal_arn: str | None = None
    """For whom the key spoke: the account itself, or a role's session.  None: the line is from before this was kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line; ``resource_ids`` are those that the call named and made, ``parameters`` JSON without secrets."""

    asker: Asker
    service: str
    action: str
    resource_ids: tuple[str, ...]
    parameters: str
    outcome: Outcome
    error_code: str | None
    created_at: datetime
    number: int = 0
    """Its place in the log, from 1."""
