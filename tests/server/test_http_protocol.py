"""Raw connections: how long one may take to a whole head, and what one above the limit is told."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from amiable.api.accounts import NewAccount
from amiable.server.http_protocol import HttpProtocol, is_short
from amiable.services import Services
from tests.server.edge import Edge, running_edge

HEAD_SECONDS = 0.5
WAIT_SECONDS = 20.0
GET = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"


class Impatient(HttpProtocol):
    """With a wait that a test can outlast."""

    head_seconds_max = HEAD_SECONDS


class Turning(HttpProtocol):
    """Impatient from its second head on: a test takes the time that it takes to send the first."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.head_seconds_max = HEAD_SECONDS


class Recorded:
    """A connection's transport that remembers each write."""

    def __init__(self, transport: Any, writes: list[bytes]) -> None:
        self._transport = transport
        self._writes = writes

    def write(self, data: bytes) -> None:
        self._writes.append(bytes(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@pytest.fixture
def edge(services: Services, administrator: NewAccount) -> Iterator[Edge]:
    with running_edge(services, administrator, http=Turning, timeout_keep_alive=75) as edge:
        yield edge


@pytest.fixture
def impatient(services: Services, administrator: NewAccount) -> Iterator[Edge]:
    with running_edge(services, administrator, http=Impatient) as edge:
        yield edge


def connect(edge: Edge) -> socket.socket:
    return socket.create_connection(("127.0.0.1", edge.port), timeout=WAIT_SECONDS)


def answer(connection: socket.socket) -> bytes:
    """One answer of ``/health``, whole."""
    got = b""
    while b'"ok"}' not in got:
        chunk = connection.recv(65536)
        assert chunk, got
        got += chunk
    return got


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHost:", b"POST / HT"])
def test_a_connection_without_a_whole_head_is_closed(impatient: Edge, sent: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(sent)
        assert connection.recv(1) == b""


def test_a_head_that_trickles_is_cut_off_all_the_same(impatient: Edge) -> None:
    with connect(impatient) as connection:
        begun, has_begun = time.monotonic(), False
        with pytest.raises(OSError):
            while time.monotonic() < begun + WAIT_SECONDS:
                connection.sendall(b"X-A: b\r\n" if has_begun else b"GET / HTTP/1.1\r\n")
                has_begun = True
                time.sleep(HEAD_SECONDS / 10)
        assert time.monotonic() < begun + WAIT_SECONDS


@pytest.mark.parametrize("sent", [b"\r\n", b"GET /hea"])
def test_the_next_head_of_a_kept_connection_is_bounded_too(edge: Edge, sent: bytes) -> None:
    with connect(edge) as connection:
        connection.sendall(GET)
        answer(connection)
        connection.sendall(sent)
        assert connection.recv(1) == b""


def test_an_idle_kept_connection_outlasts_the_wait_for_a_head(edge: Edge) -> None:
    with connect(edge) as connection:
        for _ in range(2):
            connection.sendall(GET)
            assert answer(connection).startswith(b"HTTP/1.1 200")
            time.sleep(HEAD_SECONDS * 3)
        connection.sendall(GET + GET[:9])
        assert answer(connection).startswith(b"HTTP/1.1 200")
        assert connection.recv(1) == b""


def test_a_body_may_take_longer_than_a_head(edge: Edge) -> None:
    with connect(edge) as connection:
        connection.sendall(GET)
        answer(connection)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n")
        time.sleep(HEAD_SECONDS * 3)
        connection.sendall(b"ab")
        assert answer(connection).startswith(b"HTTP/1.1 200")


def test_idle_connections_give_their_places_back(services: Services, administrator: NewAccount) -> None:
    is_over = threading.Event()

    class Held(Impatient):
        """Gives up when the test says so."""

        def _give_up(self) -> None:
            if is_over.is_set():
                super()._give_up()
            else:
                self._disarm()
                self._arm()

    with running_edge(services, administrator, http=Held, limit_concurrency=4) as edge, ExitStack() as held:
        idle = [held.enter_context(connect(edge)) for _ in range(6)]
        assert edge.send("GET", "/health").status == 503
        is_over.set()
        for connection in idle:
            assert connection.recv(1) == b""
        is_over.clear()
        assert edge.send("GET", "/health").status == 200


def test_one_connection_too_many_is_told_so_in_its_services_words(
    services: Services, administrator: NewAccount
) -> None:
    with running_edge(services, administrator, limit_concurrency=1) as edge:
        ec2, s3 = edge.send("POST", "/", b"Action=DescribeRegions"), edge.send("GET", "/bucket/key")
    for told, code in (
        (ec2, "<Errors><Error><Code>Unavailable</Code>"),
        (s3, "<Error><Code>ServiceUnavailable</Code>"),
    ):
        assert told.status == 503 and told.headers["connection"] == "close"
        assert code in told.text and "more connections" in told.text


@pytest.mark.parametrize("ending", ["keep-alive", "close"])
def test_head_and_body_of_a_short_answer_leave_in_one_write(
    services: Services, administrator: NewAccount, ending: str
) -> None:
    writes: list[bytes] = []

    class Recording(HttpProtocol):
        def connection_made(self, transport: Any) -> None:
            recorded: Any = Recorded(transport, writes)
            super().connection_made(recorded)

    with running_edge(services, administrator, http=Recording) as edge, connect(edge) as connection:
        for _ in range(2 if ending == "keep-alive" else 1):
            connection.sendall(GET.replace(b"Host: here", f"Host: here\r\nConnection: {ending}".encode()))
            answer(connection)
        if ending == "close":
            assert connection.recv(1) == b""
    assert len(writes) == (2 if ending == "keep-alive" else 1)
    assert all(each.startswith(b"HTTP/1.1 200") and each.endswith(b'"ok"}') for each in writes)


def test_a_long_answer_is_not_held_for_its_head() -> None:
    start = {"type": "http.response.start", "headers": [(b"content-length", b"65537")]}
    assert not is_short(start)
    assert not is_short({"type": "http.response.start", "headers": []})
    assert is_short(start | {"headers": [(b"content-length", b"65536")]})
