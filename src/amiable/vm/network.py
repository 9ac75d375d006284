"""An instance's network, *slirp* mode: QEMU's user network inside a namespace that a small holder process keeps (``vm/holder``).

The server side: starting the holder, and asking it for sockets that live in the namespace.
"""

import contextlib
import json
import os
import re
import select
import socket
from typing import Any, Final

from amiable.vm import process
from amiable.vm.directory import Directory
from amiable.vm.process import HOLDER_RECORD, Process
from amiable.vm.qmp import Qmp

READY_SECONDS_MAX: Final = 20.0
ANSWER_SECONDS_MAX: Final = 10.0
PACKET_BYTES_MAX: Final = 4096

_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)\s")


class NetworkFailed(Exception):
    """The namespace could not be made, or its holder does not answer."""


def start_holder(directory: Directory, lock: int, log: int) -> Process:
    """Starts the instance's holder and waits until its namespace stands; raises NetworkFailed with its words."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        what: dict[str, Any] = {"record": HOLDER_RECORD, "facts": {}, "uid": directory.uid}
        pid = process.spawn("amiable.vm.holder", what, directory=lock, log=log, ready=writing)
        os.close(writing)
        writing = -1
        word = _first_word(reading)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    found = process.read_record(directory.descriptor, HOLDER_RECORD)
    if word == b"ready\n" and found is not None and found.pid == pid:
        return found
    with contextlib.suppress(OSError):
        process.identity_of(pid).end(wait_seconds=5)
    raise NetworkFailed(word.decode(errors="replace").strip() or "the network holder ended without a word")


def _first_word(reading: int) -> bytes:
    if not select.select([reading], [], [], READY_SECONDS_MAX)[0]:
        return b"the network holder was too slow"
    return os.read(reading, 4096)


class Holder:
    """A connection to an instance's holder; used by one thread at a time."""

    def __init__(self, directory: Directory) -> None:
        try:
            self._socket = directory.connect("holder.sock", socket.SOCK_SEQPACKET, wait_seconds=ANSWER_SECONDS_MAX)
        except OSError as error:
            raise NetworkFailed(f"the network holder does not answer: {error.strerror}") from None
        self._socket.settimeout(ANSWER_SECONDS_MAX)

    def __enter__(self) -> "Holder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets the connection go."""
        self._socket.close()

    def metadata_listener(self) -> socket.socket:
        """The socket that listens on 169.254.169.254:80 in the namespace; accept on it."""
        return socket.socket(fileno=self._ask({"get": "metadata"})[0])

    def connect(self, port: int) -> socket.socket:
        """A connection to 127.0.0.1:``port`` in the namespace."""
        return socket.socket(fileno=self._ask({"get": "connection", "port": port})[0])

    def namespaces(self) -> list[int]:
        """Descriptors of the namespaces to enter, outermost first; the caller closes them."""
        return self._ask({"get": "namespaces"})

    def _ask(self, request: dict[str, Any]) -> list[int]:
        try:
            self._socket.send(json.dumps(request).encode())
            body, passed, _flags, _address = socket.recv_fds(self._socket, PACKET_BYTES_MAX, 4)
        except OSError as error:
            raise NetworkFailed(f"the network holder does not answer: {error}") from None
        for descriptor in passed:
            os.set_inheritable(descriptor, False)
        reply = json.loads(body) if body else {"ok": False, "error": "the network holder ended"}
        if not reply["ok"] or not passed:
            for descriptor in passed:
                os.close(descriptor)
            raise NetworkFailed(str(reply.get("error", "no descriptor")))
        return passed


def forwarded_port(qmp: Qmp, guest_port: int, address: str) -> int:
    """The port on the namespace's 127.0.0.1 that leads to the guest's ``guest_port``; made when it is not there yet."""
    for _ in range(2):
        for port, inner in _FORWARD.findall(qmp.monitor("info usernet")):
            if int(inner) == guest_port:
                return int(port)
        refusal = qmp.monitor(f"hostfwd_add net0 tcp:127.0.0.1:0-{address}:{guest_port}")
        if refusal.strip():
            raise NetworkFailed(refusal.strip())
    raise NetworkFailed(f"no way to port {guest_port} of the guest")
