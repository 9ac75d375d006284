"""``amiable access-key``: what signs an account's requests; a new one is made, tried, and the old one ended."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import cyclopts
from cyclopts import Parameter

from amiable.cli.chosen import Yes, each_once, end_unless_meant
from amiable.cli.client import call, in_path, session
from amiable.cli.output import Output, say, show_one, show_rows
from amiable.model.errors import LocalRefusal

COLUMNS: Final = {"access key": "AccessKeyId", "state": "State", "created": "CreatedAt"}

app = cyclopts.App(name="access-key", help="Your account's access keys: create, list, disable, enable, delete.")

Key = Annotated[str, Parameter(help="Access key id (AKIA…).")]


@app.command
def create(*, output: Literal["table", "json"] = "table") -> None:
    """Makes an access key for your account.  Prints its secret, which is told this once."""
    made = call("POST", "/access-keys")
    try:
        show_one(made, output, identifier="AccessKeyId")
        sys.stdout.flush()
    except BaseException:  # a key whose secret nobody read is of no use
        call("DELETE", _path(made["AccessKeyId"]))
        raise
    if output == "table":
        old = session().get_credentials().access_key
        say(
            "\nnobody is told the secret again.  To speak by this key:\n"
            "  export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…\n"
            f"then, to end the one in use now: amiable access-key disable {old}"
        )


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists your account's access keys, oldest first."""
    show_rows(call("GET", "/access-keys")["AccessKeys"], COLUMNS, output, identifier="AccessKeyId")


@app.command
def disable(*key: Key, output: Output = "table") -> None:
    """Switches access keys off: what they sign is refused, until they are enabled again."""
    _switch(_others(key), output, is_active=False)


@app.command
def enable(*key: Key, output: Output = "table") -> None:
    """Switches access keys on again."""
    _switch(_known(key), output, is_active=True)


@app.command
def delete(*key: Key, yes: Yes = False) -> None:
    """Deletes access keys for good.  Prints their ids."""
    wanted = _others(key)
    end_unless_meant(yes, [f"delete {each['AccessKeyId']} ({each['State']})" for each in wanted])
    for each in wanted:
        call("DELETE", _path(each["AccessKeyId"]))
        print(each["AccessKeyId"])


def _switch(wanted: Sequence[dict[str, Any]], output: Output, *, is_active: bool) -> None:
    rows = [call("PUT", f"{_path(each['AccessKeyId'])}/state", {"Active": is_active}) for each in wanted]
    show_rows(rows, COLUMNS, output, identifier="AccessKeyId")


def _others(given: Sequence[str]) -> list[dict[str, Any]]:
    """The keys of these ids; refuses the one that signs the command's own requests, before another is touched."""
    wanted, mine = _known(given), session().get_credentials().access_key
    if mine in [each["AccessKeyId"] for each in wanted]:
        raise LocalRefusal(
            f"{mine} signs this very command", hint="speak by another key first: amiable access-key create"
        )
    return wanted


def _known(given: Sequence[str]) -> list[dict[str, Any]]:
    """The account's keys of these ids; refuses an id that none has."""
    wanted = each_once(given, "access-key")
    found = {each["AccessKeyId"]: each for each in call("GET", "/access-keys")["AccessKeys"]}
    for each in wanted:
        if each not in found:
            raise LocalRefusal(f"your account has no access key {each!r}", hint="amiable access-key list")
    return [found[each] for each in wanted]


def _path(key_id: str) -> str:
    return f"/access-keys/{in_path(key_id)}"
