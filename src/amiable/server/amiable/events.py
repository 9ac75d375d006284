"""The log: ``GET /amiable/v1/events?after=NUMBER&since=MOMENT&size=N&wait=SECONDS``.

Without ``after`` and ``since`` it answers the newest lines.  ``wait`` holds the answer back until there is a line, in the event loop: who
follows the log holds no thread.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import anyio
import msgspec

from amiable.api import events
from amiable.database.events import Wanted
from amiable.model.errors import InvalidParameterValue
from amiable.model.event import Event
from amiable.server.amiable.calls import Answer, instant
from amiable.server.contracts import Authenticated, in_thread
from amiable.services import Services

POLL_SECONDS: Final = 0.5
WAIT_SECONDS_MAX: Final = 60
SIZE_DEFAULT: Final = 100
SIZE_MAX: Final = 1000
NUMBER_MAX: Final = 2**63 - 1
NAMES: Final = frozenset({"after", "since", "size", "wait"})
_NUMBER: Final = re.compile(r"[0-9]{1,19}")


async def follow(services: Services, request: Authenticated) -> Answer:
    """The lines that are asked for, as soon as there is one; none after the time that the request waits.

    ``Last`` is where the next ones begin: the last line told, or where the log ended before it was read.
    """
    wanted, wait_seconds = _read_query(request)
    before = await in_thread(events.last_number, services) if wanted.after is None else wanted.after
    if wait_seconds and wanted.since is None:
        wanted = replace(wanted, after=before)
    found = await in_thread(events.list_events, services, request.principal, wanted)
    with anyio.move_on_after(wait_seconds):
        while not found and wait_seconds:
            await anyio.sleep(POLL_SECONDS)
            found = await in_thread(events.list_events, services, request.principal, wanted)
    return {"Events": [_line(event) for event in found], "Last": found[-1].number if found else before}


def _read_query(request: Authenticated) -> tuple[Wanted, int]:
    """What the query asks for, and how many seconds it waits; refuses what the call does not take."""
    query: dict[str, str] = {}
    for name, value in request.query.multi_items():
        if name in query or (name not in NAMES and not name.startswith("X-Amz-")):
            raise InvalidParameterValue(parameter=name, value=value, why="This call takes after, since, size and wait.")
        query[name] = value
    after = _number(query, "after", NUMBER_MAX)
    size, wait = _number(query, "size", SIZE_MAX), _number(query, "wait", WAIT_SECONDS_MAX)
    principal = request.principal
    account_id = None if principal.is_administrator else principal.account_id
    return Wanted(account_id, after, _since(query), SIZE_DEFAULT if size is None else max(1, size)), wait or 0


def _number(query: Mapping[str, str], name: str, number_max: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None or int(text) > number_max:
        raise InvalidParameterValue(parameter=name, value=text, why=f"It is a number up to {number_max}.")
    return int(text)


def _since(query: Mapping[str, str]) -> datetime | None:
    text = query.get("since")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        why = "It is a moment like 2026-03-01T12:00:00Z."
        raise InvalidParameterValue(parameter="since", value=text, why=why) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _line(it: Event) -> Answer:
    return {
        "Number": it.number,
        "Time": instant(it.created_at),
        "RequestId": it.asker.request_id,
        "AccountId": it.asker.account_id,
        "AccessKeyId": it.asker.access_key_id,
        "PrincipalArn": it.asker.principal_arn,
        "Address": it.asker.address,
        "UserAgent": it.asker.user_agent,
        "Region": it.asker.region,
        "Service": it.service,
        "Action": it.action,
        "Resources": list(it.resource_ids),
        "Parameters": msgspec.Raw(it.parameters.encode()),
        "Outcome": it.outcome.value,
        "ErrorCode": it.error_code,
    }
