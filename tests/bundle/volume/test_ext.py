"""What an inode may carry and only root may make: written without privileges, looked at with debugfs."""

import os
import stat
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from amiable.bundle.volume import ext, libext2fs
from amiable.bundle.volume.ext import ROOT_INODE, Facts, Identity
from amiable.model.errors import LocalRefusal
from amiable.model.units import MIB

IDENTITY = Identity("ext4", "root", UUID(int=9))


def facts(mode: int, *, uid: int = 0, device: int = 0, attributes: tuple[tuple[str, bytes], ...] = ()) -> Facts:
    return Facts(mode, uid, uid, 1, -1_000_000_000, 3, device, attributes)


def empty(folder: Path, size_bytes: int = 16 * MIB) -> Path:
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(size_bytes)
    ext.make(image, IDENTITY, offset_bytes=0, size_bytes=size_bytes, inodes=10)
    return image


def told(image: Path, path: str) -> str:
    return subprocess.run(
        ["debugfs", "-R", f"stat {path}", str(image)], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_owners_devices_times_before_1970_and_capabilities(tmp_path: Path) -> None:
    image = empty(tmp_path)
    capability = ("security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    with ext.opened(image, IDENTITY, offset_bytes=0) as writer:
        writer.content(ROOT_INODE, b"ping", facts(stat.S_IFREG | 0o755, uid=70_000, attributes=(capability,)), b"x")
        for name, mode, device in (
            (b"old", stat.S_IFBLK, os.makedev(8, 1)),
            (b"new", stat.S_IFCHR, os.makedev(259, 70_000)),
        ):
            described = facts(mode | 0o660, device=device)
            writer.describe(writer.node(ROOT_INODE, name, described), described)
    assert subprocess.run(["e2fsck", "-fn", str(image)], capture_output=True, check=False).returncode == 0
    ping = told(image, "/ping")
    assert "User: 70000   Group: 70000" in ping and "security.capability (20)" in ping
    assert "mtime: 0xffffffff:00000000 -- Wed Dec 31" in ping
    assert "block special    Mode:  0660" in told(image, "/old") and "number: 08:01" in told(image, "/old")
    assert "number: 259:70000" in told(image, "/new")


def test_a_full_file_system_is_told(tmp_path: Path) -> None:
    image = empty(tmp_path)
    with pytest.raises(LocalRefusal, match="it grew while it was read"):
        with ext.opened(image, IDENTITY, offset_bytes=0) as writer:
            writer.content(ROOT_INODE, b"large", facts(stat.S_IFREG | 0o644), os.urandom(20 * MIB))


def test_an_inode_takes_names_up_to_its_limit(tmp_path: Path) -> None:
    image = empty(tmp_path)
    with ext.opened(image, IDENTITY, offset_bytes=0) as writer:
        inode = writer.content(ROOT_INODE, b"first", facts(stat.S_IFREG | 0o644), b"")
        for number in range(20):
            writer.again(ROOT_INODE, b"name %d" % number, inode)
    assert "Links: 21 " in told(image, "/first")


def test_what_is_no_file_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(MIB))
    with pytest.raises(LocalRefusal, match="Bad magic number"):
        with ext.opened(tmp_path / "image", IDENTITY, offset_bytes=0):
            raise AssertionError("opened")


def test_every_code_that_is_known_by_number_means_what_its_name_says() -> None:
    libext2fs.library()
    assert libext2fs.message(libext2fs.NO_DIRECTORY_SPACE) == "No free space in the directory"
    assert libext2fs.message(libext2fs.DIRECTORY_EXISTS) == "Ext2 directory already exists"
    assert libext2fs.message(libext2fs.NO_BLOCK) == "Could not allocate block in ext2 filesystem"
    assert libext2fs.message(libext2fs.NO_INODE) == "Could not allocate inode in ext2 filesystem"
