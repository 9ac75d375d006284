"""The data directory at a start: made, locked, and as it was found after a start that is refused."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from amiable.model.errors import LocalRefusal
from amiable.server import data_directory
from amiable.server.data_directory import take_data


@contextmanager
def taken(data: Path) -> Iterator[Path]:
    """The data directory of a start that succeeds, locked while the block lasts."""
    with ExitStack() as undo:
        found, lock = take_data(data, undo)
        undo.pop_all()
    with lock:
        yield found


def refused(data: Path) -> LocalRefusal:
    """What a start says that cannot have the directory."""
    with pytest.raises(LocalRefusal) as told, ExitStack() as undo:
        take_data(data, undo)
    return told.value


def tree(folder: Path) -> dict[str, int]:
    """Every path below ``folder``, itself too, with its mode."""
    return {str(path.relative_to(folder)): path.stat().st_mode for path in (folder, *folder.rglob("*"))}


def test_a_data_directory_has_one_server(tmp_path: Path) -> None:
    with taken(tmp_path / "data") as data:
        before = tree(data)
        again = refused(data)
        assert f"already running on {data} (process {os.getpid()})" in again.message and again.exit_code == 69
        assert tree(data) == before
    with taken(data):
        pass


def test_what_is_pasted_names_the_data_directory_quoted(tmp_path: Path) -> None:
    with taken(tmp_path / "my data") as data:
        assert f"eval \"$(amiable env --data '{data}')\"" in refused(data).advice


def test_the_data_directory_is_closed_to_others(tmp_path: Path) -> None:
    with taken(tmp_path / "a" / "data") as data:
        assert data.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in data.iterdir() if path.is_dir()} == {0o700}


def test_a_data_directory_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    told = refused(tmp_path / "data")
    assert told.message == f"the data directory {tmp_path / 'data'} cannot be used: Not a directory"
    assert told.exit_code == 74


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_directory, "FREE_BYTES_MIN", shutil.disk_usage(tmp_path).total + 1)
    assert "is full" in refused(tmp_path / "a" / "b" / "data").message
    assert list(tmp_path.iterdir()) == []


def test_a_refused_start_takes_away_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "packs").mkdir(parents=True)
    (data / "packs" / "mine").write_text("mine")
    (data / "notes").write_text("mine")
    data.chmod(0o755)
    before = tree(tmp_path)
    with pytest.raises(OSError, match="refused later"), ExitStack() as undo:
        found, _ = take_data(data, undo)
        for ending in ("", "-journal", "-wal", "-shm"):  # what SQLite may have beside it at any moment
            (found / f"amiable.db{ending}").write_text("half")
        (found / "installation").mkdir()
        (found / "installation" / "sealing.key").write_text("key")
        (found / "packs" / "more").write_text("of an older start's folder: it stays")
        (found / "letters").write_text("another program's, meanwhile: it stays")
        raise OSError("refused later")
    (data / "packs" / "more").unlink()
    (data / "letters").unlink()
    assert tree(tmp_path) == before


def test_a_refused_start_leaves_a_folder_that_somebody_else_uses_by_now(tmp_path: Path) -> None:
    data = tmp_path / "a" / "data"
    with pytest.raises(OSError, match="refused later"), ExitStack() as undo:
        take_data(data, undo)
        (tmp_path / "a" / "theirs").write_text("")
        raise OSError("refused later")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["theirs"]


def test_a_lock_whose_file_was_taken_away_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who held it was refused and removed it between this start's open and its lock: it takes the new file's lock."""
    data, tries = tmp_path / "data", 0

    def flock(descriptor: int, operation: int) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            (data / data_directory.LOCK).unlink()
        return locks(descriptor, operation)

    locks = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    with taken(data):
        assert tries == 2
        assert (data / data_directory.LOCK).read_text() == f"{os.getpid()}\n"
        assert "already running" in refused(data).message


def test_a_directory_that_vanishes_under_the_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"

    def flock(_descriptor: int, _operation: int) -> None:
        shutil.rmtree(data)

    monkeypatch.setattr(fcntl, "flock", flock)
    told = refused(data)
    assert os.strerror(errno.ENOENT) in told.message and told.exit_code == 74


FULL = """
import resource, sys
from contextlib import ExitStack
from pathlib import Path
from amiable.model.errors import LocalRefusal
from amiable.server.data_directory import take_data
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    with ExitStack() as undo:
        take_data(Path(sys.argv[1]), undo)
except LocalRefusal as refusal:
    print(refusal.exit_code, refusal.message)
"""
"""A start that may write no byte, as on a full disk."""


def test_a_disk_that_takes_no_byte_is_named_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    done = subprocess.run([sys.executable, "-c", FULL, data], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"74 the data directory {data} cannot be used: File too large\n"
    assert list(tmp_path.iterdir()) == []
