"""``amiable organization``: groups of accounts that an image can be shared with by one ARN."""

from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from amiable.cli.client import call, in_path
from amiable.cli.output import Output, say, show_one, show_rows

COLUMNS = {"organization": "OrganizationId", "name": "Name", "management account": "ManagementAccountId", "arn": "Arn"}
UNIT_COLUMNS = {"unit": "UnitId", "name": "Name", "in": "ParentId", "arn": "Arn"}
MEMBER_COLUMNS = {"account": "AccountId", "unit": "UnitId"}

OrganizationId = Annotated[str, Parameter(help="Organization id (o-…).")]
AccountId = Annotated[str, Parameter(help="Account id.")]
UnitId = Annotated[str | None, Parameter(help="Unit id (ou-…); without one, directly below the root.")]

app = cyclopts.App(name="organization", help="Organizations of accounts: create, show, units, members.")


@app.command
def create(
    name: Annotated[str, Parameter(help="A name to tell it by.")],
    /,
    *,
    manager: Annotated[str, Parameter(help="Account that manages it.")],
    output: Output = "table",
) -> None:
    """Makes an organization (administrator)."""
    made = call("POST", "/organizations", {"Name": name, "ManagementAccountId": manager})
    show_one(made, output, identifier="OrganizationId")


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists the organizations that you may see."""
    show_rows(call("GET", "/organizations")["Organizations"], COLUMNS, output, identifier="OrganizationId")


@app.command
def show(organization: OrganizationId, /, *, output: Output = "table") -> None:
    """Shows an organization with its units and members."""
    found = _found(organization)
    if output != "table":
        show_one(found, output, identifier="OrganizationId")
        return
    show_rows([found], COLUMNS, output, identifier="OrganizationId")
    for title, columns, rows in (
        ("units", UNIT_COLUMNS, found["Units"]),
        ("members", MEMBER_COLUMNS, found["Members"]),
    ):
        say(f"\n{title}")
        show_rows(rows, columns, output, identifier=next(iter(columns.values())))


@app.command
def delete(organization: OrganizationId, /) -> None:
    """Ends an empty organization (administrator)."""
    call("DELETE", f"/organizations/{in_path(organization)}")
    say(f"{organization} is gone")


@app.command(name="create-unit")
def create_unit(
    organization: OrganizationId,
    name: Annotated[str, Parameter(help="The unit's name.")],
    /,
    *,
    parent: UnitId = None,
    output: Output = "table",
) -> None:
    """Makes a unit; images shared with it are shared with every account in it and below."""
    made = call("POST", f"/organizations/{in_path(organization)}/units", {"Name": name, "ParentId": parent})
    show_rows([made], UNIT_COLUMNS, output, identifier="UnitId")


@app.command(name="delete-unit")
def delete_unit(organization: OrganizationId, unit: Annotated[str, Parameter(help="Unit id.")], /) -> None:
    """Removes an empty unit."""
    call("DELETE", f"/organizations/{in_path(organization)}/units?UnitId={in_path(unit)}")
    say(f"{unit} is gone")


@app.command
def join(organization: OrganizationId, account: AccountId, /, *, unit: UnitId = None, output: Output = "table") -> None:
    """Adds an account (administrator), or moves a member to another unit."""
    body = {"AccountId": account, "UnitId": unit}
    row = call("PUT", f"/organizations/{in_path(organization)}/members", body)
    show_rows([row], MEMBER_COLUMNS, output, identifier="AccountId")


@app.command
def leave(organization: OrganizationId, account: AccountId, /) -> None:
    """Takes an account out; what was shared with the organization is no longer shared with it."""
    call("DELETE", f"/organizations/{in_path(organization)}/members?AccountId={in_path(account)}")
    say(f"{account} has left {organization}")


def _found(organization: str) -> dict[str, Any]:
    found: dict[str, Any] = call("GET", f"/organizations/{in_path(organization)}")
    return found
