"""The log at the edge: every service's handler says here which call it has, the outermost loop what came of it; ``request_log`` reads on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from amiable.database import events
from amiable.database.connect import RIDER
from amiable.model.event import Asker, Outcome
from amiable.model.principal import Principal
from amiable.rules import audit as rules
from amiable.server.contracts import Authenticated, in_thread
from amiable.services import Services
from amiable.services.audit import WATCH, Call, Watch

USER_AGENT_CHARACTERS_MAX: Final = 255


@contextmanager
def watching(address: str) -> Iterator[Watch]:
    """Watches one request: what it turns out to be, and its transactions."""
    watch = Watch(address)
    watched, ridden = WATCH.set(watch), RIDER.set(watch.ride)
    try:
        yield watch
    finally:
        RIDER.reset(ridden)
        WATCH.reset(watched)


def asked_by(principal: Principal) -> None:
    """The request is this caller's: its signature holds."""
    watch = WATCH.get()
    if watch is not None:
        watch.account_id = principal.account_id


def asked_for(action: str) -> None:
    """The request names this action, which may be none that there is."""
    watch = WATCH.get()
    if watch is not None:
        watch.action = action


def begin(services: Services, request: Authenticated, action: str, *named: str) -> None:
    """The request is this call; ``named`` are resources that its address names."""
    watch, service = WATCH.get(), request.signature.claim.scope.service
    if watch is None or not rules.is_logged(service, action):
        return
    principal = request.principal
    asker = Asker(
        request_id=request.request_id,
        account_id=principal.account_id,
        access_key_id=principal.access_key_id,
        region=principal.region,
        address=watch.address,
        user_agent=request.headers.get("user-agent", "")[:USER_AGENT_CHARACTERS_MAX],
        principal_arn=principal.arn,
    )
    watch.call = Call(asker, service, action, services.now)
    watch.call.tell({}, *named)


def tell(typed: object) -> None:
    """What the call says.  A dry run changes nothing: the log has no line of it."""
    watch = WATCH.get()
    if watch is None or watch.call is None:
        return
    if getattr(typed, "dry_run", None):
        watch.call = None
    else:
        watch.call.tell(rules.parameters_of(typed))


def tell_body(body: bytes) -> None:
    """What the call's JSON says; of what is none, nothing."""
    try:
        tell(msgspec.json.decode(body) if body else {})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


async def end(services: Services, watch: Watch, error_code: str | None, status: int) -> None:
    """The call was answered: adds the line of one that was refused, or that changed nothing in the database."""
    call, watch.call = watch.call, None
    if call is None or (call.is_recorded and error_code is None):
        return
    outcome = Outcome.DONE if error_code is None else Outcome.REFUSED if status < 500 else Outcome.FAILED
    await in_thread(_append, services, call, outcome, error_code)


def _append(services: Services, call: Call, outcome: Outcome, error_code: str | None) -> None:
    with services.database.write_and_answer() as c:
        events.insert_event(c, call.event(outcome, error_code))
