"""A file appears whole, or not at all."""

from pathlib import Path

import pytest

from amiable.bundle.new_file import new_file, write_at
from amiable.model.errors import LocalRefusal


def test_a_file_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with new_file(path) as file:
        write_at(file.fileno(), b"data", 2)
        assert not path.exists()
    assert path.read_bytes() == b"\0\0data"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), new_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalRefusal, match="nothing can be written"), new_file(tmp_path / "no" / "image"):
        pass
