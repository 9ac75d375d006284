"""Organizations of accounts: whom an image can be shared with at once.

The installation's administrator makes organizations and says who is in them; an organization's management account divides it into
units and places its members.  Members see their own organization.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from amiable.api.amiable import check_administrator
from amiable.database import accounts, organizations
from amiable.model.errors import InvalidParameterValue, NotFound, OperationNotPermitted, UnauthorizedOperation
from amiable.model.organization import Member, Organization, OrganizationalUnit
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.services.audit import note_made

NAME_LENGTH_MAX: Final = 128
UNIT_DEPTH_MAX: Final = 5
UNITS_MAX: Final = 2000
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Described:
    """An organization with all that is in it."""

    organization: Organization
    units: tuple[OrganizationalUnit, ...]
    members: tuple[Member, ...]


def list_organizations(services: Services, principal: Principal) -> list[Organization]:
    """Every organization for the administrator, for others the one that they are in."""
    with services.database.read() as c:
        found = organizations.list_organizations(c)
        if principal.is_administrator:
            return found
        mine = organizations.find_member(c, principal.account_id)
    return [each for each in found if mine is not None and each.id == mine.organization_id]


def create_organization(services: Services, principal: Principal, name: str, account_id: str) -> Organization:
    """Makes an organization that ``account_id`` manages; that account is in no other one."""
    check_administrator(principal)
    _check_name(name)
    made = Organization("o-" + _word(services, 10), account_id, name)
    note_made(made.id)
    with services.database.write() as c:
        _check_account(c, account_id)
        _check_free(c, account_id)
        organizations.insert_organization(c, made, now=services.now())
    return made


def describe_organization(services: Services, principal: Principal, organization_id: str) -> Described:
    """An organization's units and members; for the administrator and its members."""
    with services.database.read() as c:
        found = _seen(c, principal, organization_id)
        return Described(
            found,
            tuple(organizations.list_units(c, found)),
            tuple(organizations.list_members(c, found.id)),
        )


def delete_organization(services: Services, principal: Principal, organization_id: str) -> None:
    """Ends an organization that has no units, and no members but its management account."""
    check_administrator(principal)
    with services.database.write() as c:
        found = _seen(c, principal, organization_id)
        others = [each for each in organizations.list_members(c, found.id) if each.account_id != found.account_id]
        units = organizations.list_units(c, found)
        if others or units:
            raise OperationNotPermitted(
                f"The organization {found.id} is not empty: {len(others)} members besides its management account, "
                f"{len(units)} units.",
                hint="remove them first (amiable organization leave, amiable organization delete-unit)",
            )
        organizations.delete_organization(c, found.id)


def create_unit(
    services: Services, principal: Principal, organization_id: str, name: str, parent_id: str | None
) -> OrganizationalUnit:
    """Makes a unit directly below the root, or in the unit ``parent_id``."""
    _check_name(name)
    with services.database.write() as c:
        found = _managed(c, principal, organization_id)
        if parent_id is not None:
            above = organizations.units_above(c, found, _unit(c, found, parent_id).id)
            if len(above) >= UNIT_DEPTH_MAX:
                raise OperationNotPermitted(f"Units may lie {UNIT_DEPTH_MAX} deep at most.")
        units = organizations.list_units(c, found)
        if any(unit.parent_id == parent_id and unit.name == name for unit in units):
            raise InvalidParameterValue(parameter="Name", value=name, why="There is a unit of this name there.")
        if len(units) >= UNITS_MAX:
            raise OperationNotPermitted(f"An organization has at most {UNITS_MAX} units.")
        root = found.id.removeprefix("o-")[:4]
        made = OrganizationalUnit(f"ou-{root}-{_word(services, 8)}", found, parent_id, name)
        note_made(made.id)
        organizations.insert_unit(c, made)
    return made


def delete_unit(services: Services, principal: Principal, organization_id: str, unit_id: str) -> None:
    """Removes an empty unit."""
    with services.database.write() as c:
        found = _managed(c, principal, organization_id)
        unit = _unit(c, found, unit_id)
        if not organizations.is_unit_empty(c, unit.id):
            raise OperationNotPermitted(f"The unit {unit.id} is not empty.", hint="move or remove what is in it first")
        organizations.delete_unit(c, unit.id)


def place_member(
    services: Services, principal: Principal, organization_id: str, account_id: str, unit_id: str | None
) -> Member:
    """Moves a member to the unit, or below the root; the administrator may also add an account that is in no organization."""
    with services.database.write() as c:
        found = _managed(c, principal, organization_id)
        placed = Member(account_id, found.id, None if unit_id is None else _unit(c, found, unit_id).id)
        present = organizations.find_member(c, account_id)
        if present is None or present.organization_id != found.id:
            check_administrator(principal)
            _check_account(c, account_id)
            _check_free(c, account_id)
        organizations.put_member(c, placed)
    return placed


def remove_member(services: Services, principal: Principal, organization_id: str, account_id: str) -> None:
    """Takes an account out of the organization; it loses at once what was shared with the organization."""
    with services.database.write() as c:
        found = _managed(c, principal, organization_id)
        present = organizations.find_member(c, account_id)
        if present is None or present.organization_id != found.id:
            raise NotFound("resource", [account_id])
        if account_id == found.account_id:
            raise OperationNotPermitted(
                "The management account cannot leave its organization; delete the organization."
            )
        organizations.delete_member(c, account_id)


def _seen(c: Connection, principal: Principal, organization_id: str) -> Organization:
    found = organizations.find_organization(c, organization_id)
    mine = organizations.find_member(c, principal.account_id)
    is_mine = mine is not None and mine.organization_id == organization_id
    if found is None or not (principal.is_administrator or is_mine):
        raise NotFound("resource", [organization_id])
    return found


def _managed(c: Connection, principal: Principal, organization_id: str) -> Organization:
    found = _seen(c, principal, organization_id)
    if not (principal.is_administrator or found.account_id == principal.account_id):
        raise UnauthorizedOperation(why="This call is for the organization's management account.")
    return found


def _unit(c: Connection, organization: Organization, unit_id: str) -> OrganizationalUnit:
    unit = organizations.find_unit(c, organization, unit_id)
    if unit is None:
        raise NotFound("resource", [unit_id])
    return unit


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidParameterValue(
            parameter="Name", value=name[:40], why=f"Give 1 to {NAME_LENGTH_MAX} printable characters."
        )


def _check_account(c: Connection, account_id: str) -> None:
    if accounts.find_account(c, account_id) is None:
        raise NotFound("resource", [account_id])


def _check_free(c: Connection, account_id: str) -> None:
    present = organizations.find_member(c, account_id)
    if present is not None:
        raise OperationNotPermitted(
            f"The account {account_id} is in the organization {present.organization_id} already.",
            hint=f"amiable organization leave {present.organization_id} {account_id}",
        )


def _word(services: Services, length: int) -> str:
    number = int.from_bytes(services.entropy(16), "big")
    letters = []
    for _ in range(length):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return "".join(letters)
