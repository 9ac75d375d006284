"""``amiable account``: accounts of the installation; for its administrator."""

import shlex
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from amiable.cli.client import call
from amiable.cli.output import Output, say, show_one, show_rows

SHOWN = ("AccountId", "Name", "AccessKeyId", "CredentialsFile")
"""What ``create`` prints of a new account; its secret and private key lie in files."""

app = cyclopts.App(name="account", help="Accounts (administrator): create, list.")


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
    columns = {"account": "AccountId", "name": "Name", "administrator": "IsAdministrator", "created": "CreatedAt"}
    show_rows(rows, columns, output, identifier="AccountId")
