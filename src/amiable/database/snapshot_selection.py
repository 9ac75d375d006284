"""Which snapshots a list is of, in the order of their ids: who asks, what it asks for, and what it may see."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, false, or_, select

from amiable.database.schema import account as A
from amiable.database.schema import snapshot as S
from amiable.database.sharing import is_public_snapshot, sees_snapshot, snapshots_granted
from amiable.database.snapshots import COLUMNS
from amiable.database.text_match import is_one_of
from amiable.model.ids import is_account
from amiable.model.image import EVERYONE
from amiable.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the snapshots that ``viewer`` may see a list is of; None stands for no restriction."""

    viewer: str
    region: str
    ids: frozenset[str] | None = None
    owners: frozenset[str] | None = None  # accounts, and owner aliases
    restorable_by: frozenset[str] | None = None  # the viewer's id, all, other accounts
    after: str | None = None  # an id
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A snapshot, and what its owner is called."""

    snapshot: Snapshot
    owner_alias: str | None


def list_snapshots(c: Connection, selection: Selection) -> list[Listed]:
    """The selected snapshots; internal ones and those in the Recycle Bin never."""
    query = select(*COLUMNS, A.c.owner_alias.label("owner_alias")).join(A, A.c.id == S.c.account_id)
    query = query.where(S.c.region == selection.region, sees_snapshot(selection.viewer))
    if selection.ids is not None:
        query = query.where(is_one_of(S.c.id, sorted(selection.ids)))
    if selection.owners is not None:
        accounts = sorted(owner for owner in selection.owners if is_account(owner))
        query = query.where(
            or_(S.c.account_id.in_(accounts), A.c.owner_alias.in_(sorted(selection.owners.difference(accounts))))
        )
    if selection.restorable_by is not None:
        query = query.where(_restorable(selection.viewer, selection.restorable_by))
    if selection.after is not None:
        query = query.where(S.c.id > selection.after)
    found = []
    for row in c.execute(query.order_by(S.c.id).limit(selection.size)):
        values = dict(row._mapping)
        found.append(Listed(owner_alias=values.pop("owner_alias"), snapshot=Snapshot(**values)))
    return found


def _restorable(viewer: str, users: frozenset[str]) -> ColumnElement[bool]:
    """Owned by the viewer or granted to it, or public; what another account is granted is the viewer's to know of its own only."""
    others = users - {viewer, EVERYONE}
    mine = or_(S.c.account_id == viewer, S.c.id.in_(snapshots_granted((viewer,))))
    return or_(
        mine if viewer in users else false(),
        is_public_snapshot() if EVERYONE in users else false(),
        and_(S.c.account_id == viewer, S.c.id.in_(snapshots_granted(others))) if others else false(),
    )


def existing(c: Connection, region: str, snapshot_ids: Iterable[str]) -> set[str]:
    """Those of ``snapshot_ids`` that are there, whoever may see them; internal ones and binned ones are not."""
    there = S.c.is_internal.is_(False) & S.c.binned_at.is_(None) & (S.c.region == region)
    return set(c.execute(select(S.c.id).where(is_one_of(S.c.id, sorted(snapshot_ids)), there)).scalars())


def closed(c: Connection, viewer: str, region: str, snapshot_ids: Iterable[str]) -> list[str]:
    """Those of ``snapshot_ids`` that the viewer may make no volume and no copy of, in order."""
    wanted = frozenset(snapshot_ids)
    seen = {each.snapshot.id for each in list_snapshots(c, Selection(viewer, region, ids=wanted))}
    return sorted(wanted - seen)
