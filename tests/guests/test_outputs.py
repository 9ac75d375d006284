"""When a guest is built, and when it is not."""

from pathlib import Path

import pytest

from guests.outputs import build_once, digest_of_files


def test_equal_inputs_build_once_and_changed_inputs_build_again(tmp_path: Path) -> None:
    folder = tmp_path / "guest"
    built: list[str] = []

    def build(into: Path) -> None:
        built.append("once")
        (into / f"file-{len(built)}").write_text("content")

    assert build_once(folder, {"kernel": "1"}, build)
    assert not build_once(folder, {"kernel": "1"}, build)
    assert build_once(folder, {"kernel": "2"}, build)
    assert len(built) == 2
    assert {path.name for path in folder.iterdir()} == {"file-2", "inputs.json"}


def test_a_failed_build_leaves_the_former_one(tmp_path: Path) -> None:
    folder = tmp_path / "guest"
    build_once(folder, {"kernel": "1"}, lambda into: (into / "image").touch())

    def fail(into: Path) -> None:
        (into / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        build_once(folder, {"kernel": "2"}, fail)
    assert {path.name for path in folder.iterdir()} == {"image", "inputs.json"}
    assert not build_once(folder, {"kernel": "1"}, fail)


def test_a_digest_of_files_changes_with_their_bytes_and_not_with_their_times(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    first = digest_of_files([file])
    file.write_text("one")
    assert digest_of_files([file]) == first
    file.write_text("two")
    assert digest_of_files([file]) != first
