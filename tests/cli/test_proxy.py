"""``amiable proxy`` asks the server before it says that it serves, and outlasts it."""

import socket
import struct
import threading
from contextlib import ExitStack

import pytest

from amiable.cli import socks
from amiable.cli.main import main
from amiable.services import Services
from tests.server.edge import running_edge
from tests.support.services import make_account

TARGET = b"i-0123456789abcdef0"


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
        {"AWS_ENDPOINT_URL": "", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
        {"AWS_ENDPOINT_URL": "127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
    ],
    ids=["nobody there", "no endpoint", "no URL"],
)
def test_without_a_server_it_says_what_other_commands_say(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**environment, "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    told = []
    for words in (["instance", "list"], ["proxy", "--listen", "127.0.0.1:0"]):
        told.append((main(words), capsys.readouterr()))
    assert told[0] == told[1] and told[1][1].err.startswith("error: ")


def test_a_server_that_goes_away_is_one_line_and_a_refused_connection(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, _ = make_account(services, "someone")
    bound: list[socket.socket] = []
    bind, ended = socks.bind, threading.Event()

    def kept(listen: str) -> socket.socket:
        bound.append(bind(listen))
        return bound[-1]

    def serve(listener: socket.socket, **how: socks.FindInstance) -> None:
        server.close()  # the first question was answered
        client = stack.enter_context(socket.create_connection(listener.getsockname(), timeout=120))
        thread = threading.Thread(target=serve_for_ever, args=(listener,), kwargs=how)
        thread.start()
        client.sendall(b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(TARGET)]) + TARGET + struct.pack(">H", 22))
        assert client.recv(2) == b"\x05\x00"
        assert client.recv(10)[1] == 1
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(120)
        ended.set()

    serve_for_ever = socks.serve
    monkeypatch.setattr(socks, "bind", kept)
    monkeypatch.setattr(socks, "serve", serve)
    with ExitStack() as stack, ExitStack() as server:
        server.enter_context(running_edge(services, account)).speak_in(monkeypatch)
        assert main(["proxy", "--listen", "127.0.0.1:0"]) == 0
    assert ended.is_set()
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"{TARGET.decode()}:22: Could not connect to the endpoint URL")
