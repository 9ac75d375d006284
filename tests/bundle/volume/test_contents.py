"""A volume that changes while it is read: what is written is sound, and what is missing is told."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from amiable.bundle.volume import ext
from amiable.bundle.volume.contents import Contents, Filling, measure
from amiable.bundle.volume.ext import Identity
from amiable.bundle.volume.filters import Filters
from amiable.bundle.volume.selection import Entry, Report, Selection
from amiable.model.units import MIB

IDENTITY = Identity("ext4", "", UUID(int=5))


@dataclass(frozen=True)
class Disturbed(Selection):
    """A selection in which ``act`` happens right before each entry is handed out."""

    act: Callable[[str], None] = print

    def walk(self, report: Report) -> Iterator[Entry]:
        for entry in super().walk(report):
            self.act(entry.path)
            yield entry


def fill(root: Path, act: Callable[[str], None]) -> tuple[Report, Path]:
    """What is reported, and the image, when ``act`` happens during the walk."""
    report, image = Report(), root.parent / "image"
    total = measure(Selection(root, Filters()), {})
    with image.open("wb") as file:
        file.truncate(32 * MIB)
    ext.make(image, IDENTITY, offset_bytes=0, size_bytes=32 * MIB, inodes=total.entries)
    with ext.opened(image, IDENTITY, offset_bytes=0) as writer:
        Filling(writer, Contents(Disturbed(root, Filters(), act=act), {}, total, report)).run()
    ext.verify(image, offset_bytes=0)
    return report, image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "root/a/inner").write_text("inner")
    (tmp_path / "root/b").write_text("b")
    return tmp_path / "root"


def names(image: Path, folder: str) -> str:
    return subprocess.run(
        ["debugfs", "-R", f"ls {folder}", str(image)], capture_output=True, text=True, check=True
    ).stdout


def test_a_file_that_vanishes_at_the_last_moment_is_told(root: Path) -> None:
    report, image = fill(root, lambda path: (root / "b").unlink() if path == "b" else None)
    assert report.left_out == [("b", "vanished while it was read")]
    assert "inner" in names(image, "/a") and " b " not in names(image, "/")


def test_a_folder_that_vanishes_at_the_last_moment_takes_its_content_along(root: Path) -> None:
    def act(path: str) -> None:
        if path == "a":
            (root / "a").rename(root.parent / "away")

    report, image = fill(root, act)
    assert ("a", "vanished while it was read") in report.left_out
    assert " a " not in names(image, "/") and "inner" not in names(image, "/")


def test_a_folder_that_comes_back_too_late_is_left_out_with_its_content(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def act(path: str) -> None:
        taken.append(path)
        if path == "a":
            (root / "a").rename(root.parent / "away")

    selection = Disturbed(root, Filters(), act=act)
    report, image = Report(), root.parent / "image"
    with image.open("wb") as file:
        file.truncate(32 * MIB)
    ext.make(image, IDENTITY, offset_bytes=0, size_bytes=32 * MIB, inodes=10)
    with ext.opened(image, IDENTITY, offset_bytes=0) as writer:
        filling = Filling(writer, Contents(selection, {}, measure(Selection(root, Filters()), {}), report))
        take = filling._take

        def late(entry: Entry) -> None:
            try:
                take(entry)
            finally:
                if entry.path == "a":
                    (root.parent / "away").rename(root / "a")

        monkeypatch.setattr(filling, "_take", late)
        filling.run()
    ext.verify(image, offset_bytes=0)
    assert "a/inner" in taken
    assert report.left_out == [("a", "vanished while it was read"), ("a/inner", "vanished while it was read")]


def test_a_file_replaced_by_a_link_is_not_followed(root: Path) -> None:
    (root.parent / "secret").write_text("secret")

    def act(path: str) -> None:
        if path == "b":
            (root / "b").unlink()
            (root / "b").symlink_to(root.parent / "secret")

    report, image = fill(root, act)
    assert report.left_out == [("b", "replaced while it was read")]
    assert b"secret" not in image.read_bytes()


def test_an_attribute_too_large_for_an_inode_is_told_and_the_others_stay(root: Path) -> None:
    os.setxattr(root / "b", "user.fits", b"x")
    os.setxattr(root / "b", "user.large", b"x" * 3900)
    os.setxattr(root / "b", "user.more", b"x" * 100)
    report, image = fill(root, lambda path: None)
    assert report.remarks == [("b", "attribute user.more of 100 bytes was not kept: too large")]
    told = subprocess.run(["debugfs", "-R", "stat /b", str(image)], capture_output=True, text=True, check=True).stdout
    assert "user.fits" in told and "user.large (3900)" in told


def test_a_file_that_is_written_to_while_it_is_read_is_taken_and_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, image = Report(), root.parent / "image"
    with image.open("wb") as file:
        file.truncate(32 * MIB)
    ext.make(image, IDENTITY, offset_bytes=0, size_bytes=32 * MIB, inodes=10)
    selection = Selection(root, Filters())
    with ext.opened(image, IDENTITY, offset_bytes=0) as writer:
        copy = writer._copy

        def growing(*arguments: Any) -> None:
            copy(*arguments)
            with (root / "b").open("a") as late:
                late.write("late")

        monkeypatch.setattr(writer, "_copy", growing)
        Filling(writer, Contents(selection, {}, measure(selection, {}), report)).run()
    ext.verify(image, offset_bytes=0)
    assert ("b", "changed while it was read") in report.remarks
    told = subprocess.run(["debugfs", "-R", "cat /b", str(image)], capture_output=True, text=True, check=True).stdout
    assert told == "blate"  # as it was when its own turn came; what was added while it was read is not there
