"""An instance's network where guests are not routed: QEMU's user network inside a namespace that a small holder process keeps (``vm/holder``).

The server side: starting the holder, and asking it for sockets that live in the namespace.  A machine that is in none (``guestfwd``)
has no holder: its metadata requests come to a socket in its directory, and nothing leads into it.
"""

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from amiable.model.hardware import NetworkKind
from amiable.rules.qemu_command import METADATA_SOCKET
from amiable.vm import process
from amiable.vm.directory import LOG, Directory
from amiable.vm.holder import QUEUE_MAX
from amiable.vm.launcher import is_readable
from amiable.vm.process import HOLDER_RECORD, Process
from amiable.vm.qmp import Qmp

READY_SECONDS_MAX: Final = 20.0
ANSWER_SECONDS_MAX: Final = 10.0
PACKET_BYTES_MAX: Final = 4096
LOOK_SECONDS: Final = 0.1

_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)\s")


class NetworkFailed(Exception):
    """The namespace could not be made, or its holder does not answer."""


def start_holder(
    directory: Directory,
    lock: int,
    log: int,
    *,
    namespaces: Sequence[int] = (),
    listener: socket.socket | None = None,
) -> Process:
    """Starts the instance's holder and waits until its namespace stands; raises NetworkFailed with its words.

    With ``namespaces`` it enters those, with ``listener`` it keeps that socket.
    """
    passed = [*namespaces, *([] if listener is None else [listener.fileno()])]
    numbers = list(range(process.PASSED, process.PASSED + len(passed)))
    what: dict[str, Any] = {
        "record": HOLDER_RECORD,
        "facts": {},
        "uid": directory.uid,
        "namespaces": numbers[: len(namespaces)],
        "listener": None if listener is None else numbers[-1],
    }
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        pid = process.spawn("amiable.vm.holder", what, directory=lock, log=log, ready=writing, passed=passed)
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


def find_holder(directory: Directory) -> Process | None:
    """The instance's live holder; None when there is none."""
    found = process.read_record(directory.descriptor, HOLDER_RECORD)
    return found if found is not None and found.is_alive() else None


def revive_holder(directory: Directory, qemu: Process, lock: int, listener: socket.socket | None = None) -> Process:
    """Starts a holder in the namespace that QEMU still holds; called with the lock held.  Raises NetworkFailed.

    ``listener`` is the namespace's metadata socket where the caller has it: what waits in its queue is not lost.
    """
    with contextlib.ExitStack() as stack:
        # as root the network namespace is the only one that was made; an ordinary user made a user namespace around it
        names = ("net",) if os.geteuid() == 0 else ("user", "net")
        descriptors = []
        for name in names:
            try:
                descriptor = os.open(f"/proc/{qemu.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise NetworkFailed(f"QEMU's {name} namespace cannot be opened: {error.strerror}") from None
            stack.callback(os.close, descriptor)
            descriptors.append(descriptor)
        if not qemu.is_alive():  # so the pid was its own all the while
            raise NetworkFailed("QEMU has ended")
        log = directory.open(LOG, os.O_WRONLY | os.O_APPEND)
        stack.callback(os.close, log)
        return start_holder(directory, lock, log, namespaces=descriptors, listener=listener)


def kind_of(qemu: Process) -> NetworkKind:
    """The kind of network that a running machine was started with."""
    return NetworkKind(qemu.facts.get("network", NetworkKind.NAMESPACE))


def metadata_listener(directory: Directory, qemu: Process) -> socket.socket:
    """The socket on which the machine's metadata connections are accepted; raises NetworkFailed."""
    if kind_of(qemu) is NetworkKind.NAMESPACE:
        with Holder(directory) as holder:
            return holder.metadata_listener()
    try:
        return _listen_in(directory)
    except OSError as error:
        raise NetworkFailed(f"no metadata socket can be made: {error.strerror}") from None


def _listen_in(directory: Directory) -> socket.socket:
    """A new socket at ``metadata.sock``, for QEMU's uid; made beside the directory and moved in, so that nothing in it is followed."""
    temp = f".{directory.path.name}.sock"
    with contextlib.ExitStack() as undo:
        parent = os.open(directory.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.callback(os.close, parent)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        failed = undo.enter_context(contextlib.ExitStack())
        failed.callback(listener.close)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp, dir_fd=parent)
        listener.bind(f"/proc/self/fd/{parent}/{temp}")
        os.chmod(temp, 0o600, dir_fd=parent)
        if directory.uid is not None:
            os.chown(temp, directory.uid, directory.uid, dir_fd=parent)
        listener.listen(QUEUE_MAX)
        os.rename(temp, METADATA_SOCKET, src_dir_fd=parent, dst_dir_fd=directory.descriptor)
        failed.pop_all()
        return listener


def _first_word(reading: int) -> bytes:
    if not is_readable(reading, READY_SECONDS_MAX):
        return b"the network holder was too slow"
    return os.read(reading, 4096)


class Holder:
    """A connection to an instance's holder; used by one thread at a time."""

    def __init__(self, directory: Directory, *, wait_seconds: float = 0.0) -> None:
        """Connects; ``wait_seconds`` for one that has died to be started again."""
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                self._socket = directory.connect("holder.sock", socket.SOCK_SEQPACKET, wait_seconds=ANSWER_SECONDS_MAX)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise NetworkFailed(f"the network holder does not answer: {error.strerror}") from None
            time.sleep(LOOK_SECONDS)
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
            body, passed, _flags, _address = socket.recv_fds(self._socket, PACKET_BYTES_MAX, 4, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise NetworkFailed(f"the network holder does not answer: {error}") from None
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
