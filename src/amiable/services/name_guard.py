"""The name guard at work: names are noted where images are listed, and asked of where one is launched.

In ``enforce`` the launch's transaction ends with the refusal, so the finding is written by one of its own, which is no launch to the log.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from amiable.database import name_guard as rows
from amiable.database.connect import milliseconds
from amiable.model import ids
from amiable.model.errors import OperationNotPermitted
from amiable.model.image import Image
from amiable.model.name_guard import NameGuardFinding, NameGuardMode, Suspicion
from amiable.model.principal import Principal
from amiable.rules import name_guard
from amiable.services import Services
from amiable.services.audit import unridden


class SuspectImage(OperationNotPermitted):
    """A launch that an enforcing name guard refuses."""

    def __init__(self, suspicion: Suspicion) -> None:
        self.suspicion = suspicion
        super().__init__(
            f"The image {suspicion.image_id} ({suspicion.image_name}) of account {suspicion.image_owner_id} is not of a trusted "
            f"owner. It matches '{suspicion.pattern}', by which images were looked for without an owner, and is newer than "
            f"{suspicion.trusted_image_id}, which is.",
            hint="look with --owners for images of those you trust; or trust this one: "
            f"amiable name-guard trust {suspicion.image_owner_id}",
        )


def note_lookup(services: Services, principal: Principal, names: Sequence[str]) -> None:
    """Remembers that the account looked for ``names`` without naming an owner, where it has a guard."""
    if not names:
        return
    now = services.now()
    with services.database.read() as c:
        if rows.find(c, principal.account_id).mode is NameGuardMode.OFF:
            return
        recent = rows.lookups(c, principal.account_id, principal.region, since=now - name_guard.LOOKUP_AGAIN)
    new = [name for name in names if name not in recent]
    if new:
        with services.database.write() as c:
            rows.put_lookups(c, principal.account_id, principal.region, new, now=now)


def check_launch(services: Services, c: Connection, principal: Principal, image: Image, *, is_dry: bool) -> None:
    """Records a suspect launch, or raises SuspectImage where the account's guard enforces."""
    guard = rows.find(c, principal.account_id)
    if guard.mode is NameGuardMode.OFF or name_guard.is_trusted(guard, image, principal.account_id):
        return
    since = name_guard.earliest_lookup(services.now())
    names = rows.lookups(c, principal.account_id, principal.region, since=since)
    patterns = name_guard.matching(names, image.name)
    trusted = rows.older_trusted_image(c, principal.account_id, guard, image, patterns) if patterns else None
    if trusted is None:
        return
    suspicion = name_guard.suspect(image, name_guard.matching(patterns, trusted.name)[0], trusted.image_id)
    if guard.mode is NameGuardMode.ENFORCE:
        raise SuspectImage(suspicion)
    if not is_dry:
        _record(services, c, principal, suspicion, guard.mode)


@contextmanager
def recording_refusals(services: Services, principal: Principal, *, is_dry: bool) -> Iterator[None]:
    """Records the launch within that an enforcing guard refuses."""
    try:
        yield
    except SuspectImage as refusal:
        if not is_dry:
            with unridden(), services.database.write() as c:
                _record(services, c, principal, refusal.suspicion, NameGuardMode.ENFORCE)
        raise


def _record(services: Services, c: Connection, principal: Principal, suspicion: Suspicion, mode: NameGuardMode) -> None:
    now = services.now()
    finding_id = ids.ulid(milliseconds(now), services.entropy(10))
    finding = NameGuardFinding(finding_id, principal.region, suspicion, mode, now)
    rows.insert_finding(c, principal.account_id, finding)
