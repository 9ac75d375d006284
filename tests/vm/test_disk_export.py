"""A running QEMU's disk as it was at one moment: for every kind of disk device, whatever is written later, and nothing left behind.

No guest: a QEMU whose firmware finds nothing to boot, written to through its monitor.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from amiable.blocks.nbd_client import NbdClient, NbdFailed, bitmap_context
from amiable.model.hardware import Disk
from amiable.rules.qemu_command import DISK_DRIVERS
from amiable.vm import disk_export, machine
from amiable.vm.directory import Directory, open_directory
from amiable.vm.dirty_bitmaps import SINCE
from amiable.vm.disk_export import Reading
from amiable.vm.machine import MachineFailed
from amiable.vm.process import Process, identity_of
from amiable.vm.qmp import Qmp
from tests.server.fake_machine import serving

MIB = 1 << 20
DISK = Disk("vol-0123456789abcdef0", 64 * MIB, False)
SECONDS_MAX = 60
TAG = "0123456789abcdef0"
FILTER = f"filter-{TAG}-0"
EXPORT = f"disk-{TAG}-0"


@contextlib.contextmanager
def running_disk(directory: Directory, found: Process, disk: Disk) -> Iterator[socket.socket]:
    """A connection to the disk as it is now."""
    disk_export.hold_running(directory, found, Reading(TAG, (disk,)))
    try:
        with disk_export.connected(directory, found, disk_export.SOCKET) as connection:
            yield connection
    finally:
        disk_export.release_running(directory, found, TAG)


def ours(name: str) -> bool:
    """Whether a node or a file belongs to a reading."""
    return name.startswith(("filter-", "copies-", "moment-", "disk-", "disks"))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", DISK.overlay, "64M"], cwd=tmp_path, check=True)
    words = ["qemu-io", "-f", "qcow2", "-c", "write -P 1 0 4M", DISK.overlay]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Directory(tmp_path, descriptor, None)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def qemu(directory: Directory, driver: str) -> Iterator[Process]:
    """A QEMU with the disk behind ``driver``, which shares it with the monitor's writes."""
    node = {"driver": "qcow2", "node-name": "disk0", "file": {"driver": "file", "filename": DISK.overlay}}
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", "-accel", "tcg", "-m", "64M"]
    words += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    words += ["-display", "none", "-qmp", "unix:qmp.sock,server=on,wait=off", "-blockdev", json.dumps(node)]
    words += ["-device", f"{driver},id=volume0,drive=disk0,serial=one,share-rw=on"]
    running = subprocess.Popen(
        words, cwd=directory.path, restore_signals=False
    )  # a file too large is an error, no signal
    try:
        found = identity_of(running.pid)
        with machine.monitor(directory, found, wait_seconds=SECONDS_MAX):
            pass
        yield found
    finally:
        running.kill()
        running.wait(SECONDS_MAX)


def write(directory: Directory, found: Process, node: str, words: str) -> None:
    with machine.monitor(directory, found) as qmp:
        said = qmp.monitor(f'qemu-io {node} "{words}"')
    assert "conflict" not in said and "failed" not in said, said


def nodes(directory: Directory, found: Process) -> set[str]:
    with machine.monitor(directory, found) as qmp:
        return {str(each["node-name"]) for each in qmp.execute("query-named-block-nodes", flat=True)}


def status(qmp: Qmp) -> str:
    return str(qmp.execute("query-status")["status"])


def read(connection: socket.socket, offset: int, length: int) -> bytes:
    view = bytearray(length)
    NbdClient(connection, EXPORT).read_into(memoryview(view), offset)
    return bytes(view)


@pytest.mark.parametrize("driver", sorted(set(DISK_DRIVERS.values())))
def test_what_is_written_later_is_not_seen_and_all_is_taken_away_again(directory: Directory, driver: str) -> None:
    with qemu(directory, driver) as found:
        before = nodes(directory, found)
        for number in range(2):
            with running_disk(directory, found, DISK) as connection:
                with machine.monitor(directory, found) as qmp:
                    assert status(qmp) == "running"
                write(directory, found, FILTER, "write -P 9 1M 1M")
                write(directory, found, FILTER, "write -P 9 30M 1M")
                was = bytes([1]) * MIB if number == 0 else bytes([9]) * MIB
                client = NbdClient(connection, EXPORT)
                view = bytearray(MIB)
                client.read_into(memoryview(view), MIB)
                assert view == was
                client.read_into(memoryview(view), 30 * MIB)
                assert view == (bytes(MIB) if number == 0 else was)
                data = {
                    at
                    for each in client.statuses()
                    if not each.is_zero
                    for at in range(each.offset // MIB, (each.offset + each.length_bytes) // MIB)
                }
                assert {0, 1, 2, 3} <= data
            assert nodes(directory, found) - before <= {f for f in nodes(directory, found) if f.startswith("#")}
            assert {"qmp.sock", DISK.overlay} == {path.name for path in directory.path.iterdir()}
    words = [
        "qemu-io",
        "-f",
        "qcow2",
        "-c",
        "read -P 9 1M 1M",
        "-c",
        "read -P 9 30M 1M",
        str(directory.path / DISK.overlay),
    ]
    assert "Pattern" not in subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_what_a_killed_server_left_is_taken_away_and_a_guest_that_stood_still_goes_on(directory: Directory) -> None:
    with qemu(directory, "virtio-blk-pci") as found:
        with running_disk(directory, found, DISK) as left:  # a killed server's, as it were: not undone
            NbdClient(left, EXPORT)
            with machine.monitor(directory, found) as qmp:
                qmp.execute("stop")
            assert any(ours(name) for name in nodes(directory, found))
            with running_disk(directory, found, DISK) as connection:
                assert read(connection, 0, MIB) == bytes([1]) * MIB
                with machine.monitor(directory, found) as qmp:
                    assert status(qmp) == "running"
        assert not any(ours(name) for name in nodes(directory, found))


def test_a_qemu_that_is_killed_breaks_the_reading_and_leaves_no_file(directory: Directory) -> None:
    with qemu(directory, "virtio-blk-pci") as found:
        with running_disk(directory, found, DISK) as connection:
            client = NbdClient(connection, EXPORT)
            assert found.end(wait_seconds=SECONDS_MAX)
            with pytest.raises(NbdFailed):
                client.read_into(memoryview(bytearray(MIB)), 0)
        assert not any(ours(path.name) for path in directory.path.iterdir())
        with pytest.raises(MachineFailed):
            with running_disk(directory, found, DISK):
                raise AssertionError("there is no QEMU")


def test_a_machine_without_the_disk_says_so_and_keeps_its_own(directory: Directory) -> None:
    with qemu(directory, "virtio-blk-pci") as found:
        other = Disk("vol-00000000000000000", 64 * MIB, False)
        with pytest.raises(MachineFailed, match="no such disk"):
            with running_disk(directory, found, other):
                raise AssertionError("there is no such disk")
        with machine.monitor(directory, found) as qmp:
            assert status(qmp) == "running"
        assert {"qmp.sock", DISK.overlay} == {path.name for path in directory.path.iterdir()}


def test_where_the_old_bytes_cannot_be_kept_the_snapshot_breaks_and_never_the_guests_write(
    directory: Directory,
) -> None:
    with qemu(directory, "virtio-blk-pci") as found:
        with running_disk(directory, found, DISK) as connection:
            client = NbdClient(connection, EXPORT)
            write(directory, found, FILTER, "write -P 9 1M 2M")  # the file of old bytes has 2 MiB and more
            resource.prlimit(found.pid, resource.RLIMIT_FSIZE, (MIB, resource.RLIM_INFINITY))  # and cannot grow now
            write(directory, found, FILTER, "write -P 9 0 256k")
            with pytest.raises(NbdFailed):
                client.read_into(memoryview(bytearray(MIB)), 0)
            write(directory, found, FILTER, "read -P 9 0 256k")
        with machine.monitor(directory, found) as qmp:
            assert status(qmp) == "running"


FIRST, SECOND, THIRD = "000000000000000a1", "000000000000000a2", "000000000000000a3"


def written_since(directory: Directory, found: Process, snapshot: str, *known: str) -> set[int] | None:
    """The MiB that the next snapshot must read, as a bitmap tells them; None without one it may believe."""
    reading = Reading(TAG, (DISK,), marks=(snapshot,), known=(frozenset(known),))
    (since,) = disk_export.hold_running(directory, found, reading)
    try:
        if since is None:
            return None
        context = bitmap_context(SINCE + since)
        with disk_export.connected(directory, found, disk_export.SOCKET) as connection:
            runs = NbdClient(connection, EXPORT, context=context).runs(context)
            return {at // MIB for offset, length, flag in runs if flag for at in range(offset, offset + length, MIB)}
    finally:
        disk_export.release_running(directory, found, TAG)


def quit_(directory: Directory, found: Process) -> None:
    """Ends QEMU as the server ends it."""
    with machine.monitor(directory, found) as qmp:
        qmp.execute("quit")
    assert found.end(wait_seconds=SECONDS_MAX, first=signal.SIGCONT)


def test_a_bitmap_tells_the_next_snapshot_what_was_written_and_outlives_qemu_but_not_its_death(
    directory: Directory,
) -> None:
    with qemu(directory, "virtio-blk-pci") as found:
        assert written_since(directory, found, FIRST) is None, "the first reads all that the overlay has"
        write(directory, found, "disk0", "write -P 9 1M 1M")
        assert written_since(directory, found, SECOND, FIRST) == {1}
        write(directory, found, "disk0", "write -P 9 5M 1M")
        write(directory, found, "disk0", "write -z -u 7M 1M")
        quit_(directory, found)
    with qemu(directory, "virtio-blk-pci") as found:
        write(directory, found, "disk0", "write -P 9 9M 1M")
        assert written_since(directory, found, THIRD, FIRST, SECOND) == {5, 7, 9}
        write(directory, found, "disk0", "write -P 9 11M 1M")
        found.end(wait_seconds=SECONDS_MAX)
    with qemu(directory, "virtio-blk-pci") as found:
        assert written_since(directory, found, FIRST, SECOND, THIRD) is None, "it does not know all that was written"
        assert written_since(directory, found, SECOND, FIRST) == set()


def test_a_bitmap_of_a_snapshot_that_was_never_completed_is_not_believed(directory: Directory) -> None:
    with qemu(directory, "virtio-blk-pci") as found:
        assert written_since(directory, found, FIRST) is None
        write(directory, found, "disk0", "write -P 9 1M 1M")
        assert written_since(directory, found, SECOND) is None
        assert written_since(directory, found, THIRD, FIRST) is None, "the older one went"


def test_an_instance_whose_machine_is_slow_holds_up_no_other(tmp_path: Path) -> None:
    """One machine does not end its export until the other's has been ended."""
    is_asked, may_answer = threading.Event(), threading.Event()

    def answer(command: str, *, is_slow: bool) -> object:
        if command == "query-block-exports" and is_slow:
            is_asked.set()
            assert may_answer.wait(SECONDS_MAX)
        return {"status": "running"} if command == "query-status" else []

    def talk(client: socket.socket, *, is_slow: bool) -> None:
        client.sendall(b'{"QMP": {}}\n')
        with client.makefile("rb") as lines:
            for line in lines:
                told = answer(json.loads(line)["execute"], is_slow=is_slow)
                client.sendall(json.dumps({"return": told}).encode() + b"\n")

    us, found = identity_of(os.getpid()), []
    with contextlib.ExitStack() as stack:
        for name in ("slow", "quick"):
            (tmp_path / "instances" / name).mkdir(parents=True)
            opened = stack.enter_context(open_directory(tmp_path, name))
            talks = partial(talk, is_slow=name == "slow")
            stack.enter_context(serving(opened.path, "qmp.sock", socket.SOCK_STREAM, talks))
            found.append(opened)
        other = threading.Thread(target=disk_export.release_running, args=(found[0], us, TAG))
        other.start()
        try:
            assert is_asked.wait(SECONDS_MAX)
            disk_export.release_running(found[1], us, TAG)
            assert other.is_alive()
        finally:
            may_answer.set()
            other.join(SECONDS_MAX)
