"""The exporter inside: what it answers on its control socket, and its bounds."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from amiable.blocks import nbd
from amiable.blocks.export_map import encode_map
from amiable.blocks.unix_socket import bind
from amiable.server import exported_volume, exporter, exporter_log
from amiable.server.export_requests import Add, Ping, Remove
from amiable.server.exported_volume import Exported
from amiable.server.exporter import Ending, Exporter, serve_control
from amiable.server.exporter_log import Log
from tests.support.exporters import exported_volumes

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
    assert exported_volumes(data) == [] and say(data, b'{"do": "ping"}')[0]["exports"] == 0


def test_more_control_connections_than_places_wait_and_are_served(inside: Exporter, data: Path) -> None:
    held = []
    for _ in range(exporter.CONTROL_CONNECTIONS_MAX):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(data / "exporter" / "c"))
        held.append(client)

    def let_go() -> None:
        for client in held:
            client.close()

    timer = threading.Timer(0.3, let_go)
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


def test_one_volume_that_is_slow_to_open_or_to_close_holds_up_no_other(
    inside: Exporter, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two slow ones are let go on only when the others have been served, asked about and taken away."""
    is_at_it, may_go_on = threading.Semaphore(0), threading.Event()

    def slow(name: str) -> None:
        if name.startswith("slow"):
            is_at_it.release()
            assert may_go_on.wait(SECONDS_MAX)

    opened, closed = Exported.__init__, Exported.close

    def opens(self: Exported, what: Add, *more: Any) -> None:
        slow(f"{what.volume}-opening")
        opened(self, what, *more)

    def closes(self: Exported) -> None:
        closed(self)
        slow(self.what.volume.removeprefix("was-"))

    for name in ("slow", "was-slow", "quick"):
        (data / "exports" / name).write_bytes(encode_map(1 << 20, []))
    add(inside, data, "was-slow")
    monkeypatch.setattr(Exported, "__init__", opens)
    monkeypatch.setattr(Exported, "close", closes)
    with ThreadPoolExecutor(2) as others:
        try:
            opening = others.submit(add, inside, data, "slow")
            closing = others.submit(inside.answer, Remove("was-slow"))
            assert all(is_at_it.acquire(timeout=SECONDS_MAX) for _ in range(2))
            inside.busy_until = time.monotonic() - 1
            assert not inside.is_idle(), "it has work"
            add(inside, data, "quick")
            assert exported_volumes(data) == ["quick"]
            inside.answer(Remove("quick"))
        finally:
            may_go_on.set()
        assert (opening.result(SECONDS_MAX), closing.result(SECONDS_MAX)) == ({}, {})
    (kept,) = json.loads((data / "exporter" / "exports.json").read_bytes())
    assert kept["volume"] == "slow"


def test_what_was_being_opened_when_the_exporter_ended_is_not_kept_and_takes_no_other_from_the_record(
    inside: Exporter, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (data / "exports" / name).write_bytes(encode_map(1 << 20, []))
    add(inside, data, "one")
    opened = Exported.__init__

    def opens(self: Exported, *about: Any) -> None:
        opened(self, *about)
        inside.close()

    monkeypatch.setattr(Exported, "__init__", opens)
    with pytest.raises(Ending):
        add(inside, data, "two")
    (kept,) = json.loads((data / "exporter" / "exports.json").read_bytes())
    assert kept["volume"] == "one" and not (data / "two.nbd").exists()


def add(inside: Exporter, data: Path, volume: str) -> dict[str, Any]:
    """Asks for an export of the map of this name."""
    return inside.answer(Add(volume, str(data / "exports" / volume), str(data / f"{volume}.nbd"), os.geteuid()))


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
        assert made.answer(Ping())["exports"] == 0
        made.close()
    text = (data / "exporter" / "log").read_text()
    assert "exports.json cannot be read" in text and "v cannot be exported again" in text


def test_a_thread_that_fails_is_told_in_the_log(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(data / "exporter" / "log")
    monkeypatch.setattr(threading, "excepthook", log.write_failure)

    def fail() -> None:
        raise ValueError("odd\r\n2026 \x1b[2J")

    thread = threading.Thread(target=fail, name="nbd vol-1")
    thread.start()
    thread.join()
    first, *rest = (data / "exporter" / "log").read_text().splitlines()
    assert first.endswith(" ERROR amiable.exporter: nbd vol-1 failed: ValueError: odd??2026 ?[2J")
    assert "Traceback" in rest[0] and all(line.startswith("  ") and line.isprintable() for line in rest)


def test_a_log_that_cannot_be_made_anew_is_written_on(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_log, "LOG_BYTES_MAX", 10)
    log = Log(data / "exporter" / "log")
    log.write("first")
    with monkeypatch.context() as full:
        full.setattr(os, "open", refuse)
        log.write("lost")
    log.write("second")
    log.write("third")
    assert [(data / "exporter" / name).read_text()[-7:-1] for name in ("log", "log.1")] == [" third", "second"]


def refuse(*_: object) -> int:
    raise OSError(24, "Too many open files")


def test_the_log_is_bounded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_log, "LOG_BYTES_MAX", 1000)
    log = Log(data / "exporter" / "log")
    for number in range(100):
        log.write(f"line {number}")
    kept = [(data / "exporter" / name).read_text() for name in ("log", "log.1")]
    assert all(len(text) < 1100 for text in kept)
    assert kept[0].endswith("line 99\n")
    assert (data / "exporter" / "log").stat().st_mode & 0o777 == 0o600


def test_what_a_read_that_does_not_end_holds_of_a_volume_is_let_go_with_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported_volume, "DRAIN_SECONDS_MAX", 0.1)
    begun, may_end = threading.Event(), threading.Event()

    def serve(_connection: socket.socket, _export: object) -> None:
        begun.set()
        assert may_end.wait(SECONDS_MAX)

    monkeypatch.setattr(nbd, "serve", serve)
    (data / "exports" / "vol-1").write_bytes(encode_map(1 << 20, []))
    cache = data / "exports" / "vol-1.cache"
    about = Add("vol-1", str(data / "exports" / "vol-1"), str(data / "vol-1.nbd"), os.geteuid())
    made = Exported(about, data, Log(data / "exporter" / "log"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(about.socket)
        assert begun.wait(SECONDS_MAX)
        with made._lock:  # it is put there after it began
            (reading,) = made._connections.values()
        made.close()
        assert cache.exists(), "its reader may still use it"
        may_end.set()
        reading.join(SECONDS_MAX)
    assert not cache.exists() and not reading.is_alive()
