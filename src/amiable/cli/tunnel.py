"""The client's end of a tunnel: a port of an instance as a stream of bytes, over the signed API.

The WebSocket is opened with a presigned request, so that no header has to carry a signature.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from amiable.cli.hints import NOT_RUNNING, OTHER_SERVER, exit_code_for, hint_for
from amiable.model.errors import LocalRefusal

PRESIGNED_SECONDS: Final = 60
OPEN_SECONDS_MAX: Final = 30
CHUNK_BYTES: Final = 64 * 1024
MESSAGE_BYTES_MAX: Final = 1 << 20


class Tunnel:
    """An open tunnel; one thread sends while another receives."""

    def __init__(self, websocket: Any, close: Callable[[], None]) -> None:
        self._websocket = websocket
        self._close = close

    def send(self, data: bytes) -> None:
        """Sends; raises OSError when the other side has ended."""
        from websockets.exceptions import ConnectionClosed

        try:
            for place in range(0, len(data), CHUNK_BYTES):
                self._websocket.send(bytes(data[place : place + CHUNK_BYTES]))
        except ConnectionClosed:
            raise ConnectionResetError("the tunnel has ended") from None

    def receive(self) -> bytes:
        """The next bytes, as many as came together; empty at the end."""
        from websockets.exceptions import ConnectionClosed

        try:
            message = self._websocket.recv()
        except ConnectionClosed:
            return b""
        return message if isinstance(message, bytes) else b""

    def send_end(self) -> None:
        """Says that no more will be sent; what the guest still says is received."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            self._websocket.send(b"")

    def close(self) -> None:
        """Ends it."""
        self._close()

    def __enter__(self) -> "Tunnel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def presigned_url(endpoint: str, credentials: Any, region: str, instance_id: str, path: str) -> str:
    """The URL of the WebSocket at the instance's ``path``, with its signature in the query."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    url = f"{endpoint.rstrip('/')}/amiable/v1/instances/{quote(instance_id, safe='')}/{path}"
    request = AWSRequest("GET", url)
    SigV4QueryAuth(credentials, "amiable", region, expires=PRESIGNED_SECONDS).add_auth(request)
    signed = str(request.url)
    return "ws" + signed.removeprefix("http")


def open_tunnel(endpoint: str, credentials: Any, region: str, instance_id: str, path: str) -> Tunnel:
    """A tunnel to the instance's ``path``, as ``tunnel?port=22``; raises LocalRefusal with the server's words."""
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.sync.client import connect

    url = presigned_url(endpoint, credentials, region, instance_id, path)
    held = contextlib.ExitStack()
    try:
        websocket = held.enter_context(
            connect(
                url,
                open_timeout=OPEN_SECONDS_MAX,
                max_size=MESSAGE_BYTES_MAX,
                compression=None,
                proxy=None,
                ping_interval=None,
            )
        )
    except InvalidStatus as error:
        raise _refusal(error.response.body, error.response.status_code) from None
    except InvalidHandshake:
        raise LocalRefusal(
            f"what answers at {endpoint} is no Amiable server", hint=OTHER_SERVER, exit_code=69
        ) from None
    except OSError as error:
        raise LocalRefusal(f"no tunnel to {instance_id}: {error}", hint=NOT_RUNNING, exit_code=69) from None
    return Tunnel(websocket, held.close)


def _refusal(body: bytes | bytearray | None, status: int) -> LocalRefusal:
    import json

    text = (body or b"").decode(errors="replace").strip()
    try:
        found = json.loads(text)
        code, words = str(found["Code"]), str(found["Message"])
    except (ValueError, KeyError, TypeError):
        return LocalRefusal(text or f"HTTP {status}", exit_code=exit_code_for("", status, text))
    return LocalRefusal(
        f"{code}: {words}",
        hint=found.get("Hint") or hint_for(code, words),
        exit_code=exit_code_for(code, status, words),
    )


def dial(instance_id: str, port: int) -> Tunnel:
    """A tunnel to the instance's port."""
    return dial_path(instance_id, f"tunnel?port={port}")


def dial_path(instance_id: str, path: str) -> Tunnel:
    """:func:`open_tunnel` with endpoint, credentials and region as the AWS tools find them."""
    from amiable.cli.client import endpoint, session

    made = session()
    credentials = made.get_credentials()
    if credentials is None:
        raise LocalRefusal("no access key was found", hint='eval "$(amiable env)"')
    region = made.region_name
    if not region:
        raise LocalRefusal("no region is named: AWS_REGION is not set", hint='eval "$(amiable env)"', exit_code=2)
    return open_tunnel(endpoint(), credentials.get_frozen_credentials(), region, instance_id, path)


def pump_stdio(instance_id: str, port: int) -> None:
    """Standard input and output to the port until the guest ends (ssh's ProxyCommand)."""
    with dial(instance_id, port) as tunnel:
        threading.Thread(target=_send_stdin, args=(tunnel,), daemon=True).start()
        output = sys.stdout.fileno()
        while data := tunnel.receive():
            view = memoryview(data)
            while view:
                view = view[os.write(output, view) :]


def _send_stdin(tunnel: Tunnel) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(sys.stdin.fileno(), CHUNK_BYTES):
            tunnel.send(data)
        tunnel.send_end()
