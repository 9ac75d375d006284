"""The start's steps: the data directory, its lock, the port."""

import socket
from pathlib import Path

import pytest

from amiable.model.errors import LocalRefusal
from amiable.model.settings import resolve
from amiable.server.main import FirstAccount, banner, bind, endpoint_of, prepare_data, take_lock
from amiable.vm.accelerator import Accelerator, AcceleratorKind


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


def test_a_data_directory_has_one_server(tmp_path: Path) -> None:
    data = prepare_data(tmp_path / "data")
    with take_lock(data), pytest.raises(LocalRefusal, match="already running") as refused:
        take_lock(data)
    assert refused.value.exit_code == 69
    take_lock(data).close()


def test_what_is_pasted_names_the_data_directory_quoted(tmp_path: Path) -> None:
    data = prepare_data(tmp_path / "my data")
    with take_lock(data), pytest.raises(LocalRefusal) as refused:
        take_lock(data)
    line = f"eval \"$(amiable env --data '{data}')\""
    assert line in refused.value.advice
    settings = resolve({}, {}, {}, default_data=str(data))
    first = FirstAccount("123456789012", "AKIA", True)
    assert f"  {line}\n" in banner(settings, data, "http://127.0.0.1:1", first, Accelerator(AcceleratorKind.TCG, "TCG"))


def test_the_data_directory_is_closed_to_others(tmp_path: Path) -> None:
    data = prepare_data(tmp_path / "a" / "data")
    assert data.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in data.iterdir()} == {0o700}


def test_a_data_directory_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(LocalRefusal, match="cannot be used") as refused:
        prepare_data(tmp_path / "data")
    assert refused.value.exit_code == 74
