"""QEMU's monitor protocol: a blocking client of one socket, one thread at a time.

QEMU answers commands in order; events may stand between.  A message is one line of JSON.  A guest may have taken over its QEMU: what is
no such message ends the connection.  Source: QEMU's qmp-spec.
"""

import json
import socket
import time
from collections import deque
from typing import Any

from amiable.vm import patience

MESSAGE_BYTES_MAX = 4 << 20
EVENTS_MAX = 1000
OBJECTS = ("data", "error")
"""Members of a message that are objects, where it has them."""
UNDERSCORED = ("block_set_io_throttle",)
"""Commands of before QMP wrote its names with dashes."""


class QmpError(Exception):
    """QEMU refused a command: its class and words."""


class QmpGone(Exception):
    """The monitor's other end is closed, or did not answer in time."""


class Qmp:
    """One monitor; events that come while a command waits are kept for :meth:`event`."""

    def __init__(self, connection: socket.socket, *, wait_seconds: float = 10.0) -> None:
        self._socket = connection
        self._socket.settimeout(wait_seconds)  # what does not read its commands is not waited for either
        self._buffer = b""
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self.wait_seconds = wait_seconds
        if "QMP" not in self._message(time.monotonic() + wait_seconds, patience.GREETING_SECONDS):
            raise QmpGone("no QMP greeting")
        self.execute("qmp_capabilities")

    def fileno(self) -> int:
        """For ``select``: readable when an event may have come."""
        return self._socket.fileno()

    def close(self) -> None:
        """Lets the socket go; QEMU then takes the next client."""
        self._socket.close()

    def execute(self, command: str, *, wait_seconds: float | None = None, **arguments: Any) -> Any:
        """What the command returns; raises QmpError where QEMU refuses it, QmpGone where it does not answer."""
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments if command in UNDERSCORED else _dashed(arguments)
        deadline = time.monotonic() + (self.wait_seconds if wait_seconds is None else wait_seconds)
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpGone(str(error)) from None
        while True:
            message = self._message(deadline)
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise QmpError(f"{message['error'].get('class')}: {message['error'].get('desc')}")
            self._events.append(message)
            if time.monotonic() > deadline:
                raise TimeoutError("QEMU's monitor did not answer in time, but told of events")

    def event(self, wait_seconds: float) -> dict[str, Any] | None:
        """The next event, waiting up to ``wait_seconds``; None when none came."""
        if self._events:
            return self._events.popleft()
        try:
            message = self._message(time.monotonic() + wait_seconds)
        except TimeoutError:
            return None
        return message if "event" in message else None

    def status(self) -> str:
        """Whether the guest runs, in QEMU's word."""
        found = self.execute("query-status")
        if not isinstance(found, dict) or not isinstance(found.get("status"), str):
            raise QmpGone("the monitor does not speak QMP")
        return str(found["status"])

    def all_events(self, events_max: int) -> list[dict[str, Any]]:
        """What has come, up to ``events_max``."""
        came: list[dict[str, Any]] = []
        while len(came) < events_max and (event := self.event(0)) is not None:
            came.append(event)
        return came

    def monitor(self, line: str) -> str:
        """What the human monitor prints for ``line`` (for what QMP has no command)."""
        return str(self.execute("human-monitor-command", command_line=line))

    def _message(self, deadline: float, patience_seconds: float = patience.PATIENCE_SECONDS) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            if len(self._buffer) > MESSAGE_BYTES_MAX:
                raise QmpGone("a message without end")
            left = deadline - time.monotonic()
            if not patience.ready(self._socket, left, patience_seconds):
                raise TimeoutError("QEMU's monitor did not answer in time")
            try:
                chunk = self._socket.recv(65536)
            except OSError as error:
                raise QmpGone(str(error)) from None
            if not chunk:
                raise QmpGone("QEMU closed its monitor")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise QmpGone("the monitor does not speak JSON") from None
        if not isinstance(message, dict) or not all(isinstance(message.get(name, {}), dict) for name in OBJECTS):
            raise QmpGone("the monitor does not speak QMP")
        return message


def _dashed(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in arguments.items()}
