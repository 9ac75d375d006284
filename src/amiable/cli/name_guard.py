"""``amiable name-guard``: against images that only look like the ones you mean."""

from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from amiable.cli.client import call
from amiable.cli.output import Output, show_one, show_rows
from amiable.model.errors import LocalRefusal

COLUMNS = {
    "when": "FoundAt",
    "result": "Result",
    "image": "ImageId",
    "name": "ImageName",
    "owner": "ImageOwnerId",
    "looked for by": "LookedForBy",
    "trusted image": "TrustedImageId",
}

AccountId = Annotated[str, Parameter(help="Account id.")]

app = cyclopts.App(
    name="name-guard",
    help="A launch policy against strangers' images of a name that you look for without an owner: show, set, trust, findings.",
)


@app.command
def show(*, output: Output = "table") -> None:
    """Shows your policy."""
    show_one(call("GET", "/name-guard"), output, identifier="Mode")


@app.command(name="set")
def set_(
    mode: Annotated[Literal["off", "audit", "enforce"], Parameter(help="audit records, enforce refuses.")],
    /,
    *,
    output: Output = "table",
) -> None:
    """Sets what happens to a launch of an image that was found by name alone and is newer than one you trust."""
    _put(output, Mode=mode)


@app.command
def trust(account: AccountId, /, *, output: Output = "table") -> None:
    """Trusts an account's images; your own and those of owners with an alias are trusted anyway."""
    _put(output, Trusted=[*_present()["Trusted"], account])


@app.command
def distrust(account: AccountId, /, *, output: Output = "table") -> None:
    """Trusts an account's images no longer."""
    trusted = _present()["Trusted"]
    if account not in trusted:
        raise LocalRefusal(f"'{account}' is not trusted", hint="amiable name-guard show")
    _put(output, Trusted=[each for each in trusted if each != account])


@app.command
def findings(*, output: Output = "table") -> None:
    """Lists suspect launches, the newest first."""
    show_rows(call("GET", "/name-guard-findings")["Findings"], COLUMNS, output, identifier="ImageId")


def _present() -> dict[str, Any]:
    found: dict[str, Any] = call("GET", "/name-guard")
    return found


def _put(output: Output, **change: Any) -> None:
    show_one(call("PUT", "/name-guard", {**_present(), **change}), output, identifier="Mode")
