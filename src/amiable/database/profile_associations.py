"""Queries on which instance has which instance profile.  An association ends with its instance."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from amiable.database.schema import instance as I
from amiable.database.schema import instance_profile_association as A
from amiable.model.instance import State
from amiable.model.role import ProfileAssociation

_ENDED = (State.SHUTTING_DOWN.value, State.TERMINATED.value)
_LIVE = select(I.c.id).where(I.c.state.not_in(_ENDED))


def insert_association(c: Connection, association: ProfileAssociation) -> None:
    """Inserts it; those of instances that ended go."""
    c.execute(delete(A).where(A.c.instance_id.not_in(_LIVE)))
    c.execute(
        insert(A).values(
            id=association.id,
            account_id=association.account_id,
            region=association.region,
            instance_id=association.instance_id,
            profile_id=association.profile_id,
            profile_arn=association.profile_arn,
            created_at=association.created_at,
        )
    )


def list_associations(c: Connection, account_id: str, region: str) -> list[ProfileAssociation]:
    """The account's, by id."""
    mine = select(A).where(A.c.account_id == account_id, A.c.region == region, A.c.instance_id.in_(_LIVE))
    return [_association(row) for row in c.execute(mine.order_by(A.c.id))]


def associations_of(c: Connection, instance_ids: Sequence[str]) -> dict[str, ProfileAssociation]:
    """Instance id → its association, of those that have one and have not ended."""
    found: dict[str, ProfileAssociation] = {}
    for at in range(0, len(instance_ids), 500):
        some = list(instance_ids[at : at + 500])
        query = select(A).where(A.c.instance_id.in_(some), A.c.instance_id.in_(_LIVE))
        found |= {row.instance_id: _association(row) for row in c.execute(query)}
    return found


def replace_profile(c: Connection, old_id: str, new: ProfileAssociation) -> None:
    """Gives the instance of the association ``old_id`` another profile, under the new association's id."""
    values = {"id": new.id, "profile_id": new.profile_id, "profile_arn": new.profile_arn, "created_at": new.created_at}
    c.execute(update(A).where(A.c.id == old_id).values(**values))


def delete_association(c: Connection, association_id: str) -> None:
    """Deletes it."""
    c.execute(delete(A).where(A.c.id == association_id))


def _association(row: Row[Any]) -> ProfileAssociation:
    return ProfileAssociation(
        row.id, row.account_id, row.region, row.instance_id, row.profile_id, row.profile_arn, row.created_at
    )
