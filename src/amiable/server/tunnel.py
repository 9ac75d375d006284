"""A tunnel: one WebSocket of the signed API ⇄ one TCP connection to a port of a guest, through its holder.

``/amiable/v1/instances/{id}/tunnel?port=22``, opened with a presigned request; the edge has verified it.  Bytes go both ways as
binary messages; either side's end ends the other.  No port is opened on the host.
"""

import asyncio
import contextlib
import re
import socket
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from amiable.database import instances
from amiable.model import ids
from amiable.model.errors import (
    IncorrectInstanceState,
    InvalidParameterValue,
    Malformed,
    NotFound,
    Unavailable,
    UnsupportedOperation,
)
from amiable.model.hardware import NetworkKind
from amiable.model.instance import State
from amiable.model.principal import Principal
from amiable.server.contracts import Caller, in_thread
from amiable.services import Services
from amiable.vm import fabric, machine, network
from amiable.vm.directory import open_directory
from amiable.vm.machine import MachineFailed
from amiable.vm.network import NetworkFailed

CHUNK_BYTES: Final = 64 * 1024
IDLE_SECONDS_MAX: Final = 3600.0
HOLDER_SECONDS_MAX: Final = 5.0
"""How long a holder that has died may take to be there again."""
TUNNELS_MAX: Final = 64
"""At once, of this server."""

NO_WAY_IN: Final = "Nothing leads into this instance: it was started where no network namespace could be made (amiable doctor says why)."

_PATH = re.compile(r"/amiable/v1/instances/([^/]+)/tunnel")
_open = 0


async def tunnel(services: Services, websocket: WebSocket, caller: Caller) -> None:
    """Refuses before the WebSocket is accepted, or carries bytes until one side ends."""
    global _open  # noqa: PLW0603 - one count a process, touched by the event loop alone
    if _open >= TUNNELS_MAX:
        raise Unavailable(f"There are {TUNNELS_MAX} tunnels open already.")
    found = _PATH.fullmatch(websocket.url.path)
    assert found is not None
    port = websocket.query_params.get("port", "22")
    _open += 1
    try:
        guest = await in_thread(connect_guest, services, caller.principal, found[1], port)
        with guest:
            guest.setblocking(False)
            await websocket.accept()
            await _carry(websocket, guest)
    finally:
        _open -= 1


def connect_guest(services: Services, principal: Principal, instance_id: str, port: str) -> socket.socket:
    """A connection to the port of the caller's running instance; QEMU accepts before the guest does, so an early one just ends."""
    if not ids.is_well_formed(ids.INSTANCE, instance_id):
        raise Malformed("instance", instance_id, ids.INSTANCE)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise InvalidParameterValue(parameter="port", value=port, why="Give a port from 1 to 65535.")
    with services.database.read() as c:
        instance = instances.get_instance(c, instance_id)
    if instance is None or (instance.account_id, instance.region) != (principal.account_id, principal.region):
        raise NotFound("instance", [instance_id])
    if instance.state is not State.RUNNING:
        raise IncorrectInstanceState(instance_id=instance_id, verb="connected to")
    try:
        with open_directory(services.data, instance_id) as directory:
            qemu = machine.find_machine(directory)
            if qemu is None:
                raise Unavailable("The instance's machine has just ended.")
            link = fabric.link_of(qemu)
            if link is not None:
                return fabric.dial(services.data, link, int(port), wait_seconds=HOLDER_SECONDS_MAX)
            if network.kind_of(qemu) is not NetworkKind.NAMESPACE:
                raise UnsupportedOperation(NO_WAY_IN)
            with machine.monitor(directory, qemu) as qmp:
                forwarded = network.forwarded_port(qmp, int(port), instance.private_ip)
            with network.Holder(directory, wait_seconds=HOLDER_SECONDS_MAX) as holder:
                return holder.connect(forwarded)
    except (MachineFailed, NetworkFailed, FileNotFoundError) as error:
        raise Unavailable(f"The instance's port {port} cannot be reached: {error}") from None


async def _carry(websocket: WebSocket, guest: socket.socket) -> None:
    both = [asyncio.ensure_future(_to_guest(websocket, guest)), asyncio.ensure_future(_from_guest(websocket, guest))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close()


async def _to_guest(websocket: WebSocket, guest: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        message = await asyncio.wait_for(websocket.receive(), IDLE_SECONDS_MAX)
        if message["type"] != "websocket.receive":
            return
        data = message.get("bytes")
        if data is None:
            return
        if not data:  # an empty message: no more will come this way
            guest.shutdown(socket.SHUT_WR)
            continue
        await asyncio.wait_for(loop.sock_sendall(guest, data), IDLE_SECONDS_MAX)  # who left is not heard meanwhile


async def _from_guest(websocket: WebSocket, guest: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(guest, CHUNK_BYTES):
        await websocket.send_bytes(data)
