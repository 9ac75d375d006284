"""The serial console, live: WebSockets of the signed API ⇄ one connection to the guest's serial port, shared by all who look.

    viewer ─┐                     ┌─▶ serial.sock ─▶ the guest's input
    viewer ─┼─▶ Line of instance ─┤
    viewer ─┘  ◀── bounded queue ─┴── serial.sock ◀─ its output (QEMU logs it besides)

``/amiable/v1/instances/{id}/console``, opened with a presigned request, where the account's switch allows it.  A connected client that
does not read would stop the guest's console: so the line always reads on, and a viewer whose queue is full loses what came longest ago.
Nobody looks: nobody is connected, and QEMU drops the copy.  What a guest does not take of its input in time is dropped, too.
"""

import asyncio
import contextlib
import re
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from amiable.database import consoles, instances
from amiable.model import ids
from amiable.model.console_errors import SerialConsoleAccessDisabled, SerialConsoleSessionLimitExceeded
from amiable.model.errors import IncorrectInstanceState, Malformed, NotFound, Refusal, Unavailable
from amiable.model.instance import State
from amiable.model.principal import Principal
from amiable.server.contracts import Caller, in_thread
from amiable.services import Services
from amiable.vm import console, machine
from amiable.vm.directory import open_directory, peer_pid
from amiable.vm.machine import MachineFailed

CHUNK_BYTES: Final = 16 * 1024
QUEUE_BYTES_MAX: Final = 256 * 1024
"""Of one viewer: what it may lag behind."""
INPUT_BYTES_MAX: Final = 64 * 1024
"""In one message of a viewer."""
INPUT_SECONDS_MAX: Final = 2.0
VIEWERS_MAX: Final = 8
"""Of one instance."""
RECENT_BYTES: Final = 2048
"""Of the log: what a new viewer is shown first, so that a waiting prompt is there."""
CONNECT_SECONDS_MAX: Final = 5.0
IDLE_SECONDS_MAX: Final = 3600.0
LOOK_SECONDS: Final = 2.0
"""Between two looks at the account's switch."""
LOST: Final = b"\r\n[amiable: output was lost: this viewer reads too slowly]\r\n"

PATH: Final = re.compile(r"/amiable/v1/instances/([^/]+)/console")


@dataclass(slots=True)
class Viewer:
    """One WebSocket's share of the output; the oldest goes where there is too much."""

    chunks: deque[bytes] = field(default_factory=deque)
    size_bytes: int = 0
    has_lost: bool = False
    is_over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, chunk: bytes) -> None:
        """Adds output; never waits."""
        self.chunks.append(chunk)
        self.size_bytes += len(chunk)
        while self.size_bytes > QUEUE_BYTES_MAX and len(self.chunks) > 1:
            self.size_bytes -= len(self.chunks.popleft())
            self.has_lost = True
        self.news.set()

    def end(self) -> None:
        """No more will come."""
        self.is_over = True
        self.news.set()

    async def get(self) -> bytes:
        """What has come, as one piece; empty at the end."""
        while not self.chunks:
            if self.is_over:
                return b""
            self.news.clear()
            await self.news.wait()
        found = b"".join(self.chunks)
        self.chunks.clear()
        self.size_bytes = 0
        lost, self.has_lost = self.has_lost, False
        return LOST + found if lost else found


class Line:
    """The one connection to an instance's serial port; :meth:`leave` by the last viewer ends it."""

    def __init__(self, services: Services, instance_id: str) -> None:
        self.viewers: list[Viewer] = []
        self._instance_id = instance_id
        self._port: asyncio.Future[socket.socket] = asyncio.ensure_future(
            in_thread(connect_port, services, instance_id)
        )
        self._typing = asyncio.Lock()
        self._draining = asyncio.ensure_future(self._drain())
        _lines[instance_id] = self

    async def opened(self) -> None:
        """Returns when the port is connected; raises Unavailable where it cannot be."""
        await asyncio.shield(self._port)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            with contextlib.suppress(OSError, Refusal):
                port = await asyncio.shield(self._port)
                while chunk := await loop.sock_recv(port, CHUNK_BYTES):
                    for viewer in self.viewers:
                        viewer.put(chunk)
        finally:
            self._close_to_others()
            self._port.add_done_callback(_close)
            for viewer in self.viewers:
                viewer.end()

    async def type(self, data: bytes) -> None:
        """Hands input to the guest, as far as it takes it in time."""
        async with self._typing:
            with contextlib.suppress(TimeoutError, OSError):
                sending = asyncio.get_running_loop().sock_sendall(await asyncio.shield(self._port), data)
                await asyncio.wait_for(sending, INPUT_SECONDS_MAX)

    async def leave(self, viewer: Viewer) -> None:
        """Takes a viewer off."""
        self.viewers.remove(viewer)
        if not self.viewers:
            self._close_to_others()
            self._draining.cancel()
            await asyncio.gather(self._draining, return_exceptions=True)

    def _close_to_others(self) -> None:
        """Who comes from now on gets a line of its own: this one ends."""
        if _lines.get(self._instance_id) is self:
            del _lines[self._instance_id]


def _close(port: "asyncio.Future[socket.socket]") -> None:
    if not port.cancelled() and port.exception() is None:
        port.result().close()


_lines: dict[str, Line] = {}
"""Of this server, by instance; touched by the event loop alone."""


async def serial_console(services: Services, websocket: WebSocket, caller: Caller) -> None:
    """Refuses before the WebSocket is accepted, or carries the console until one side ends."""
    found = PATH.fullmatch(websocket.url.path)
    assert found is not None
    instance_id, principal = found[1], caller.principal
    await in_thread(check_access, services, principal, instance_id)
    viewer, line = Viewer(), _lines.get(instance_id) or Line(services, instance_id)
    if len(line.viewers) >= VIEWERS_MAX:
        raise SerialConsoleSessionLimitExceeded(instance_id=instance_id, viewers_max=VIEWERS_MAX)
    line.viewers.append(viewer)
    try:
        await line.opened()
        await websocket.accept()
        recent = await in_thread(_recent, services, instance_id)
        if recent:
            await websocket.send_bytes(recent)
        await _carry(services, websocket, line, viewer, principal)
    finally:
        await line.leave(viewer)


def check_access(services: Services, principal: Principal, instance_id: str) -> None:
    """Refuses an instance that is not the caller's or does not run, and an account that has not switched the console on."""
    if not ids.is_well_formed(ids.INSTANCE, instance_id):
        raise Malformed("instance", instance_id, ids.INSTANCE)
    with services.database.read() as c:
        instance = instances.get_instance(c, instance_id)
        is_enabled = consoles.is_serial_console_enabled(c, principal.account_id, principal.region)
    if instance is None or (instance.account_id, instance.region) != (principal.account_id, principal.region):
        raise NotFound("instance", [instance_id])
    if not is_enabled:
        raise SerialConsoleAccessDisabled()
    if instance.state is not State.RUNNING:
        raise IncorrectInstanceState(instance_id=instance_id, verb="connected to")


def connect_port(services: Services, instance_id: str) -> socket.socket:
    """A connection to the machine's serial port; raises Unavailable where nobody listens."""
    try:
        with open_directory(services.data, instance_id) as directory:
            qemu = machine.find_machine(directory)
            if qemu is None:
                raise Unavailable("The instance's machine has just ended.")
            port = directory.connect("serial.sock", wait_seconds=CONNECT_SECONDS_MAX)
            if peer_pid(port) != qemu.pid:
                port.close()
                raise MachineFailed("serial.sock is not QEMU's")
            port.setblocking(False)
            return port
    except (MachineFailed, OSError) as error:
        raise Unavailable(f"The instance's serial console cannot be reached: {error}") from None


def _recent(services: Services, instance_id: str) -> bytes:
    with contextlib.suppress(OSError), open_directory(services.data, instance_id) as directory:
        return console.tail(directory, RECENT_BYTES)
    return b""


async def _carry(services: Services, websocket: WebSocket, line: Line, viewer: Viewer, principal: Principal) -> None:
    ways = [_to_guest(websocket, line), _from_guest(websocket, viewer), _while_allowed(services, principal)]
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close()


async def _to_guest(websocket: WebSocket, line: Line) -> None:
    while True:
        message = await asyncio.wait_for(websocket.receive(), IDLE_SECONDS_MAX)
        if message["type"] != "websocket.receive":
            return
        data = message.get("bytes") or (message.get("text") or "").encode()
        await line.type(data[:INPUT_BYTES_MAX])


async def _from_guest(websocket: WebSocket, viewer: Viewer) -> None:
    while data := await viewer.get():
        await websocket.send_bytes(data)


async def _while_allowed(services: Services, principal: Principal) -> None:
    """Returns when the account's switch is off."""

    def is_enabled() -> bool:
        with services.database.read() as c:
            return consoles.is_serial_console_enabled(c, principal.account_id, principal.region)

    while await in_thread(is_enabled):
        await asyncio.sleep(LOOK_SECONDS)
