"""Limits of the edge, each with a name."""

from typing import Final

import anyio

from amiable.model.units import BLOCK_BYTES, KIB, MIB

QUERY_BODY_BYTES_MAX: Final = 1 * MIB
"""One EC2 or STS request.  User data is 16 KiB, a thousand ids with filters are 100 KiB."""

EBS_BODY_BYTES_MAX: Final = BLOCK_BYTES + 64 * KIB
"""One block; or the JSON of StartSnapshot, which is far smaller."""

AMIABLE_BODY_BYTES_MAX: Final = 1 * MIB
"""One request of Amiable's own API."""

HEADERS_BYTES_MAX: Final = 64 * KIB
"""All headers of one request with its request line: what uvicorn's parser and we accept."""

CHUNK_SECONDS_MAX: Final = 60
"""How long the next bytes of a body may take; a client that stands still holds a worker thread."""

CONNECTIONS_AT_ONCE: Final = 1000
"""Connections of clients, idle ones among them; more are answered 503."""

OPERATIONS_AT_ONCE: Final = 40
"""Operations in worker threads; more wait their turn.  SQLite has one writer and the pool 64 connections."""

REST_BYTES_MAX: Final = 64 * MIB
"""How much of a refused request's body is read away, so that the client gets to read the refusal."""

REST_SECONDS_MAX: Final = 10
"""How long that may take; then the connection is closed."""

_limiter: anyio.CapacityLimiter | None = None


def operations() -> anyio.CapacityLimiter:
    """The limiter of worker threads; made at first use, inside the event loop."""
    global _limiter  # noqa: PLW0603 - one a process, and it can only be made where a loop runs
    if _limiter is None:
        _limiter = anyio.CapacityLimiter(OPERATIONS_AT_ONCE)
    return _limiter
