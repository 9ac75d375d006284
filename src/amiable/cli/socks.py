"""SOCKS5 (RFC 1928) without authentication, CONNECT only, on loopback: each connection becomes a tunnel to a port of an instance.

The target is an instance id or an instance's private address; nothing else is dialled, so the proxy is no way out.

A tunnel opens before the guest has answered: QEMU accepts for it and hangs up when the guest refuses.  So a tunnel that ends
without a word right after its opening is answered as a refused connection; a guest that is slower to refuse looks like one that
hangs up.
"""

import ipaddress
import socket
import struct
import threading
from collections.abc import Callable
from queue import Empty, Queue
from typing import Final, Protocol

from amiable.cli.output import say
from amiable.model.errors import LocalRefusal, Refusal

CONNECTIONS_MAX: Final = 64
HANDSHAKE_SECONDS_MAX: Final = 30.0
PORT_MAX: Final = 65535
CHUNK_BYTES: Final = 64 * 1024
FIRST_WORD_SECONDS: Final = 0.1
"""How long a tunnel may take to end before it counts as open: a guest refuses within some milliseconds."""

_TRY_LATER: Final = 75  # the exit code of a tunnel that the server cannot open now: nothing answers at that port
_VERSION: Final = 5
_CONNECT: Final = 1
_GRANTED, _FAILED, _UNREACHABLE, _REFUSED, _NOT_SUPPORTED, _BAD_ADDRESS = 0, 1, 4, 5, 7, 8


class Stream(Protocol):
    """Bytes both ways: a tunnel."""

    def send(self, data: bytes) -> None:
        """Sends all of ``data``."""

    def receive(self) -> bytes:
        """The next bytes; ``b''`` at the end."""

    def close(self) -> None:
        """Ends both ways."""


OpenTunnel = Callable[[str, int], Stream]
FindInstance = Callable[[str], str | None]


def bind(listen: str) -> socket.socket:
    """A listening socket on ``ADDRESS:PORT``, of IPv4; anything but loopback is refused."""
    host, _, port = listen.rpartition(":")
    hint = "--listen 127.0.0.1:1080"
    try:
        loopback = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        raise LocalRefusal(f"'{listen}' is no IPv4 address and port", hint=hint, exit_code=2) from None
    if not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        raise LocalRefusal(f"'{port}' is no port", hint=hint, exit_code=2)
    if not loopback:
        raise LocalRefusal(f"{listen}: the proxy listens on loopback only", hint=hint, exit_code=2)
    try:
        return socket.create_server((host, int(port)))
    except OSError as error:
        raise LocalRefusal(
            f"cannot listen on {listen}: {error.strerror}", hint="--listen 127.0.0.1:0 takes a free port", exit_code=69
        ) from None


def serve(listener: socket.socket, *, find: FindInstance, open_tunnel: OpenTunnel) -> None:
    """Serves until ``listener`` is shut down.  ``find`` turns a target into an instance id."""
    places = threading.BoundedSemaphore(CONNECTIONS_MAX)
    while True:
        places.acquire()
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve_one, args=(client, places, find, open_tunnel), daemon=True).start()


def _serve_one(
    client: socket.socket, places: threading.BoundedSemaphore, find: FindInstance, open_tunnel: OpenTunnel
) -> None:
    try:
        with client:
            client.settimeout(HANDSHAKE_SECONDS_MAX)
            target = _read_target(client)
            if target is None:
                return
            tunnel = _connect(client, *target, find, open_tunnel)
            if tunnel is not None:
                _relay(client, tunnel, f"{target[0]}:{target[1]}")
    except (OSError, EOFError):
        return
    finally:
        places.release()


def _read_target(client: socket.socket) -> tuple[str, int] | None:
    version, methods = _read(client, 2)
    offered = _read(client, methods)
    if version != _VERSION or 0 not in offered:
        client.sendall(bytes([_VERSION, 0xFF]))
        return None
    client.sendall(bytes([_VERSION, 0]))
    version, command, _, kind = _read(client, 4)
    if version != _VERSION or command != _CONNECT:
        _answer(client, _NOT_SUPPORTED)
        return None
    if kind == 1:
        host = str(ipaddress.IPv4Address(_read(client, 4)))
    elif kind == 3:
        host = _read(client, _read(client, 1)[0]).decode("ascii", "replace")
    else:
        _answer(client, _BAD_ADDRESS)
        return None
    return host, struct.unpack(">H", _read(client, 2))[0]


def _connect(client: socket.socket, host: str, port: int, find: FindInstance, open_tunnel: OpenTunnel) -> Stream | None:
    try:
        instance_id = find(host)
        if instance_id is None:
            say(f"{host}: no running instance of yours has this id or address")
            _answer(client, _UNREACHABLE)
            return None
        tunnel = open_tunnel(instance_id, port)
    except (Refusal, OSError) as error:
        say(f"{host}:{port}: {error}")
        _answer(client, _REFUSED if getattr(error, "exit_code", 1) == _TRY_LATER else _FAILED)
        return None
    return tunnel


def _relay(client: socket.socket, tunnel: Stream, where: str) -> None:
    """Answers the client, then carries bytes until one side ends."""
    first: Queue[bytes] = Queue()
    answered = threading.Event()

    def down() -> None:
        try:
            data = tunnel.receive()
            first.put(data)
            answered.wait()
            while data:
                client.sendall(data)
                data = tunnel.receive()
        except OSError:
            first.put(b"")
        finally:
            _shut(client)

    thread = threading.Thread(target=down, daemon=True)
    thread.start()
    try:
        if _ends_at_once(first):
            say(f"{where}: the guest refuses the connection")
            _answer(client, _REFUSED)
            return
        _answer(client, _GRANTED)
        answered.set()
        client.settimeout(None)
        while data := client.recv(CHUNK_BYTES):
            tunnel.send(data)
    finally:
        answered.set()
        tunnel.close()
        thread.join()


def _ends_at_once(first: "Queue[bytes]") -> bool:
    try:
        return first.get(timeout=FIRST_WORD_SECONDS) == b""
    except Empty:
        return False


def _shut(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _answer(client: socket.socket, code: int) -> None:
    client.sendall(bytes([_VERSION, code, 0, 1]) + bytes(6))


def _read(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = client.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
