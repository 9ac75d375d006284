"""An empty qcow2 of ours is one to QEMU's own tools."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from amiable.model.units import GIB
from amiable.vm.directory import Directory
from amiable.vm.qcow2 import empty_qcow2


def told(*words: str) -> Any:
    done = subprocess.run(["qemu-img", *words], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def make(path: Path, size_bytes: int, base: str | None) -> None:
    layout = empty_qcow2(size_bytes, base)
    with path.open("wb") as file:
        for offset, part in layout.parts:
            file.seek(offset)
            file.write(part)
        file.truncate(layout.file_bytes)


@pytest.mark.parametrize("size_bytes", [1, 512, GIB, 100 * GIB, 16 * 1024 * GIB, 64 * 1024 * GIB - 512])
@pytest.mark.parametrize("has_base", [True, False])
def test_it_is_what_qemu_img_would_have_made(tmp_path: Path, size_bytes: int, has_base: bool) -> None:
    ours, theirs = tmp_path / "ours.qcow2", tmp_path / "theirs.qcow2"
    base = "nbd+unix:///?socket=vol-1.nbd" if has_base else None
    make(ours, size_bytes, base)
    words = ["-u", "-F", "raw", "-b", base] if base else []
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", *words, str(theirs), str(size_bytes)],
        check=True,
    )
    assert info(ours) == info(theirs)
    check = told("check", "--output=json", "-f", "qcow2", str(ours)) if base is None else {"check-errors": 0}
    assert check["check-errors"] == 0 and "leaks" not in check and "corruptions" not in check


def info(path: Path) -> dict[str, Any]:
    found = told("info", "--output=json", "-U", "-f", "qcow2", str(path))
    return {
        name: found.get(name)
        for name in ("virtual-size", "cluster-size", "format", "full-backing-filename", "backing-filename-format")
    } | {"specific": {**found["format-specific"]["data"]}}


def test_what_is_written_over_a_base_is_read_back_and_the_rest_is_the_bases(tmp_path: Path) -> None:
    base, disk = tmp_path / "base.raw", tmp_path / "disk.qcow2"
    base.write_bytes(b"\x11" * 3 * 65536)
    make(disk, 4 * 65536, str(base))
    commands = ["-c", "write -P 0x22 65536 4096", "-c", "read -P 0x11 0 65536", "-c", "read -P 0x22 65536 4096"]
    commands += ["-c", "read -P 0x11 69632 4096", "-c", "read -P 0 196608 65536"]
    done = subprocess.run(["qemu-io", "-f", "qcow2", *commands, str(disk)], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout
    check = told("check", "--output=json", "-f", "qcow2", str(disk))
    assert check["check-errors"] == 0 and "corruptions" not in check


def test_a_file_is_made_whole_and_takes_little_room(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        directory = Directory(tmp_path, descriptor, None)
        layout = empty_qcow2(100 * GIB, None)
        directory.put("disk.qcow2", layout.parts, layout.file_bytes)
    finally:
        os.close(descriptor)
    facts = (tmp_path / "disk.qcow2").stat()
    assert facts.st_size == layout.file_bytes == 4 * 65536
    assert facts.st_blocks * 512 <= 3 * 65536
    assert facts.st_mode & 0o777 == 0o600
