"""Disks that are none, by the command line and by ImportSnapshot: the cause named, nothing left, no tool of QEMU's asked about them."""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import journey
from tests.support.cases import cases_dir
from tests.support.holdings import Holdings, holdings
from tests.support.server import Server, serving

MIB = 1 << 20
END_SECONDS_MAX = 240.0
CASES = cases_dir() / "disks"
TOOLS = ("qemu-img", "qemu-io", "qemu-nbd", "qemu-storage-daemon", "qemu-system-x86_64")


@dataclass(frozen=True)
class Watched:
    """A server whose tools of QEMU leave a line in ``calls`` when they are run."""

    server: Server
    path: str
    calls: Path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One server for all; the command line shares its PATH."""
    folder = tmp_path_factory.mktemp("s")
    tools, calls = folder / "tools", folder / "calls"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\nexec /usr/bin/{name} "$@"\n')
        (tools / name).chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    assert [shutil.which(name, path=path) for name in TOOLS] == [str(tools / name) for name in TOOLS]
    with serving(Server(folder / "data", environment={"PATH": path})) as server:
        server.client("s3").create_bucket(Bucket="disks")
        yield Watched(server, path, calls)
    assert not calls.exists(), calls.read_text()


def partitioned(size_bytes: int) -> bytes:
    """A disk with one partition up to its end, and bytes that are no zeros throughout."""
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\xff\xff\xff", 2048, size_bytes // 512 - 2048)
    table = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    return table + os.urandom(1024) * (size_bytes // 1024 - 1) + bytes(512)


def make(folder: Path, *words: str) -> None:
    subprocess.run(["/usr/bin/qemu-img", "create", "-q", *words], cwd=folder, check=True, timeout=60)


def import_by_command(watched: Watched, disk: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``amiable image import`` says of a disk that it must refuse."""
    monkeypatch.setenv("PATH", watched.path)
    done = journey.amiable(watched.server, "image", "import", str(disk), "--name", "bad", check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    first, *_, hint = done.stderr.strip().splitlines()
    assert first.startswith("error: ") and hint.startswith("hint: ")
    return done.stderr


def import_by_api(watched: Watched, disk: Path) -> str:
    """What the task of ImportSnapshot says of it, once it has ended."""
    s3, ec2 = watched.server.client("s3"), watched.server.client("ec2")
    s3.put_object(Bucket="disks", Key="disk", Body=disk.read_bytes())
    try:
        container = {"Format": "RAW", "UserBucket": {"S3Bucket": "disks", "S3Key": "disk"}}
        task = ec2.import_snapshot(DiskContainer=container)["ImportTaskId"]

        def ended() -> dict[str, Any] | None:
            found = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task])["ImportSnapshotTasks"][0]
            detail: dict[str, Any] = found["SnapshotTaskDetail"]
            return detail if detail["Status"] != "active" else None

        detail = journey.wait_until("the import to end", ended, END_SECONDS_MAX)
    finally:
        s3.delete_object(Bucket="disks", Key="disk")
    assert detail["Status"] in ("deleted", "deleting", "error"), detail
    assert "SnapshotId" not in detail
    message = str(detail["StatusMessage"])
    assert message.startswith("ClientError: s3://disks/disk: ")
    return message


@pytest.fixture
def nothing_left(watched: Watched) -> Iterator[Holdings]:
    """Rows and files are the same after the test as before."""
    before = holdings(watched.server)
    yield before
    assert journey.wait_until("jobs to end", lambda: _at_rest(watched.server), END_SECONDS_MAX) == before


def _at_rest(server: Server) -> Holdings | None:
    found = holdings(server)
    return found if not found.unfinished_jobs else None


def refused_by_both(watched: Watched, disk: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    return import_by_command(watched, disk, monkeypatch), import_by_api(watched, disk)


@pytest.mark.usefixtures("nothing_left")
def test_a_truncated_disk_is_named_by_what_is_missing(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(partitioned(8 * MIB)[: 5 * MIB])
    for words in refused_by_both(watched, disk, monkeypatch):
        assert "cut short" in words and str(8 * MIB) in words
    disk.write_bytes(partitioned(8 * MIB)[: 5 * MIB + 100])
    for words in refused_by_both(watched, disk, monkeypatch):
        assert "multiple of 512" in words


@pytest.mark.usefixtures("nothing_left")
def test_a_truncated_file_system_is_named_too(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(8 * MIB))
    subprocess.run(["/sbin/mke2fs", "-q", "-F", str(disk)], check=True, timeout=60)
    os.truncate(disk, 6 * MIB)
    for words in refused_by_both(watched, disk, monkeypatch):
        assert "cut short" in words


@pytest.mark.usefixtures("nothing_left")
def test_an_empty_file_is_no_disk(watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk.img"
    disk.touch()
    assert "empty" in import_by_command(watched, disk, monkeypatch)
    watched.server.client("s3").put_object(Bucket="disks", Key="empty", Body=b"")
    try:
        with pytest.raises(ClientError, match="is empty") as refused:
            container = {"Format": "RAW", "UserBucket": {"S3Bucket": "disks", "S3Key": "empty"}}
            watched.server.client("ec2").import_snapshot(DiskContainer=container)
    finally:
        watched.server.client("s3").delete_object(Bucket="disks", Key="empty")
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("words", "disk", "said"),
    [
        (["-f", "qcow2", "disk", "8M"], "disk", ["a qcow2 image"]),
        (
            ["-f", "qcow2", "-F", "raw", "-b", "base.img", "disk"],
            "disk",
            ["a qcow2 image", "backing file", "'base.img'"],
        ),
        (["-f", "qcow2", "-o", "data_file=data.img", "disk", "8M"], "disk", ["a qcow2 image", "'data.img'"]),
        (["-f", "vmdk", "disk", "8M"], "disk", ["a VMDK image"]),
        (["-f", "vmdk", "-o", "subformat=streamOptimized", "disk", "8M"], "disk", ["a VMDK image"]),
        (["-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "disk", "8M"], "disk", ["VMDK descriptor", "'disk-f001"]),
        (["-f", "vmdk", "-F", "vmdk", "-b", "base.vmdk", "disk"], "disk", ["a VMDK image", "'base.vmdk'"]),
    ],
)
def test_another_format_given_as_raw_is_named_with_what_it_names(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], disk: str, said: list[str]
) -> None:
    (tmp_path / "base.img").write_bytes(os.urandom(MIB))
    make(tmp_path, "-f", "vmdk", "base.vmdk", "8M")
    make(tmp_path, *words)
    for told in refused_by_both(watched, tmp_path / disk, monkeypatch):
        assert all(part in told for part in said), told


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("hostile/qcow2-backing-etc-passwd", "'/etc/passwd'"),
        ("hostile/qcow2-backing-json", "backing file, 'json:"),
        ("hostile/qcow2-backing-nbd", "backing file, 'nbd"),
        ("hostile/qcow2-data-file", "keeps its data in another file"),
        ("hostile/qcow2-truncated-header", "qcow2"),
        ("hostile/vmdk-descriptor-etc-passwd", "'/etc/passwd'"),
        ("hostile/vmdk-descriptor-traversal", "names the extent '../"),
        ("hostile/vmdk-delta-with-parent", "parent"),
        ("hostile/raw-partial-sector", "multiple of 512"),
        ("hostile/raw-that-is-qcow2", "qcow2"),
        ("hostile/raw-that-is-vmdk-descriptor", "VMDK descriptor"),
        ("hostile/raw-that-is-vhdx", "VHDX"),
        ("foreign/bwlp-default-qcow2", "qcow2"),
        ("foreign/vmdkrs-2gb-flat-missing", "VMDK descriptor"),
        ("foreign/vmdkrs-stream", "VMDK"),
        ("foreign/qemu-hyperv2012r2-dynamic-vhd", "VHD"),
        ("foreign/bwlp-default-vdi", "VDI"),
    ],
)
def test_real_and_hostile_images_given_as_raw_are_refused(
    watched: Watched, tmp_path: Path, case: str, said: str
) -> None:
    assert said in import_by_api(watched, unpack(CASES / case, tmp_path))


def unpack(case: Path, folder: Path) -> Path:
    """The case's files; the one to hand over."""
    expected = json.loads((case / "expect.json").read_text())
    for file in expected["files"]:
        stored = case / file.get("stored", file["name"] + ".zst")
        subprocess.run(
            ["zstd", "-q", "-d", "-f", str(stored), "-o", str(folder / file["name"])], check=True, timeout=60
        )
    return folder / str(expected["input"])


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("disk_format", ["QCOW2", "VMDK", "qcow2", "zip"])
def test_a_format_that_is_announced_is_refused_in_the_call(watched: Watched, disk_format: str) -> None:
    container = {"Format": disk_format, "UserBucket": {"S3Bucket": "disks", "S3Key": "disk"}}
    with pytest.raises(ClientError) as refused:
        watched.server.client("ec2").import_snapshot(DiskContainer=container)
    code = "InvalidParameterValue" if disk_format == "zip" else "UnsupportedOperation"
    assert refused.value.response["Error"]["Code"] == code


def test_a_whole_disk_is_taken(watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what differs from the refused ones by being whole goes in, still without a tool."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(partitioned(8 * MIB))
    monkeypatch.setenv("PATH", watched.path)
    image = journey.amiable(watched.server, "image", "import", str(disk), "--name", "whole").stdout.strip()
    assert image.startswith("ami-")
