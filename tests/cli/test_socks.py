"""The SOCKS5 proxy reaches instances by id or address, and nothing else."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from queue import Queue

import pytest

from amiable.cli import socks
from amiable.model.errors import LocalRefusal


class Echo:
    """A tunnel whose far end says back what it hears."""

    def __init__(self) -> None:
        self.bytes: Queue[bytes] = Queue()

    def send(self, data: bytes) -> None:
        self.bytes.put(data)

    def receive(self) -> bytes:
        return self.bytes.get()

    def close(self) -> None:
        self.bytes.put(b"")


Dial = Callable[[bytes], socket.socket]


@pytest.fixture
def dial() -> Iterator[Dial]:
    def find(host: str) -> str | None:
        return "i-0123456789abcdef0" if host in ("172.31.0.4", "i-0123456789abcdef0") else None

    def open_tunnel(instance_id: str, port: int) -> Echo:
        assert instance_id == "i-0123456789abcdef0"
        if port == 81:
            raise LocalRefusal("the instance is not yours")
        if port == 82:
            raise LocalRefusal("the instance's port 82 cannot be reached", exit_code=75)
        echo = Echo()
        if port == 83:
            echo.close()  # it ends at once
        if port == 84:
            echo.send(b"SSH-2.0-guest")
            echo.close()
        return echo

    listener = socks.bind("127.0.0.1:0")
    host, port = listener.getsockname()
    thread = threading.Thread(target=socks.serve, args=(listener,), kwargs={"find": find, "open_tunnel": open_tunnel})
    thread.start()
    opened: list[socket.socket] = []

    def connect(request: bytes) -> socket.socket:
        client = socket.create_connection((host, port), timeout=30)
        opened.append(client)
        client.sendall(b"\x05\x01\x00")
        assert client.recv(2) == b"\x05\x00"
        client.sendall(request)
        return client

    yield connect
    for client in opened:
        client.close()
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(30)
    listener.close()
    assert not thread.is_alive()


def by_name(name: str, port: int) -> bytes:
    return b"\x05\x01\x00\x03" + bytes([len(name)]) + name.encode() + struct.pack(">H", port)


def by_address(address: str, port: int) -> bytes:
    return b"\x05\x01\x00\x01" + socket.inet_aton(address) + struct.pack(">H", port)


@pytest.mark.parametrize(
    "request_", [by_name("i-0123456789abcdef0", 22), by_address("172.31.0.4", 22), by_name("172.31.0.4", 22)]
)
def test_an_instance_is_reached_by_id_and_by_address(dial: Dial, request_: bytes) -> None:
    client = dial(request_)
    assert client.recv(10)[1] == 0
    client.sendall(b"hello")
    assert client.recv(5) == b"hello"
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""


def test_anything_that_is_no_instance_is_unreachable(dial: Dial) -> None:
    assert dial(by_name("example.org", 80)).recv(10)[1] == 4
    assert dial(by_address("127.0.0.1", 80)).recv(10)[1] == 4


def test_a_refused_tunnel_is_a_failure_and_one_without_an_answer_a_refused_connection(dial: Dial) -> None:
    assert dial(by_name("172.31.0.4", 81)).recv(10)[1] == 1
    assert dial(by_name("172.31.0.4", 82)).recv(10)[1] == 5


def test_a_port_that_the_guest_does_not_serve_is_a_refused_connection(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socks, "FIRST_WORD_SECONDS", 30.0)
    client = dial(by_name("172.31.0.4", 83))
    assert client.recv(10)[1] == 5
    assert client.recv(1) == b""


def test_a_guest_that_speaks_first_and_hangs_up_is_heard_whole(dial: Dial) -> None:
    client = dial(by_name("172.31.0.4", 84))
    assert client.recv(10)[1] == 0
    heard = b""
    while data := client.recv(100):
        heard += data
    assert heard == b"SSH-2.0-guest"


def test_other_commands_and_address_kinds_are_refused(dial: Dial) -> None:
    assert dial(b"\x05\x02\x00\x01" + bytes(6)).recv(10)[1] == 7
    assert dial(b"\x05\x01\x00\x04" + bytes(18)).recv(10)[1] == 8


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("0.0.0.0:0", "loopback only"),
        ("192.0.2.1:1080", "loopback only"),
        ("example.org:1080", "no IPv4 address and port"),
        ("127.0.0.1", "no IPv4 address and port"),
        ("::1:1080", "no IPv4 address and port"),
        ("", "no IPv4 address and port"),
        ("127.0.0.1:none", "'none' is no port"),
        ("127.0.0.1:", "'' is no port"),
        ("127.0.0.1:-1", "'-1' is no port"),
        ("127.0.0.1:70000", "'70000' is no port"),
    ],
)
def test_the_proxy_listens_on_loopback_only(listen: str, said: str) -> None:
    with pytest.raises(LocalRefusal, match=said) as refused:
        socks.bind(listen)
    assert refused.value.exit_code == 2
