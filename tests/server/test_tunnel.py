"""A tunnel over a real port: who is refused, with what, and how the bytes of both ends come and end."""

import hashlib
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from amiable.api.accounts import NewAccount
from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.server import tunnel
from amiable.services import Services
from amiable.vm.process import QEMU_RECORD
from tests.server.edge import Edge, running_edge
from tests.server.fake_machine import END_SECONDS_MAX, fake_machine, far_end, running_instance
from tests.support.journey import wait_until
from tests.support.services import make_account, open_services

MIB = 1 << 20
BIG_BYTES = 24 * MIB
UNKNOWN = "i-0123456789abcdef0"


@dataclass
class Clock:
    """The server's clock: the real one, and what the test adds to it."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Place:
    """An edge with one running instance, an account that owns it and one that does not."""

    edge: Edge
    clock: Clock
    owner: NewAccount
    stranger: NewAccount
    principal: Principal
    instance_id: str
    said: "list[str]" = field(default_factory=list)

    @property
    def services(self) -> Services:
        return self.edge.services

    def url(self, instance_id: str | None = None, *, port: str = "22", who: NewAccount | None = None) -> str:
        """The presigned URL."""
        account = who or self.owner
        path = f"{self.edge.endpoint}/amiable/v1/instances/{instance_id or self.instance_id}/tunnel?port={port}"
        request = AWSRequest("GET", path)
        SigV4QueryAuth(Credentials(account.access_key_id, account.secret), "amiable", "us-east-1", expires=60).add_auth(
            request
        )
        return "ws" + str(request.url).removeprefix("http")

    def knock(self, url: str) -> tuple[int, str, str]:
        """Status, code and message of a refusal."""
        with pytest.raises(InvalidStatus) as refused, opened(url):
            pass
        told: dict[str, Any] = json.loads(refused.value.response.body)
        return refused.value.response.status_code, told["Code"], told["Message"]


@contextmanager
def opened(url: str) -> Iterator[ClientConnection]:
    with connect(url, open_timeout=END_SECONDS_MAX, max_size=MIB, compression=None, proxy=None) as websocket:
        yield websocket


class Ear(logging.Handler):
    """What uvicorn complains of."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    clock = Clock()
    with open_services(tmp_path / "data", clock=clock) as services:
        owner, principal = make_account(services, "owner")
        stranger, _ = make_account(services, "stranger")
        instance_id = running_instance(services, principal)
        with running_edge(services, owner) as edge:
            here = Place(edge, clock, owner, stranger, principal, instance_id)
            ear = Ear(here.said)
            logging.getLogger("uvicorn.error").addHandler(ear)
            yield here
            logging.getLogger("uvicorn.error").removeHandler(ear)


@pytest.fixture(autouse=True)
def _quiet(place: Place) -> Iterator[None]:
    """No tunnel, refused or not, is a reason for uvicorn to complain; and each is counted out again."""
    yield
    # The server learns of a client that vanished a moment after the far end did.
    wait_until("every tunnel to be counted out", lambda: tunnel._open == 0 or None, END_SECONDS_MAX)
    assert place.said == []


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "port",
    ["0", "65536", "-1", "ssh", "", "22x", "٢٢", "99999999999999999999", pytest.param("1" * 4400, id="4400 digits")],
)
def test_a_port_that_is_none_is_refused(place: Place, port: str) -> None:
    status, code, message = place.knock(place.url(port=port))
    assert (status, code) == (400, "InvalidParameterValue") and "port" in message


def test_an_unknown_instance_and_anothers_are_refused_with_the_same_words(place: Place) -> None:
    unknown = place.knock(place.url(UNKNOWN))
    foreign = place.knock(place.url(who=place.stranger))
    assert unknown[:2] == foreign[:2] == (400, "InvalidInstanceID.NotFound")
    assert unknown[2].replace(UNKNOWN, "") == foreign[2].replace(place.instance_id, "")


def test_an_id_that_is_none_is_refused_as_malformed(place: Place) -> None:
    assert place.knock(place.url("i-1"))[:2] == (400, "InvalidInstanceID.Malformed")


def test_an_instance_that_does_not_run_is_refused(place: Place) -> None:
    with place.services.database.write() as c:
        instances.set_state(c, place.instance_id, Event.STOP_ASKED, now=place.services.now())
    assert place.knock(place.url())[:2] == (400, "IncorrectInstanceState")


def test_a_request_without_a_signature_is_refused(place: Place) -> None:
    assert place.knock(place.url().split("?")[0] + "?port=22")[:2] == (401, "AuthFailure")


def test_a_signature_that_has_expired_is_refused(place: Place) -> None:
    url = place.url()
    place.clock.ahead = timedelta(seconds=90)
    status, code, message = place.knock(url)
    assert (status, code) == (401, "AuthFailure") and "expired" in message


def test_a_machine_that_has_just_ended_is_said_to_have(place: Place) -> None:
    (place.services.data / "instances" / place.instance_id / QEMU_RECORD).unlink()
    assert place.knock(place.url())[0] == 503


def test_a_machine_without_a_holder_is_unavailable_after_a_bounded_wait(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "HOLDER_SECONDS_MAX", 0.2)
    folder = place.services.data / "instances" / place.instance_id
    with fake_machine(folder, {22: 1}):
        (folder / "holder.sock").unlink()
        status, _, message = place.knock(place.url())
    assert status == 503 and "holder does not answer" in message


def test_a_machine_in_no_namespace_says_that_nothing_leads_into_it(place: Place) -> None:
    other = running_instance(place.services, place.principal, network="guestfwd")
    status, code, message = place.knock(place.url(other))
    assert (status, code) == (400, "UnsupportedOperation") and "no network namespace" in message


def test_a_port_that_cannot_be_forwarded_and_one_where_nobody_listens_are_unavailable(place: Place) -> None:
    folder = place.services.data / "instances" / place.instance_id
    with socket.socket() as taken, ExitStack() as stack:
        taken.bind(("127.0.0.1", 0))  # and not listened on
        stack.enter_context(fake_machine(folder, {22: taken.getsockname()[1]}))
        assert "could not set up host forwarding" in place.knock(place.url(port="81"))[2]
        status, _, message = place.knock(place.url())
        assert status == 503 and "refused" in message


def test_there_are_not_more_tunnels_at_once_than_the_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "TUNNELS_MAX", 1)
    with machine(place, lambda guest: guest.recv(1)), opened(place.url()):
        status, _, message = place.knock(place.url())
        assert status == 503 and "1 tunnels" in message


# ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def machine(place: Place, talk: Any) -> Iterator[None]:
    with ExitStack() as stack:
        port = stack.enter_context(far_end(talk))
        stack.enter_context(fake_machine(place.services.data / "instances" / place.instance_id, {22: port}))
        yield


def everything(websocket: ClientConnection) -> bytes:
    parts = []
    try:
        while True:
            message = websocket.recv(END_SECONDS_MAX)
            assert isinstance(message, bytes)
            parts.append(message)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None and closed.rcvd.code == 1000
    return b"".join(parts)


def test_what_the_far_end_said_before_it_closed_arrives_and_the_tunnel_ends(place: Place) -> None:
    with machine(place, lambda guest: guest.sendall(b"SSH-2.0-gone\r\n")), opened(place.url()) as websocket:
        assert everything(websocket) == b"SSH-2.0-gone\r\n"


def test_a_client_that_closes_ends_the_connection_to_the_guest(place: Place) -> None:
    heard: Queue[bytes] = Queue()

    def talk(guest: socket.socket) -> None:
        while data := guest.recv(100):
            heard.put(data)
        heard.put(b"")

    with machine(place, talk):
        with opened(place.url()) as websocket:
            websocket.send(b"one")
            assert heard.get(timeout=END_SECONDS_MAX) == b"one"
        assert heard.get(timeout=END_SECONDS_MAX) == b""


def test_a_client_that_vanishes_ends_the_connection_to_the_guest(place: Place) -> None:
    ended = threading.Event()

    def talk(guest: socket.socket) -> None:
        assert guest.recv(1) == b""
        ended.set()

    with machine(place, talk), opened(place.url()) as websocket:
        websocket.socket.shutdown(socket.SHUT_RDWR)
        assert ended.wait(END_SECONDS_MAX)


def test_a_text_message_ends_the_tunnel(place: Place) -> None:
    with machine(place, lambda guest: guest.recv(1)), opened(place.url()) as websocket:
        websocket.send("words")
        assert everything(websocket) == b""


def test_much_goes_both_ways_at_once_and_a_half_close_loses_nothing(place: Place) -> None:
    ours, theirs = os.urandom(BIG_BYTES), os.urandom(BIG_BYTES)
    digest = hashlib.sha256(ours).hexdigest().encode()

    def talk(guest: socket.socket) -> None:
        sending = threading.Thread(target=guest.sendall, args=(theirs,))
        sending.start()
        told = hashlib.sha256()
        while data := guest.recv(MIB):
            told.update(data)
        sending.join(END_SECONDS_MAX)
        guest.sendall(told.hexdigest().encode())  # after our half was closed

    def send(websocket: ClientConnection) -> None:
        for start in range(0, BIG_BYTES, 64 * 1024):
            websocket.send(ours[start : start + 64 * 1024])
        websocket.send(b"")

    with machine(place, talk), opened(place.url()) as websocket:
        sending = threading.Thread(target=send, args=(websocket,))
        sending.start()
        received = everything(websocket)
        sending.join(END_SECONDS_MAX)
    assert received == theirs + digest


def test_a_client_that_does_not_read_holds_the_guest_back_and_loses_nothing(place: Place) -> None:
    theirs = os.urandom(BIG_BYTES)
    sent = threading.Event()

    def talk(guest: socket.socket) -> None:
        guest.sendall(theirs)
        sent.set()

    with machine(place, talk), opened(place.url()) as websocket:
        assert not sent.wait(1.0)  # nobody keeps it all in memory
        assert everything(websocket) == theirs
        assert sent.is_set()


def test_a_guest_that_takes_nothing_more_does_not_hold_the_tunnel_for_ever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "IDLE_SECONDS_MAX", 0.5)
    may_end = threading.Event()

    def send(websocket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while not may_end.is_set():
                websocket.send(bytes(64 * 1024))

    with machine(place, lambda _: may_end.wait(2 * END_SECONDS_MAX)), opened(place.url()) as websocket:
        sending = threading.Thread(target=send, args=(websocket,))
        sending.start()
        try:
            wait_until("the tunnel ends", lambda: tunnel._open == 0 or None, END_SECONDS_MAX)
        finally:
            may_end.set()
            with suppress(OSError):  # closed already
                websocket.socket.shutdown(socket.SHUT_RDWR)
            sending.join(END_SECONDS_MAX)
