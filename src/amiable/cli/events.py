"""``amiable events``: the log of what was done, and its new lines as they come."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from cyclopts import Parameter

from amiable.cli.client import ask_until_told, call, until_ctrl_c
from amiable.cli.output import Output, say, show_rows
from amiable.cli.readable import first_ones
from amiable.cli.terminal_text import plain
from amiable.model.errors import LocalRefusal

WAIT_SECONDS: Final = 20
AWAY_SECONDS_MAX: Final = 600
"""How long a log that is followed outlasts its server: a restart, an upgrade."""
PAGE: Final = 1000
COLUMNS: Final = {
    "time": "Time",
    "account": "AccountId",
    "service": "Service",
    "action": "Action",
    "outcome": "Outcome",
    "error": "ErrorCode",
    "resources": "Resources",
    "from": "Address",
}
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGO: Final = re.compile(r"(\d{1,6})([smhd])")


def events(
    *,
    follow: Annotated[bool, Parameter(help="Goes on with new lines as they come.", negative=())] = False,
    since: Annotated[
        str | None, Parameter(help="Moment (2026-03-01T12:00:00Z), or how long ago: 90s, 15m, 2h, 7d.")
    ] = None,
    output: Output = "table",
) -> None:
    """Shows who changed what: every call that was to change something, done or refused.  The administrator sees everybody's.

    Without --since, the newest 100.  Following, json prints one object a line.
    """
    asked = {} if since is None else {"since": moment_of(since, datetime.now(UTC)), "size": str(PAGE)}
    rows, last = page(asked)
    while since is not None and len(rows) % PAGE == 0 and rows and (more := page({"after": str(last), **asked}))[0]:
        rows, last = rows + more[0], more[1]
    if not follow:
        show_rows([told(row, output) for row in rows], COLUMNS, output, identifier="RequestId")
        return
    with until_ctrl_c():
        while True:
            for row in rows:
                print(line(row, output), flush=True)
            rows, last = page_after(last)


def page_after(last: int) -> tuple[list[dict[str, Any]], int]:
    """The lines after ``last`` as they come; a server that is away is waited for, and nothing is missed."""
    from botocore.exceptions import ConnectionError as NotConnected
    from botocore.exceptions import HTTPClientError

    query = {"after": str(last), "wait": str(WAIT_SECONDS), "size": str(PAGE)}
    failures = 0

    def look() -> tuple[list[dict[str, Any]], int] | None:
        nonlocal failures
        try:
            return page(query)
        except (NotConnected, HTTPClientError):
            failures += 1
            if failures == 1:
                say("the server is away; the log goes on when it is back")
            return None

    return ask_until_told("the server", look, AWAY_SECONDS_MAX)


def page(query: dict[str, str]) -> tuple[list[dict[str, Any]], int]:
    """The lines that ``query`` asks for, and where the next ones begin."""
    found = call("GET", "/events" + (f"?{urlencode(query)}" if query else ""))
    return found["Events"], int(found["Last"])


def moment_of(text: str, now: datetime) -> str:
    """The moment that ``text`` names, as the server reads it; refuses what is none."""
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return (now - timedelta(**{UNITS[ago[2]]: int(ago[1])})).isoformat()
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.astimezone()).isoformat()
    except (ValueError, OverflowError):  # what lies outside of the calendar too
        hint = "a moment like 2026-03-01T12:00:00Z, or how long ago: 90s, 15m, 2h, 7d"
        raise LocalRefusal(f"--since is no moment: {text}", hint=hint, exit_code=2) from None


def told(row: dict[str, Any], output: Output) -> dict[str, Any]:
    """The row as a table shows it: of many resources the first ones, and how many more; the other outputs have all.

    The account of a role's session is followed by the role's name and the session's: 123456789012:assumed-role/builder/i-….
    """
    if output != "table":
        return row
    _, _, who = (row["PrincipalArn"] or "").partition("arn:aws:sts::")
    return {**row, "AccountId": who or row["AccountId"], "Resources": " ".join(first_ones(row["Resources"]))}


def line(row: dict[str, Any], output: Output) -> str:
    """One line of a log that is followed."""
    if output == "json":
        return json.dumps(row)
    if output == "id":
        return str(row["RequestId"])
    shown = told(row, output)
    cells = [
        shown[name] or "" for name in ("Time", "AccountId", "Service", "Action", "Outcome", "ErrorCode", "Resources")
    ]
    return plain("  ".join(cells).rstrip())
