"""Organizations, their units and members."""

from sqlalchemy import Connection, select

from amiable.database.schema import organization as O
from amiable.database.schema import organization_member as M
from amiable.database.schema import organizational_unit as U
from amiable.model.image import EVERYONE
from amiable.model.organization import Organization, OrganizationalUnit

DEPTH_MAX = 16
"""How many units may lie above one another; AWS allows five."""


def grantee_words(c: Connection, account_id: str) -> frozenset[str]:
    """Every grantee that stands for the account: its number, ``all``, its organization's ARN, those of the units above it."""
    words = {account_id, EVERYONE}
    member = c.execute(
        select(M.c.unit_id, O.c.id, O.c.account_id, O.c.name)
        .join(O, O.c.id == M.c.organization_id)
        .where(M.c.account_id == account_id)
    ).first()
    if member is None:
        return frozenset(words)
    above = Organization(member.id, member.account_id, member.name)
    words.add(above.arn)
    unit_id = member.unit_id
    for _ in range(DEPTH_MAX):
        if unit_id is None:
            break
        row = c.execute(select(U.c.id, U.c.parent_id, U.c.name).where(U.c.id == unit_id)).one()
        words.add(OrganizationalUnit(row.id, above, row.parent_id, row.name).arn)
        unit_id = row.parent_id
    return frozenset(words)
