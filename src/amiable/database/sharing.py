"""Who sees what that is not its own, in SQL: the one place that looks at grantees.

    images      a launch permission says a word that stands for the viewer: its number, ``all``, an ARN above it
    snapshots   a createVolumePermission says its number, or ``all`` and the owner's guard hides no public snapshot

The words of an account are :func:`amiable.database.organizations.grantee_words`.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from amiable.database.schema import account_region_setting as A
from amiable.database.schema import create_volume_permission as V
from amiable.database.schema import image as I
from amiable.database.schema import launch_permission as P
from amiable.database.schema import snapshot as S
from amiable.database.statement import Statement
from amiable.model.block_public_access import BLOCK_ALL_SHARING
from amiable.model.image import EVERYONE, ImageState, ImageType

GRANTEES_PER_STATEMENT_MAX = 500
"""SQLite bounds the variables of one statement."""


# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def images_granted(words: Iterable[str]) -> Select[Any]:
    """Ids of the images whose launch permissions say one of ``words``."""
    return select(P.c.image_id).where(P.c.grantee.in_(sorted(words)))


def sees_image(viewer: str, words: Iterable[str]) -> ColumnElement[bool]:
    """Whether the row of ``image`` is the viewer's own or is shared with it; ``words`` are those that stand for the viewer."""
    return or_(I.c.account_id == viewer, I.c.id.in_(images_granted(words)))


def is_granted(c: Connection, image_id: str, grantee: str) -> bool:
    """Whether a launch permission of the image says this very word."""
    return c.execute(select(P.c.image_id).where(P.c.image_id == image_id, P.c.grantee == grantee)).first() is not None


_MINE = (I.c.account_id == bindparam("account_id")) & (I.c.region == bindparam("region"))
_NAMED = select(func.count()).select_from(I).where(_MINE, I.c.name > "", I.c.deregistered_at.is_(None))
_BINNED = select(func.count()).select_from(I).where(_MINE, text("state = 'binned'"), I.c.deregistered_at.is_not(None))
_COUNTS = Statement(select(_NAMED.scalar_subquery(), _BINNED.scalar_subquery()))
"""Two counts, each answered by an index alone (of names in use, which a condition on the name has SQLite take; of what is binned):
a row that is neither holds no name and is gone."""


class _RowsAtMost(FunctionElement[int]):
    """No fewer than ``image`` has rows, deregistered ones too; found at once, or as good as endless."""

    inherit_cache = True
    type = BigInteger()


@compiles(_RowsAtMost)
def _endless(_element: _RowsAtMost, _compiler: SQLCompiler, **_words: Any) -> str:
    return str(2**63 - 1)


@compiles(_RowsAtMost, "sqlite")
def _last_rowid(_element: _RowsAtMost, _compiler: SQLCompiler, **_words: Any) -> str:
    """SQLite numbers rows from 1 upward, each once: the last one's number is found without looking at the others."""
    return "(SELECT coalesce(max(rowid), 0) FROM image)"


_HOLDER = select(I.c.id).where(_MINE, I.c.name == bindparam("name"), I.c.deregistered_at.is_(None))
_COUNT = case(
    (_RowsAtMost() < bindparam("images_max"), None), else_=_NAMED.scalar_subquery() + _BINNED.scalar_subquery()
)
_STANDING = Statement(select(_HOLDER.scalar_subquery(), _COUNT))


def name_and_count(
    c: Connection, account_id: str, region: str, *, name: str, images_max: int
) -> tuple[str | None, int | None]:
    """What may bar a new image: the id of the account's image that holds ``name``, and how many images are there.

    They are not counted (None) where all accounts together have fewer than ``images_max``: to count takes as long as there are many.
    """
    values = {"account_id": account_id, "region": region, "name": name, "images_max": images_max}
    holder, count = _STANDING.all(c, **values)[0]
    return holder, count


def count_images(c: Connection, account_id: str, region: str) -> int:
    """Images of the account in the region that are there: pending, failed, disabled and binned ones too."""
    return sum(_COUNTS.all(c, account_id=account_id, region=region)[0])


def count_public_images(c: Connection, account_id: str, region: str) -> int:
    """Machine images of the account in the region that the group ``all`` may launch."""
    mine = (I.c.account_id == account_id) & (I.c.region == region) & (I.c.image_type == ImageType.MACHINE)
    public = mine & (P.c.grantee == EVERYONE) & (I.c.state != ImageState.DEREGISTERED)
    query = select(func.count()).select_from(I).join(P, P.c.image_id == I.c.id).where(public)
    return int(c.execute(query).scalar_one())


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def snapshots_granted(words: Iterable[str]) -> Select[Any]:
    """Ids of the snapshots whose createVolumePermission says one of ``words``, hidden ones too."""
    return select(V.c.snapshot_id).where(V.c.grantee.in_(sorted(words)))


def is_public_snapshot() -> ColumnElement[bool]:
    """Whether the row of ``snapshot`` is public and not hidden by its owner's guard."""
    hidden = select(A.c.account_id).where(
        A.c.account_id == S.c.account_id,
        A.c.region == S.c.region,
        A.c.snapshot_block_public_access == BLOCK_ALL_SHARING,
    )
    return and_(S.c.id.in_(snapshots_granted((EVERYONE,))), ~hidden.exists())


def sees_snapshot(viewer: str) -> ColumnElement[bool]:
    """Whether the row of ``snapshot`` is the viewer's own, or is shared with it; internal and binned ones are seen by nobody."""
    shared = or_(S.c.id.in_(snapshots_granted((viewer,))), is_public_snapshot())
    there = and_(S.c.is_internal.is_(False), S.c.binned_at.is_(None))
    return and_(there, or_(S.c.account_id == viewer, shared))


def snapshot_grantees(c: Connection, snapshot_id: str) -> list[str]:
    """All whom the snapshot's createVolumePermission names, in order."""
    return list(c.execute(select(V.c.grantee).where(V.c.snapshot_id == snapshot_id).order_by(V.c.grantee)).scalars())


def is_snapshot_granted(c: Connection, snapshot_id: str, grantee: str) -> bool:
    """Whether the snapshot's createVolumePermission says this very word."""
    return (
        c.execute(select(V.c.grantee).where(V.c.snapshot_id == snapshot_id, V.c.grantee == grantee)).first() is not None
    )


def change_snapshot_grants(c: Connection, snapshot_id: str, *, add: Iterable[str], remove: Iterable[str]) -> None:
    """Adds and removes createVolumePermission; what is there already, or absent already, stays so."""
    gone = sorted(remove)
    for at in range(0, len(gone), GRANTEES_PER_STATEMENT_MAX):
        some = gone[at : at + GRANTEES_PER_STATEMENT_MAX]
        c.execute(delete(V).where(V.c.snapshot_id == snapshot_id, V.c.grantee.in_(some)))
    present = set(snapshot_grantees(c, snapshot_id))
    new = [{"snapshot_id": snapshot_id, "grantee": grantee} for grantee in sorted(set(add) - present)]
    if new:
        c.execute(insert(V), new)
