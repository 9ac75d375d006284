"""Where images come from, and which instances came from them.

Only what CreateImage, CopyImage and a restore recorded is lineage: the ancestors that a classic manifest names are its author's words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from amiable.database.schema import account as A
from amiable.database.schema import image as I
from amiable.database.schema import instance as N
from amiable.database.schema import launch_permission as P
from amiable.database.tags import batches
from amiable.model.image import EVERYONE
from amiable.model.instance import TERMINATED_VISIBLE, State

ANCESTORS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One image of a chain; of one that was never here only the id is known."""

    image_id: str
    created_at: datetime | None = None
    owner_alias: str | None = None
    source_image_id: str | None = None
    source_image_region: str | None = None


def ancestry(c: Connection, region: str, image_id: str) -> list[Ancestor]:
    """The image and what it was made of, in turn; deregistered ones are still known.

    Ends at a public image of an owner with an alias, at one without a recorded source, and after 50.
    """
    chain: list[Ancestor] = []
    seen: set[str] = set()
    while image_id not in seen and len(chain) < ANCESTORS_MAX:
        seen.add(image_id)
        row = c.execute(_ancestors().where(I.c.id == image_id, I.c.region == region)).first()
        if row is None:
            chain.append(Ancestor(image_id))
            break
        ends = row.owner_alias is not None and row.is_public
        chain.append(Ancestor(image_id, row.created_at, row.owner_alias, row.source_image_id, row.source_image_region))
        if ends or row.source_image_id is None:
            break
        image_id, region = row.source_image_id, row.source_image_region or region
    return chain


def _ancestors() -> Select[Any]:
    is_public = select(P.c.image_id).where(P.c.image_id == I.c.id, P.c.grantee == EVERYONE).exists()
    columns = (
        I.c.created_at,
        A.c.owner_alias,
        I.c.source_image_id,
        I.c.source_image_region,
        is_public.label("is_public"),
    )
    return select(*columns).join(A, A.c.id == I.c.account_id)


@dataclass(frozen=True, slots=True)
class Use:
    """An account's instance that was launched from an image."""

    image_id: str
    instance_id: str
    state: State


def uses(c: Connection, account_id: str, region: str, image_ids: Sequence[str], *, now: datetime) -> list[Use]:
    """The account's instances of the images, those that ended within the hour included."""
    visible = or_(N.c.terminated_at.is_(None), N.c.terminated_at > now - TERMINATED_VISIBLE)
    query = select(N.c.image_id, N.c.id, N.c.state).where(N.c.account_id == account_id, N.c.region == region, visible)
    found: list[Use] = []
    for some in batches(list(image_ids)):
        found += [Use(row.image_id, row.id, State(row.state)) for row in c.execute(query.where(N.c.image_id.in_(some)))]
    return found


def count_uses(
    c: Connection, region: str, image_id: str, *, without: str, only: Sequence[str] | None
) -> dict[str, int]:
    """How many instances, ended ones not counted, other accounts than ``without`` have of the image."""
    alive: ColumnElement[bool] = N.c.state != State.TERMINATED.value
    query = select(N.c.account_id, func.count()).where(N.c.region == region, N.c.image_id == image_id, alive)
    query = query.where(N.c.account_id != without).group_by(N.c.account_id).order_by(N.c.account_id)
    if only is not None:
        query = query.where(N.c.account_id.in_(only))
    return {account_id: int(count) for account_id, count in c.execute(query)}
