"""The name guard's rows: policies, names looked for, findings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, or_, select, update

from amiable.database import sharing
from amiable.database.organizations import grantee_words
from amiable.database.schema import account as A
from amiable.database.schema import image as I
from amiable.database.schema import name_guard as G
from amiable.database.schema import name_guard_finding as F
from amiable.database.schema import name_lookup as L
from amiable.database.text_match import matches
from amiable.model.image import Image, ImageState
from amiable.model.name_guard import NameGuard, NameGuardFinding, NameGuardMode, Suspicion
from amiable.rules.name_guard import LOOKUPS_MAX

_FINDING = (F.c.image_id, F.c.image_name, F.c.image_owner_id, F.c.pattern, F.c.trusted_image_id)


def find(c: Connection, account_id: str) -> NameGuard:
    """The account's policy; where nothing was said, none."""
    row = c.execute(select(G.c.mode, G.c.trusted).where(G.c.account_id == account_id)).first()
    return NameGuard() if row is None else NameGuard(NameGuardMode(row.mode), tuple(row.trusted.split()))


def put(c: Connection, account_id: str, guard: NameGuard) -> None:
    """Puts the account's policy."""
    values = {"mode": guard.mode.value, "trusted": " ".join(guard.trusted)}
    if c.execute(update(G).where(G.c.account_id == account_id).values(**values)).rowcount == 0:
        c.execute(insert(G).values(account_id=account_id, **values))


def lookups(c: Connection, account_id: str, region: str, *, since: datetime) -> list[str]:
    """The names that the account looked for since then, the newest first."""
    mine = (L.c.account_id == account_id) & (L.c.region == region) & (L.c.asked_at >= since)
    return list(c.execute(select(L.c.pattern).where(mine).order_by(L.c.asked_at.desc(), L.c.pattern)).scalars())


def put_lookups(c: Connection, account_id: str, region: str, patterns: Iterable[str], *, now: datetime) -> None:
    """Writes names down as looked for now; of more than ``LOOKUPS_MAX``, the oldest go."""
    mine = (L.c.account_id == account_id) & (L.c.region == region)
    for pattern in patterns:
        if c.execute(update(L).where(mine, L.c.pattern == pattern).values(asked_at=now)).rowcount == 0:
            c.execute(insert(L).values(account_id=account_id, region=region, pattern=pattern, asked_at=now))
    newest = select(L.c.pattern).where(mine).order_by(L.c.asked_at.desc(), L.c.pattern)
    too_many = list(c.execute(newest.offset(LOOKUPS_MAX)).scalars())
    if too_many:
        c.execute(delete(L).where(mine, L.c.pattern.in_(too_many)))


@dataclass(frozen=True, slots=True)
class Trusted:
    """An image that the account relies on."""

    image_id: str
    name: str


def older_trusted_image(
    c: Connection, account_id: str, guard: NameGuard, image: Image, patterns: Sequence[str]
) -> Trusted | None:
    """The newest available image older than ``image`` that the account sees and trusts and that one of ``patterns`` matches.

    One query, however many patterns: a launch's transaction waits for it.
    """
    aliased = select(A.c.id).where(A.c.owner_alias.is_not(None))
    trusted = or_(I.c.account_id.in_((account_id, *guard.trusted)), I.c.account_id.in_(aliased))
    query = select(I.c.id, I.c.name).where(
        I.c.region == image.region,
        I.c.state == ImageState.AVAILABLE.value,
        I.c.image_type == image.image_type.value,
        I.c.created_at < image.created_at,
        matches(I.c.name, patterns),
        trusted,
        sharing.sees_image(account_id, grantee_words(c, account_id)),
    )
    row = c.execute(query.order_by(I.c.created_at.desc(), I.c.id).limit(1)).first()
    return None if row is None else Trusted(row.id, row.name)


def insert_finding(c: Connection, account_id: str, finding: NameGuardFinding) -> None:
    """Records a suspect launch."""
    it = finding.suspicion
    c.execute(
        insert(F).values(
            id=finding.id,
            account_id=account_id,
            region=finding.region,
            image_id=it.image_id,
            image_name=it.image_name,
            image_owner_id=it.image_owner_id,
            pattern=it.pattern,
            trusted_image_id=it.trusted_image_id,
            mode=finding.mode.value,
            found_at=finding.found_at,
        )
    )


def list_findings(c: Connection, account_id: str, *, count_max: int) -> Sequence[NameGuardFinding]:
    """The account's suspect launches, the newest first."""
    query = select(F.c.id, F.c.region, F.c.mode, F.c.found_at, *_FINDING).where(F.c.account_id == account_id)
    rows = c.execute(query.order_by(F.c.found_at.desc(), F.c.id.desc()).limit(count_max))
    return [
        NameGuardFinding(id_, region, Suspicion(*rest), NameGuardMode(mode), found_at)
        for id_, region, mode, found_at, *rest in rows
    ]
