"""A file appears whole, or not at all."""

from pathlib import Path

import pytest

from amiable.bundle.new_file import new_file, new_folder, write_at
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
    with (
        pytest.raises(LocalRefusal, match="nothing can be written") as refused,
        new_file(tmp_path / "no" / "image"),
    ):
        pass
    assert refused.value.exit_code == 74 and refused.value.advice


def test_a_folder_that_nothing_came_into_goes_again_and_one_that_was_there_stays(tmp_path: Path) -> None:
    for folder in (tmp_path / "a" / "b", tmp_path):
        with pytest.raises(KeyboardInterrupt), new_folder(folder):
            assert folder.is_dir()
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stays_for_what_lies_in_it_and_when_the_block_ends_well(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "part").touch()
        raise KeyboardInterrupt
    assert list((tmp_path / "a").iterdir()) == [tmp_path / "a" / "part"]
    with new_folder(tmp_path / "c"):
        pass
    assert (tmp_path / "c").is_dir()
