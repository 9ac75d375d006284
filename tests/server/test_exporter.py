"""The exporter inside: what it answers on its control socket, and its bounds."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amiable.server import exporter, exporter_log
from amiable.server.exporter import Exporter, bind, serve_control
from amiable.server.exporter_log import Log

SECONDS_MAX = 60


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory's folders."""
    for name in ("exporter", "exports", "packs"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def inside(data: Path) -> Iterator[Exporter]:
    """An exporter in this process, with its control socket."""
    made = Exporter(data, Log(data / "exporter" / "log"))
    listener = bind(data / "exporter" / "c", mode=0o600)
    thread = threading.Thread(target=serve_control, args=(listener, made))
    thread.start()
    yield made
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()
    made.close()


def say(data: Path, *lines: bytes) -> list[dict[str, object]]:
    """The answers to lines sent over one connection."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS_MAX)
        client.connect(str(data / "exporter" / "c"))
        with client.makefile("rwb") as stream:
            answers = []
            for line in lines:
                stream.write(line + b"\n")
                stream.flush()
                answers.append(json.loads(stream.readline()))
            return answers


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"do": "fly"}',
        b'{"volume": "vol-1"}',
        b'{"do": "add", "volume": "vol-1"}',
        b'{"do": "add", "volume": "vol-1", "map": "/m", "socket": "/s", "uid": "0"}',
        b'{"do": "remove", "volume": "vol-1", "more": 1}',
        b"x" * 1000,
    ],
)
def test_a_line_that_is_no_request_is_answered_and_the_next_one_is_heard(
    inside: Exporter, data: Path, line: bytes
) -> None:
    wrong, right = say(data, line, b'{"do": "ping"}')
    assert wrong["ok"] is False and wrong["error"]
    assert right == {"ok": True, "pid": os.getpid(), "exports": 0}


def test_a_size_or_name_out_of_bounds_is_refused(inside: Exporter, data: Path) -> None:
    good = {"do": "add", "volume": "vol-1", "map": str(data / "exports" / "m"), "socket": str(data / "s"), "uid": 0}
    for change in (
        {"size_bytes": -1},
        {"size_bytes": 1 << 63},
        {"uid": -1},
        {"volume": ""},
        {"socket": "/"},
        {"volume": "a/b"},
    ):
        (answer,) = say(data, json.dumps({**good, **change}).encode())
        assert answer["ok"] is False, change
    assert say(data, b'{"do": "list"}') == [{"ok": True, "exports": []}]


def test_more_control_connections_than_places_wait_and_are_served(inside: Exporter, data: Path) -> None:
    held = []
    for _ in range(exporter.CONTROL_CONNECTIONS_MAX):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(data / "exporter" / "c"))
        held.append(client)
    timer = threading.Timer(0.3, lambda: [client.close() for client in held])
    timer.start()
    assert say(data, b'{"do": "ping"}')[0]["ok"] is True
    timer.join()


def test_an_exporter_with_nothing_to_do_is_idle_after_a_while_and_answers_no_more(inside: Exporter, data: Path) -> None:
    inside.busy_until = time.monotonic() - 1
    say(data, b'{"do": "ping"}')
    assert not inside.is_idle()
    inside.busy_until = time.monotonic() - 1
    assert inside.is_idle()
    with pytest.raises(json.JSONDecodeError):  # the connection was closed without an answer
        say(data, b'{"do": "ping"}')
    assert inside.is_idle()


def test_a_record_that_cannot_be_read_starts_an_empty_exporter(data: Path) -> None:
    for body in (
        b"",
        b"{",
        b'[{"volume": 1}]',
        json.dumps([{"do": "add", "volume": "v", "map": "/no", "socket": "/no/s", "uid": 1}]).encode(),
    ):
        (data / "exporter" / "exports.json").write_bytes(body)
        made = Exporter(data, Log(data / "exporter" / "log"))
        made.restore()
        assert made.answer(exporter.List()) == {"exports": []}
        made.close()
    text = (data / "exporter" / "log").read_text()
    assert "exports.json cannot be read" in text and "v cannot be exported again" in text


def test_the_log_is_bounded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_log, "LOG_BYTES_MAX", 1000)
    log = Log(data / "exporter" / "log")
    for number in range(100):
        log.write(f"line {number}")
    kept = [(data / "exporter" / name).read_text() for name in ("log", "log.1")]
    assert all(len(text) < 1100 for text in kept)
    assert kept[0].endswith("line 99\n")
    assert (data / "exporter" / "log").stat().st_mode & 0o777 == 0o600
