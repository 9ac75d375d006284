"""The server's log of requests: one line each, in fixed places, ``-`` where there is nothing to tell.

    ec2 POST / RegisterImage 123456789012 200 - 12.3 ms request 2f1c…
    ec2 POST / DescribeImages 123456789012 400 InvalidAMIID.NotFound 1.9 ms request 9b40…
    │   │    │ action         account      │   code as the client is told it
    service  path without its query        status

Of a request's own text a line has its path, and the names of a service and an action that may be none: printable ASCII without
spaces, cut.  Queries, headers and bodies, in which secrets and user data are, are never in it.
"""

import logging
import re
import time
from dataclasses import dataclass
from typing import Final

from amiable.rules import sigv4

PATH_CHARACTERS_MAX: Final = 512
WORD_CHARACTERS_MAX: Final = 64
NOTHING: Final = "-"

log = logging.getLogger("amiable.server")

_ODD = re.compile(r"[^!-~]")


@dataclass(slots=True)
class Exchange:
    """One request while it is answered; a form tells only in its body for which service it is."""

    signed: sigv4.Request
    request_id: str
    service: str
    started: float
    """By ``time.monotonic``."""


def log_answer(exchange: Exchange, *, action: str, account_id: str, status: int, code: str = "") -> None:
    """The line of a request that is answered."""
    milliseconds = (time.monotonic() - exchange.started) * 1000
    log.info(
        "%s %s %s %s %s %d %s %.1f ms request %s",
        *_asked(exchange, action),
        account_id or NOTHING,
        status,
        code or NOTHING,
        milliseconds,
        exchange.request_id,
    )


def log_departure(exchange: Exchange, *, action: str, account_id: str) -> None:
    """The line of a request whose client went away before it was answered."""
    words = "%s %s %s %s %s: the client went away; request %s"
    log.info(words, *_asked(exchange, action), account_id or NOTHING, exchange.request_id)


def _asked(exchange: Exchange, action: str) -> tuple[str, str, str, str]:
    signed = exchange.signed
    path = _plain(signed.raw_path, PATH_CHARACTERS_MAX)
    return _plain(exchange.service), _plain(signed.method), path, _plain(action)


def _plain(text: str, characters_max: int = WORD_CHARACTERS_MAX) -> str:
    """The request's ``text`` as a line takes it: what is no printable ASCII, and a space, is ``?``; cut where it is long."""
    if len(text) > characters_max:
        return _ODD.sub("?", text[:characters_max]) + "..."
    if text.isascii() and text.isprintable() and " " not in text:  # as nearly all of them are
        return text or NOTHING
    return _ODD.sub("?", text)
