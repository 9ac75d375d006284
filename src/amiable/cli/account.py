"""``amiable account``: accounts of the installation; for its administrator."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from amiable.cli.client import call, in_path
from amiable.cli.output import Output, say, show_one, show_rows

SHOWN = ("AccountId", "Name", "AccessKeyId", "CredentialsFile")
"""What ``create`` prints of a new account; its secret and private key lie in files."""

COLUMNS = {
    "account": "AccountId",
    "name": "Name",
    "administrator": "IsAdministrator",
    "partner": "IsPartner",
    "owner alias": "OwnerAlias",
    "created": "CreatedAt",
}

app = cyclopts.App(name="account", help="Accounts (administrator): create, list, partner, alias.")


@app.command
def create(name: Annotated[str, Parameter(help="A name to tell it by.")], /, *, output: Output = "table") -> None:
    """Creates an account with an access key, a signing certificate and a default network.  Only json prints the secrets."""
    made = call("POST", "/accounts", {"Name": name})
    told = {"Name": name, **made}
    shown = made if output == "json" else {key: told[key] for key in SHOWN if key in told}
    show_one(shown, output, identifier="AccountId")
    if output != "id" and made.get("CredentialsFile"):
        folder = Path(made["CredentialsFile"]).parents[2]
        say(f'\nto speak for it: eval "$(amiable env --data {shlex.quote(str(folder))} --account {made["AccountId"]})"')


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists the accounts."""
    rows = call("GET", "/accounts")["Accounts"]
    show_rows(rows, COLUMNS, output, identifier="AccountId")


@app.command
def partner(
    account: Annotated[str, Parameter(help="Account id.")],
    state: Annotated[Literal["on", "off"], Parameter(help="Whether it is a partner.")],
    /,
    *,
    output: Output = "table",
) -> None:
    """Trusts an account to register kernels and ramdisks, or no longer; what it registers must still be approved."""
    row = call("PUT", f"/accounts/{in_path(account)}/partner", {"Partner": state == "on"})
    show_rows([row], COLUMNS, output, identifier="AccountId")


@app.command
def alias(
    account: Annotated[str, Parameter(help="Account id.")],
    word: Annotated[
        Literal["amazon", "aws-marketplace", "aws-backup-vault", "none"], Parameter(help="The alias, or none.")
    ],
    /,
    *,
    output: Output = "table",
) -> None:
    """Names the owner of an account's images as DescribeImages does: what --owners amazon selects."""
    row = call("PUT", f"/accounts/{in_path(account)}/alias", {"Alias": None if word == "none" else word})
    show_rows([row], COLUMNS, output, identifier="AccountId")
