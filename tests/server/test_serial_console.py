"""The serial console's line: who may look, what each viewer sees, and that nobody who looks can hold up the guest."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from amiable.cli.tunnel import Tunnel, open_tunnel
from amiable.database import consoles
from amiable.model.errors import LocalRefusal
from amiable.model.principal import Principal
from amiable.server import serial_console
from amiable.server.serial_console import LOST, QUEUE_BYTES_MAX, VIEWERS_MAX, Line, Viewer
from tests.server.edge import Edge, running_edge
from tests.server.fake_machine import running_instance, serving
from tests.support.journey import wait_until
from tests.support.services import make_account, open_services

WAIT_SECONDS = 60


class Guest:
    """The far end of the serial port: what it hears, and a way to speak."""

    def __init__(self) -> None:
        self.heard = b""
        self.news = threading.Condition()
        self.connections: list[socket.socket] = []

    def talk(self, connection: socket.socket) -> None:
        with self.news:
            self.connections.append(connection)
            self.news.notify_all()
        while data := connection.recv(65536):
            with self.news:
                self.heard += data
                self.news.notify_all()

    def speak(self, text: bytes) -> None:
        self.wait_for(lambda: bool(self.connections))
        self.connections[-1].settimeout(WAIT_SECONDS)
        self.connections[-1].sendall(text)

    def wait_for(self, is_so: Any) -> None:
        with self.news:
            assert self.news.wait_for(is_so, WAIT_SECONDS)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with open_services(tmp_path / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture
def place(edge: Edge) -> Iterator[tuple[Edge, str, Guest]]:
    principal = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    instance_id = running_instance(edge.services, principal)
    with edge.services.database.write() as c:
        consoles.enable_serial_console(c, principal.account_id, "us-east-1", is_enabled=True)
    guest = Guest()
    folder = edge.services.data / "instances" / instance_id
    with serving(folder, "serial.sock", socket.SOCK_STREAM, guest.talk):
        yield edge, instance_id, guest


def look(edge: Edge, instance_id: str, region: str = "us-east-1") -> Tunnel:
    credentials = Credentials(edge.account.access_key_id, edge.account.secret)
    return open_tunnel(edge.endpoint, credentials, region, instance_id, "console")


def read(viewer: Tunnel, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        data = viewer.receive()
        assert data, seen[-200:]
        seen += data
    return seen


def refused(edge: Edge, instance_id: str) -> str:
    with pytest.raises(LocalRefusal) as caught:
        look(edge, instance_id)
    return caught.value.message


def test_all_viewers_see_the_guest_and_each_may_type(place: tuple[Edge, str, Guest]) -> None:
    edge, instance_id, guest = place
    (edge.services.data / "instances" / instance_id / "console.log").write_bytes(b"login: ")
    with look(edge, instance_id) as first, look(edge, instance_id) as second:
        for viewer in (first, second):
            read(viewer, b"login: ")
        guest.speak(b"hello, both\r\n")
        for viewer in (first, second):
            read(viewer, b"hello, both")
        first.send(b"ro")
        guest.wait_for(lambda: guest.heard == b"ro")
        second.send(b"ot\r")
        guest.wait_for(lambda: guest.heard == b"root\r")
    assert len(guest.connections) == 1, "QEMU takes one client"


def test_a_viewer_that_does_not_read_holds_up_neither_the_guest_nor_others(place: tuple[Edge, str, Guest]) -> None:
    edge, instance_id, guest = place
    with look(edge, instance_id), look(edge, instance_id) as reader:
        seen: list[bytes] = []
        reading = threading.Thread(target=lambda: seen.append(read(reader, b"the end")))
        reading.start()
        for _ in range(512):
            guest.speak(b"x" * 65536)  # 32 MiB: more than sockets and queues of the silent viewer hold
        guest.speak(b"the end")
        reading.join(WAIT_SECONDS)
        assert seen and not reading.is_alive()


def test_the_last_viewer_to_leave_lets_the_port_go_and_the_next_one_takes_it(place: tuple[Edge, str, Guest]) -> None:
    edge, instance_id, guest = place
    for count in (1, 2):
        with look(edge, instance_id) as viewer:
            guest.wait_for(lambda count=count: len(guest.connections) == count)
            guest.speak(b"here\n")
            read(viewer, b"here")
        wait_until("the line to be let go", lambda: not serial_console._lines or None, WAIT_SECONDS)


def test_the_end_of_the_machine_ends_the_console(place: tuple[Edge, str, Guest]) -> None:
    edge, instance_id, guest = place
    with look(edge, instance_id) as viewer:
        guest.speak(b"bye\n")
        read(viewer, b"bye")
        guest.connections[-1].shutdown(socket.SHUT_RDWR)
        assert viewer.receive() == b""


def test_so_many_may_look_and_no_more(place: tuple[Edge, str, Guest]) -> None:
    edge, instance_id, _guest = place
    with contextlib.ExitStack() as stack:
        for _ in range(VIEWERS_MAX):
            stack.enter_context(look(edge, instance_id))
        assert refused(edge, instance_id) == (
            f"SerialConsoleSessionLimitExceededException: The serial console of '{instance_id}' has {VIEWERS_MAX} viewers already."
        )


def test_an_account_must_have_switched_it_on_and_ends_it_by_switching_it_off(place: tuple[Edge, str, Guest]) -> None:
    edge, instance_id, _guest = place
    ec2 = edge.client("ec2")
    try:
        with look(edge, instance_id) as viewer:
            ec2.disable_serial_console_access()
            assert viewer.receive() == b""
        assert refused(edge, instance_id) == (
            "SerialConsoleAccessDisabledException: Your account is not authorized to use the EC2 Serial Console. To authorize your "
            "account, run the EnableSerialConsoleAccess API."
        )
    finally:
        ec2.close()


def test_what_is_not_the_callers_running_instance_is_refused(place: tuple[Edge, str, Guest]) -> None:
    edge, instance_id, _guest = place
    assert refused(edge, "i-12345678") == "InvalidInstanceID.NotFound: The instance ID 'i-12345678' does not exist"
    assert "Invalid id" in refused(edge, "i-x")
    (edge.services.data / "instances" / instance_id / "serial.sock").unlink()
    assert "cannot be reached" in refused(edge, instance_id)
    assert not serial_console._lines


def test_a_lagging_viewer_loses_the_oldest_and_is_told() -> None:
    import asyncio

    async def lag() -> bytes:
        viewer = Viewer()
        for number in range(1000):
            viewer.put(b"%06d" % number + b"x" * 1018)
        return await viewer.get()

    found = asyncio.run(lag())
    assert found.startswith(LOST) and found.endswith(b"000999" + b"x" * 1018)
    assert QUEUE_BYTES_MAX - 2048 < len(found) <= QUEUE_BYTES_MAX + len(LOST)


def test_who_comes_while_the_last_viewer_leaves_gets_a_line_that_lasts(tmp_path: Path) -> None:
    with open_services(tmp_path / "data") as services:
        account, _ = make_account(services, "viewer")
        principal = Principal(account.account_id, account.access_key_id, services.settings.region)
        instance = running_instance(services, principal)
        guest = Guest()

        async def scene() -> None:
            line, viewer = Line(services, instance), Viewer()
            line.viewers.append(viewer)
            await line.opened()
            leaving = asyncio.ensure_future(line.leave(viewer))
            await asyncio.sleep(0)
            other, late = serial_console._lines.get(instance) or Line(services, instance), Viewer()
            other.viewers.append(late)
            await other.opened()
            await leaving
            assert other is not line and serial_console._lines[instance] is other and not late.is_over
            await other.leave(late)

        with serving(services.data / "instances" / instance, "serial.sock", socket.SOCK_STREAM, guest.talk):
            asyncio.run(scene())
    assert instance not in serial_console._lines
