"""What the edge hands to a service's handler, once the caller is known.

Each of ``server/s3.py``, ``server/ebs.py`` and ``server/amiable.py`` has

    async def handle(services: Services, request: Authenticated) -> starlette.responses.Response

and raises refusals of ``model/errors.py``: ``server/refusals.py`` turns them (an ``Unauthenticated`` too) into the answer of the
service at hand, and whatever else is raised into its internal error.  The edge adds the request id's header to every answer; a
handler needs it only where it goes into a body.  Blocking work goes through :func:`in_thread`.

``server/tunnel.py`` has ``async def tunnel(services: Services, websocket: WebSocket, caller: Caller) -> None``, called before the
WebSocket is accepted, for ``/amiable/v1/instances/{id}/tunnel`` with a verified presigned query.
"""

import asyncio
import hashlib
import hmac
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import anyio.from_thread
from starlette.datastructures import Headers, QueryParams

from amiable.database.connect import Database
from amiable.model.errors import RequestTimeout, RequestTooLarge, Unauthenticated
from amiable.model.principal import Principal
from amiable.rules.sigv4 import Signature
from amiable.server import limits
from amiable.server.short_calls import ShortCalls
from amiable.server.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

_OPERATIONS: Final = Threads(limits.OPERATIONS_AT_ONCE, "operation")
_SHORT_CALLS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Database, ShortCalls]]] = WeakKeyDictionary()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``function(*args, **kwargs)`` in a worker thread, at most ``limits.OPERATIONS_AT_ONCE`` at a time."""
    return await _OPERATIONS.run(lambda: function(*args, **kwargs))


async def on_loop(database: Database, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for a call as ``short_calls`` describes it: on the event loop itself, where the database is SQLite."""
    if not database.looks_at_once:
        return await in_thread(function, *args, **kwargs)
    of_loop = _SHORT_CALLS.setdefault(asyncio.get_running_loop(), {})
    calls = of_loop.get(database)
    if calls is None:
        calls = of_loop[database] = ShortCalls(database, _OPERATIONS)
    return await calls.run(lambda: function(*args, **kwargs))


class Body:
    """The request's bytes, once, in order.

    Where the signature covers the body's SHA-256, the end of the stream is reached only if it agrees: otherwise
    ``Unauthenticated("wrong-body")`` is raised in place of the end.  So make nothing permanent before the end.
    """

    def __init__(self, chunks: AsyncIterator[bytes], sha256_hex: str | None) -> None:
        self._chunks = chunks
        self._expected = sha256_hex
        self._whole: bytes | None = None

    async def stream(self) -> AsyncGenerator[bytes]:
        """The body's chunks as they arrive, of any size, none empty; raises RequestTimeout where the next does not come in time."""
        if self._whole is not None:
            if self._whole:
                yield self._whole
            return
        digest = hashlib.sha256()
        while (chunk := await self._next()) is not None:
            if self._expected is not None:
                digest.update(chunk)
            if chunk:
                yield chunk
        self._check(digest.hexdigest)

    def _check(self, hexdigest: Callable[[], str]) -> None:
        if self._expected is not None and not hmac.compare_digest(hexdigest(), self._expected):
            raise Unauthenticated("wrong-body", "The request's body does not match the hash that was signed.")

    async def _next(self) -> bytes | None:
        """The next chunk, ``None`` at the end; raises RequestTimeout."""
        try:
            async with asyncio.timeout(limits.CHUNK_SECONDS_MAX):
                return await anext(self._chunks, None)
        except TimeoutError:
            raise RequestTimeout(wait_seconds=limits.CHUNK_SECONDS_MAX) from None

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body; may be called again.  Raises RequestTooLarge above ``limit_bytes``."""
        if self._whole is None:
            whole = await self._read_all(limit_bytes)
            self._check(lambda: hashlib.sha256(whole).hexdigest())
            self._whole = whole
        if len(self._whole) > limit_bytes:
            raise RequestTooLarge(limit_bytes=limit_bytes)
        return self._whole

    async def _read_all(self, limit_bytes: int) -> bytes:
        """All chunks together, under one timer that each of them sets back."""
        parts: list[bytes] = []
        size_bytes = 0
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(limits.CHUNK_SECONDS_MAX) as wait:
                async for chunk in self._chunks:
                    size_bytes += len(chunk)
                    if size_bytes > limit_bytes:
                        raise RequestTooLarge(limit_bytes=limit_bytes)
                    if chunk:
                        parts.append(chunk)
                        wait.reschedule(clock() + limits.CHUNK_SECONDS_MAX)
        except TimeoutError:
            raise RequestTimeout(wait_seconds=limits.CHUNK_SECONDS_MAX) from None
        return b"".join(parts)

    def reader(self) -> "BodyReader":
        """A binary stream over the body for code that runs by ``s3_answer.transfer`` (and only there)."""
        return BodyReader(self.stream())


class BodyReader(io.RawIOBase):
    """A blocking view of a body, read from a worker thread that ``s3_answer.transfer`` started."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # as BufferedReader calls it
        """Fills up to ``len(buffer)`` bytes, waiting for the client; 0 at the end."""
        if not self._rest:
            self._rest = memoryview(anyio.from_thread.run(self._next))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    async def _next(self) -> bytes:
        return await anext(self._chunks, b"")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and how the request was signed (``signature.signing_key`` verifies signed chunks)."""

    principal: Principal
    request_id: str
    signature: Signature


@dataclass(frozen=True, slots=True)
class Authenticated(Caller):
    """A request whose signature holds.  ``raw_path`` and ``raw_query`` are as sent, still percent-encoded, no ``?``."""

    method: str
    raw_path: str
    raw_query: str
    headers: Headers
    body: Body

    @property
    def query(self) -> QueryParams:
        """The query's parameters, decoded; the signature's own (``X-Amz-Signature`` …) among them."""
        return QueryParams(self.raw_query)
