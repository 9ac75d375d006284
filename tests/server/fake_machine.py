"""A machine that is this very process: a monitor that knows its forwarded ports, a holder that connects, and no guest but the test."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.vm import holder
from amiable.vm.process import QEMU_RECORD, identity_of
from tests.api.ec2.launching import make_image, run_one

END_SECONDS_MAX = 30
PACKET_BYTES_MAX = 4096


def running_instance(services: Services, principal: Principal, **facts: str | int) -> str:
    """A running instance whose record names this process."""
    instance_id = run_one(services, principal, make_image(services, principal))
    with services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=services.now())
    folder = services.data / "instances" / instance_id
    folder.mkdir(mode=0o700)
    record = asdict(identity_of(os.getpid())) | facts
    (folder / QEMU_RECORD).write_text(json.dumps(record))
    return instance_id


@contextlib.contextmanager
def fake_machine(folder: Path, ports: dict[int, int]) -> Iterator[None]:
    """Answers on ``folder``'s monitor and holder sockets; ``ports``: the guest's port → one on 127.0.0.1."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(folder, "qmp.sock", socket.SOCK_STREAM, lambda it: _monitor(it, ports)))
        stack.enter_context(serving(folder, "holder.sock", socket.SOCK_SEQPACKET, _hold))
        yield


@contextlib.contextmanager
def serving(folder: Path, name: str, kind: int, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    """A UNIX socket in ``folder``, each of whose connections ``talk`` has in a thread of its own."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX, kind)
    threads: list[threading.Thread] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(threading.Thread(target=_talk, args=(talk, client)))
                threads[-1].start()

    try:
        listener.bind(f"/proc/self/fd/{descriptor}/{name}")
        listener.listen()
        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield
        finally:  # a test that failed, too, leaves no thread that waits for ever
            listener.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(END_SECONDS_MAX)
            assert not thread.is_alive()
    finally:
        listener.close()
        os.close(descriptor)


def _talk(talk: Callable[[socket.socket], None], client: socket.socket) -> None:
    with client, contextlib.suppress(OSError):
        talk(client)


def _monitor(client: socket.socket, ports: dict[int, int]) -> None:
    client.sendall(b'{"QMP": {}}\n')
    with client.makefile("rb") as lines:
        for line in lines:
            asked = json.loads(line).get("arguments", {}).get("command-line", "")
            told = "could not set up host forwarding rule" if asked.startswith("hostfwd_add") else ""
            if asked == "info usernet":
                rows = (
                    f"TCP[HOST_FORWARD] 12 127.0.0.1 {ours} 172.31.0.4 {theirs} 0 0" for theirs, ours in ports.items()
                )
                told = "\r\n".join(rows)
            client.sendall(json.dumps({"return": told}).encode() + b"\n")


def _hold(client: socket.socket) -> None:
    with socket.socket() as listener:
        while packet := client.recv(PACKET_BYTES_MAX):
            body, passed = holder.answer(packet, listener, [])
            socket.send_fds(client, [json.dumps(body).encode()], passed)
            for descriptor in passed:
                os.close(descriptor)


@contextlib.contextmanager
def far_end(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A program that listens in the guest, on one connection after another; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(END_SECONDS_MAX)
                    talk(client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(END_SECONDS_MAX)
        listener.close()
        assert not thread.is_alive()
