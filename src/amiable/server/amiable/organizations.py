"""Organizations, units and members: ``/amiable/v1/organizations``.

GET     organizations                         POST    organizations {Name, ManagementAccountId}       POST: administrator
GET     organizations/{id}                    DELETE  organizations/{id}                              DELETE: administrator
POST    organizations/{id}/units {Name, ParentId}
DELETE  organizations/{id}/units?UnitId=…
PUT     organizations/{id}/members {AccountId, UnitId}
DELETE  organizations/{id}/members?AccountId=…
"""

from typing import Final

import msgspec

from amiable.api import organizations
from amiable.model.errors import MissingParameter
from amiable.model.organization import Member, Organization, OrganizationalUnit
from amiable.server.amiable.calls import Answer, Routes, read_body
from amiable.server.contracts import Authenticated
from amiable.services import Services


class CreateOrganization(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST organizations."""

    name: str
    management_account_id: str


class CreateUnit(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST organizations/{id}/units."""

    name: str
    parent_id: str | None = None


class PlaceMember(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT organizations/{id}/members."""

    account_id: str
    unit_id: str | None = None


def _list(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    found = organizations.list_organizations(services, request.principal)
    return {"Organizations": [_organization(each) for each in found]}


def _create(services: Services, request: Authenticated, _id: str, body: bytes) -> Answer:
    wanted = read_body(body, CreateOrganization)
    made = organizations.create_organization(services, request.principal, wanted.name, wanted.management_account_id)
    return _organization(made)


def _describe(services: Services, request: Authenticated, organization_id: str, _body: bytes) -> Answer:
    found = organizations.describe_organization(services, request.principal, organization_id)
    return {
        **_organization(found.organization),
        "Units": [_unit(each) for each in found.units],
        "Members": [_member(each) for each in found.members],
    }


def _delete(services: Services, request: Authenticated, organization_id: str, _body: bytes) -> Answer:
    organizations.delete_organization(services, request.principal, organization_id)
    return {}


def _create_unit(services: Services, request: Authenticated, organization_id: str, body: bytes) -> Answer:
    wanted = read_body(body, CreateUnit)
    made = organizations.create_unit(services, request.principal, organization_id, wanted.name, wanted.parent_id)
    return _unit(made)


def _delete_unit(services: Services, request: Authenticated, organization_id: str, _body: bytes) -> Answer:
    organizations.delete_unit(services, request.principal, organization_id, _named(request, "UnitId"))
    return {}


def _place(services: Services, request: Authenticated, organization_id: str, body: bytes) -> Answer:
    wanted = read_body(body, PlaceMember)
    placed = organizations.place_member(services, request.principal, organization_id, wanted.account_id, wanted.unit_id)
    return _member(placed)


def _remove(services: Services, request: Authenticated, organization_id: str, _body: bytes) -> Answer:
    organizations.remove_member(services, request.principal, organization_id, _named(request, "AccountId"))
    return {}


def _named(request: Authenticated, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise MissingParameter(parameter=name)
    return value


def _organization(it: Organization) -> Answer:
    return {"OrganizationId": it.id, "Arn": it.arn, "Name": it.name, "ManagementAccountId": it.account_id}


def _unit(it: OrganizationalUnit) -> Answer:
    return {"UnitId": it.id, "Arn": it.arn, "Name": it.name, "ParentId": it.parent_id}


def _member(it: Member) -> Answer:
    return {"AccountId": it.account_id, "OrganizationId": it.organization_id, "UnitId": it.unit_id}


ROUTES: Final[Routes] = {
    ("GET",    "organizations"):              _list,
    ("POST",   "organizations"):              _create,
    ("GET",    "organizations/{}"):           _describe,
    ("DELETE", "organizations/{}"):           _delete,
    ("POST",   "organizations/{}/units"):     _create_unit,
    ("DELETE", "organizations/{}/units"):     _delete_unit,
    ("PUT",    "organizations/{}/members"):   _place,
    ("DELETE", "organizations/{}/members"):   _remove,
}  # fmt: skip
