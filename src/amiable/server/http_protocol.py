"""uvicorn's HTTP protocol, with a limit on the wait for a request's head, and a busy server's answer in the client's own words.

    connected ──▶ awaits a head ──head complete──▶ in a request ──▶ idle (kept alive) ──first byte──▶ awaits a head
                       └─ head_seconds_max ─▶ closed                   └─ uvicorn's keep-alive ─▶ closed

uvicorn bounds only the idle state: a connection that never sends a whole head would hold one of the connections for ever.
It writes head and body apart; a short answer leaves here in one piece: no client sees a head whose body a killed server kept.
"""

import asyncio
import uuid
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from amiable.model.errors import Unavailable
from amiable.server import limits, refusals
from amiable.server.app import service_of
from amiable.server.authenticate import signed_request

BUSY: Final = "The server has more connections than it serves at once. Try again in a moment."


class HttpProtocol(HttpToolsProtocol):
    """Inherited because uvicorn takes its protocol as a class; a subclass may set another ``head_seconds_max``."""

    head_seconds_max: float = limits.HEAD_SECONDS_MAX

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._awaits_head = True
        self._head_count = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Begins the wait for the first head."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the wait."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Any byte after a message begins the wait for the next head: line ends that come before it too."""
        awaited, head_count = self._awaits_head, self._head_count
        super().data_received(data)
        if awaited and self._head_count == head_count:
            self._arm()

    def on_message_begin(self) -> None:
        """The parser met a head's first byte."""
        super().on_message_begin()
        self._awaits_head = True
        self._arm()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._awaits_head = False
        self._head_count += 1
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there: what comes next is another head."""
        super().on_message_complete()
        self._awaits_head = True

    def _arm(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.head_seconds_max, self._give_up)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        """Closes without a word: no request is there to be answered; but never under an answer that is still being made."""
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._arm()
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super()._start_asgi_task(cycle, in_one_write(cycle, busy if app is service_unavailable else app))


class Gathered:
    """Stands for an answer's transport while head and body are put together."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Keeps ``data``."""
        self.parts.append(data)

    def close(self) -> None:
        """Notes that the connection ends with the answer."""
        self.is_closed = True


def in_one_write(cycle: Any, app: Any) -> Any:
    """``app``, whose short answers are written with their heads; ``cycle`` is uvicorn's state of the request."""

    async def joining(scope: Scope, receive: Receive, send: Send) -> None:
        head: Message | None = None

        async def join(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and is_short(message):
                head = message
            elif head is None:
                await send(message)
            else:
                start, head = head, None
                await send_together(cycle, send, start, message)

        await app(scope, receive, join)

    return joining


def is_short(start: Message) -> bool:
    """Whether the head tells of a body that is no burden to hold."""
    lengths = [int(value) for name, value in start.get("headers", ()) if name == b"content-length"]
    return bool(lengths) and max(lengths) <= limits.JOINED_BYTES_MAX


async def send_together(cycle: Any, send: Send, *messages: Message) -> None:
    """Has uvicorn word ``messages``, and writes them at once."""
    transport, gathered = cycle.transport, Gathered()
    cycle.transport = gathered
    try:
        for message in messages:
            await send(message)
    finally:
        cycle.transport = transport
        if gathered.parts:
            transport.write(b"".join(gathered.parts))
        if gathered.is_closed:
            transport.close()


async def busy(scope: Any, receive: Any, send: Any) -> None:
    """503 and the connection's end, in the form that the request's service has for errors; nothing is looked up for it."""
    request_id, signed = str(uuid.uuid4()), signed_request(scope)
    response = refusals.answer(
        service_of(signed), Unavailable(BUSY), request_id=request_id, resource=signed.raw_path, region=""
    )
    response.headers["Connection"] = "close"
    await response(scope, receive, send)
