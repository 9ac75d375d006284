"""Organizations, their units and members."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from amiable.database.schema import organization as O
from amiable.database.schema import organization_member as M
from amiable.database.schema import organizational_unit as U
from amiable.model.image import EVERYONE
from amiable.model.organization import Member, Organization, OrganizationalUnit

DEPTH_MAX = 16
"""How many units may lie above one another; AWS allows five, and so do the rules."""


_MEMBERS = select(M.c.account_id, M.c.organization_id, M.c.unit_id)
_MEMBER = _MEMBERS.where(M.c.account_id == bindparam("account_id"))
"""Put together once: every list of images asks it."""


def grantee_words(c: Connection, account_id: str) -> frozenset[str]:
    """Every grantee that stands for the account: its number, ``all``, its organization's ARN, those of the units above it."""
    words = {account_id, EVERYONE}
    member = find_member(c, account_id)
    above = None if member is None else find_organization(c, member.organization_id)
    if member is None or above is None:
        return frozenset(words)
    words.add(above.arn)
    words.update(unit.arn for unit in units_above(c, above, member.unit_id))
    return frozenset(words)


def units_above(c: Connection, organization: Organization, unit_id: str | None) -> list[OrganizationalUnit]:
    """The unit and all that it lies in, from the inside out."""
    found: list[OrganizationalUnit] = []
    while unit_id is not None and len(found) < DEPTH_MAX:
        unit = find_unit(c, organization, unit_id)
        assert unit is not None, "a unit names a parent that is not there"
        found.append(unit)
        unit_id = unit.parent_id
    return found


def find_organization(c: Connection, organization_id: str) -> Organization | None:
    """The organization of this id."""
    row = c.execute(select(O.c.id, O.c.account_id, O.c.name).where(O.c.id == organization_id)).first()
    return None if row is None else Organization(*row)


def list_organizations(c: Connection) -> list[Organization]:
    """Every organization, oldest first."""
    query = select(O.c.id, O.c.account_id, O.c.name).order_by(O.c.created_at, O.c.id)
    return [Organization(*row) for row in c.execute(query)]


def insert_organization(c: Connection, organization: Organization, *, now: datetime) -> None:
    """Adds the organization, with its management account as its first member."""
    values = {"id": organization.id, "account_id": organization.account_id, "name": organization.name}
    c.execute(insert(O).values(**values, created_at=now))
    put_member(c, Member(organization.account_id, organization.id, None))


def delete_organization(c: Connection, organization_id: str) -> None:
    """Removes the organization and its members; it has no units any more."""
    c.execute(delete(M).where(M.c.organization_id == organization_id))
    c.execute(delete(O).where(O.c.id == organization_id))


def find_unit(c: Connection, organization: Organization, unit_id: str) -> OrganizationalUnit | None:
    """The organization's unit of this id."""
    here = (U.c.id == unit_id) & (U.c.organization_id == organization.id)
    row = c.execute(select(U.c.id, U.c.parent_id, U.c.name).where(here)).first()
    return None if row is None else OrganizationalUnit(row.id, organization, row.parent_id, row.name)


def list_units(c: Connection, organization: Organization) -> list[OrganizationalUnit]:
    """The organization's units by name."""
    query = select(U.c.id, U.c.parent_id, U.c.name).where(U.c.organization_id == organization.id)
    rows = c.execute(query.order_by(U.c.name, U.c.id))
    return [OrganizationalUnit(row.id, organization, row.parent_id, row.name) for row in rows]


def insert_unit(c: Connection, unit: OrganizationalUnit) -> None:
    """Adds the unit."""
    values = {"id": unit.id, "organization_id": unit.organization.id, "parent_id": unit.parent_id, "name": unit.name}
    c.execute(insert(U).values(**values))


def delete_unit(c: Connection, unit_id: str) -> None:
    """Removes a unit that is empty."""
    c.execute(delete(U).where(U.c.id == unit_id))


def is_unit_empty(c: Connection, unit_id: str) -> bool:
    """Whether neither accounts nor units lie in it."""
    inside = c.execute(select(M.c.account_id).where(M.c.unit_id == unit_id).limit(1)).first()
    return inside is None and c.execute(select(U.c.id).where(U.c.parent_id == unit_id).limit(1)).first() is None


def find_member(c: Connection, account_id: str) -> Member | None:
    """Where the account is a member."""
    row = c.execute(_MEMBER, {"account_id": account_id}).first()
    return None if row is None else Member(*row)


def list_members(c: Connection, organization_id: str) -> list[Member]:
    """The organization's members by account."""
    query = _MEMBERS.where(M.c.organization_id == organization_id)
    return [Member(*row) for row in c.execute(query.order_by(M.c.account_id))]


def put_member(c: Connection, member: Member) -> None:
    """Adds the account, or moves it to another unit of the same organization."""
    values = {"organization_id": member.organization_id, "unit_id": member.unit_id}
    if c.execute(update(M).where(M.c.account_id == member.account_id).values(**values)).rowcount == 0:
        c.execute(insert(M).values(account_id=member.account_id, **values))


def delete_member(c: Connection, account_id: str) -> None:
    """Takes the account out of its organization."""
    c.execute(delete(M).where(M.c.account_id == account_id))
