"""Limits of the edge, each with a name."""

from typing import Final

import anyio
from anyio.lowlevel import RunVar

from amiable.model.units import BLOCK_BYTES, KIB, MIB

QUERY_BODY_BYTES_MAX: Final = 1 * MIB
"""One EC2 or STS request.  User data is 16 KiB, a thousand ids with filters are 100 KiB."""

EBS_BODY_BYTES_MAX: Final = BLOCK_BYTES + 64 * KIB
"""One block; or the JSON of StartSnapshot, which is far smaller."""

HASHED_AT_ONCE_BYTES_MAX: Final = 64 * KIB
"""A longer body is hashed in a thread: the event loop serves others meanwhile."""

HINT_CHARACTERS_MAX: Final = 4096
AMIABLE_BODY_BYTES_MAX: Final = 1 * MIB
"""One request of Amiable's own API."""

JOINED_BYTES_MAX: Final = 64 * KIB
"""An answer's body up to this is written together with its head."""

HEADERS_BYTES_MAX: Final = 64 * KIB
"""All headers of one request with its request line: what uvicorn's parser and we accept."""

CHUNK_SECONDS_MAX: Final = 60
"""How long the next bytes of a body may take; a client that stands still holds a worker thread."""

FORM_SECONDS_MAX: Final = 60
"""How long the fields of an upload form may take, which come before anybody has shown a signature."""

HEAD_SECONDS_MAX: Final = 20
"""From a connection's start, or from a next request's first byte, to the end of that request's head."""

CONNECTIONS_AT_ONCE: Final = 1000
"""Connections of clients, idle ones among them; more are answered 503."""

OPERATIONS_AT_ONCE: Final = 40
"""Operations in worker threads; more wait their turn.  SQLite has one writer and the pool 64 connections."""

REST_BYTES_MAX: Final = 64 * MIB
"""How much of a refused request's body is read away, so that the client gets to read the refusal."""

REST_SECONDS_MAX: Final = 10
"""How long that may take; then the connection is closed."""

TRANSFERS_AT_ONCE: Final = 32
"""Bodies that are received at once.  A slow client holds one of these threads, and none of those that answer other calls."""

_transfers: RunVar[anyio.CapacityLimiter] = RunVar("transfers")


def transfers() -> anyio.CapacityLimiter:
    """This event loop's limiter of transfers."""
    limiter = _transfers.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(TRANSFERS_AT_ONCE)
        _transfers.set(limiter)
    return limiter
