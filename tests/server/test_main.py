"""The start's steps: the port, the database, what is printed; and that one that is refused leaves nothing."""

import dataclasses
import io
import json
import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from amiable.model.errors import LocalRefusal
from amiable.model.hardware import AcceleratorKind
from amiable.model.settings import resolve
from amiable.server.main import FirstAccount, banner, bind, endpoint_of, log_failed_thread, read_settings, serve
from amiable.vm.accelerator import Accelerator


def test_an_accepted_connection_sends_at_once() -> None:
    with bind("127.0.0.1:0") as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert endpoint_of(listener) == f"http://127.0.0.1:{client.getpeername()[1]}"


def test_a_busy_port_is_named_with_a_way_out() -> None:
    with bind("127.0.0.1:0") as first:
        busy = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(LocalRefusal, match=f"cannot listen on {busy}: Address already in use") as refused:
            bind(busy)
    assert "--listen" in refused.value.advice and refused.value.exit_code == 69


def test_settings_are_those_that_serve_resolved_and_without_them_nothing_starts() -> None:
    settings = resolve({"regions": "eu-west-1", "workers": "7"}, {}, {}, default_data="/data")
    text = json.dumps(dataclasses.asdict(settings))  # as ``amiable serve`` hands them over
    assert read_settings({"AMIABLE_SERVER_SETTINGS": text}) == settings
    with pytest.raises(LocalRefusal, match="AMIABLE_SERVER_SETTINGS is not set") as refused:
        read_settings({})
    assert refused.value.exit_code == 2 and "amiable serve" in refused.value.advice


def test_an_address_that_can_be_no_hosts_name_is_refused() -> None:
    with pytest.raises(LocalRefusal, match=r"cannot listen on a{70}:0: "):
        bind("a" * 70 + ":0")


def test_the_banner_names_the_data_directory_quoted(tmp_path: Path) -> None:
    data = tmp_path / "my data"
    data.mkdir()
    settings = resolve({}, {}, {}, default_data=str(data))
    first = FirstAccount("123456789012", "AKIA", True)
    line = f"eval \"$(amiable env --data '{data}')\""
    assert f"  {line}\n" in banner(settings, data, "http://127.0.0.1:1", first, Accelerator(AcceleratorKind.TCG, "TCG"))


def test_a_start_with_a_busy_port_leaves_nothing_and_a_later_one_works_in_what_is_left(tmp_path: Path) -> None:
    with bind("127.0.0.1:0") as first:
        busy = f"127.0.0.1:{first.getsockname()[1]}"
        told = refused_start(tmp_path / "a" / "data", {"listen": busy})
    assert f"cannot listen on {busy}" in told.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "words", "exit_code"),
    [
        ("nonsense", "database_url is no SQLAlchemy URL", 2),
        ("postgresql://a:secret@h:port/x", "database_url is no SQLAlchemy URL", 2),
        ("oddsql:///x", "the database cannot be used: Can't load plugin: sqlalchemy.dialects:oddsql", 74),
        ("sqlite:////nonexistent/x.db", "the database cannot be used: unable to open database file", 74),
    ],
)
def test_a_start_with_a_database_that_cannot_be_used_says_so_and_leaves_nothing(
    tmp_path: Path, url: str, words: str, exit_code: int
) -> None:
    told = refused_start(tmp_path / "data", {"database_url": url})
    assert told.message == words and told.exit_code == exit_code and told.advice
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_a_version_to_come_is_refused_by_name_and_left_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    with closing(sqlite3.connect(data / "amiable.db")) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    told = refused_start(data, {})
    assert told.message == "the database cannot be used: Can't locate revision identified by '9999'"
    assert {path.name for path in data.iterdir()} <= {"amiable.db", "amiable.db-wal", "amiable.db-shm"}
    assert data.stat().st_mode & 0o777 == 0o755


def refused_start(data: Path, flags: dict[str, str]) -> LocalRefusal:
    """What a whole start says that is refused."""
    said = {"listen": "127.0.0.1:0", "accelerator": "tcg", **flags}
    with pytest.raises(LocalRefusal) as told:
        serve(resolve(said, {}, {}, default_data=str(data)), announce=io.StringIO())
    return told.value


def test_what_a_thread_ended_by_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", log_failed_thread)
    thread = threading.Thread(target=lambda: 1 // 0, name="one-of-ours")
    thread.start()
    thread.join()
    assert [record.getMessage() for record in caplog.records] == ["one-of-ours ended by what it did not expect"]
    assert "ZeroDivisionError" in caplog.text
