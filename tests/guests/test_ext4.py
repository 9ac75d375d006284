"""File systems that debugfs wrote, examined by e2fsck and read back."""

import subprocess
from pathlib import Path

import pytest

from amiable.vm.appliance.programs import find_program
from amiable.vm.appliance.tree import Directory, File, Link, Tree
from guests.ext4 import write_ext4

SIZE_BYTES = 8 << 20


def tree() -> Tree:
    made = Tree()
    made.add("a/b/file", File(b"x" * 70_000, 0o640))
    made.add("a/link", Link("/a/b/file"))
    made.add("closed", Directory(0o700))
    made.add("sticky", Directory(0o1777))
    return made


def debugfs(image: Path, request: str) -> str:
    return subprocess.run(
        [find_program("debugfs"), "-R", request, image], capture_output=True, text=True, check=True
    ).stdout


def test_a_written_file_system_is_sound_and_holds_the_tree(tmp_path: Path) -> None:
    image = tmp_path / "fs"
    write_ext4(tree(), image, label="test-label", size_bytes=SIZE_BYTES)
    check = subprocess.run([find_program("e2fsck"), "-f", "-n", image], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout
    assert image.stat().st_size == SIZE_BYTES
    assert image.read_bytes()[0x400 + 0x78 :][:16].rstrip(b"\0") == b"test-label"
    assert debugfs(image, "cat /a/b/file") == "x" * 70_000
    for path, mode, kind in (
        ("/a/b/file", "0640", "regular"),
        ("/closed", "0700", "directory"),
        ("/sticky", "01777", "directory"),
    ):
        shown = debugfs(image, f"stat {path}")
        assert f"Type: {kind}" in shown
        assert f"Mode:  {mode}" in shown
        assert "User:     0   Group:     0" in shown
    assert 'Fast link dest: "/a/b/file"' in debugfs(image, "stat /a/link")


def test_two_builds_of_one_tree_have_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_ext4(tree(), tmp_path / name, label="test-label", size_bytes=SIZE_BYTES)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    too_much = Tree({"large": File(bytes(range(256)) * 4096 * 12)})
    with pytest.raises(RuntimeError, match=r"debugfs could not write fs"):
        write_ext4(too_much, tmp_path / "fs", label="full", size_bytes=SIZE_BYTES)
