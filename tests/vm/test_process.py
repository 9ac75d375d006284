"""Identity of processes, records, directories and the holder: real processes, no guest."""

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from amiable.rules.qemu_command import METADATA_SOCKET
from amiable.vm import machine, network
from amiable.vm.directory import (
    LOG,
    Directory,
    DirectoryBusy,
    locked,
    make_directory,
    open_directory,
    remove_directory,
)
from amiable.vm.fabric import open_fabric
from amiable.vm.machine import MachineFailed
from amiable.vm.network import NetworkFailed
from amiable.vm.process import (
    HOLDER_RECORD,
    PASSED,
    QEMU_RECORD,
    Process,
    identity_of,
    read_record,
    spawn,
    wait_for_record,
)
from amiable.vm.qmp import Qmp, QmpError, QmpGone

INSTANCE = "i-0123456789abcdef0"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "instances").mkdir()
    return tmp_path


@pytest.fixture
def directory(data: Path) -> Iterator[Directory]:
    make_directory(data, INSTANCE, range(200_000, 200_010))
    with open_directory(data, INSTANCE) as opened:
        yield opened


@pytest.fixture
def sleeper() -> Iterator[Process]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]) as child:
        yield identity_of(child.pid)
        child.kill()


def test_a_process_is_known_by_pid_start_and_boot(sleeper: Process) -> None:
    assert sleeper.is_alive()
    assert not replace(sleeper, start_ticks=sleeper.start_ticks + 1).is_alive()
    assert not replace(sleeper, boot_id="another").is_alive()


def test_a_pid_that_was_used_again_is_never_hit(sleeper: Process) -> None:
    assert replace(sleeper, start_ticks=sleeper.start_ticks - 1).end(wait_seconds=1)
    assert sleeper.is_alive()


def test_a_process_that_ignores_the_signal_is_killed() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"1\n"
        found = identity_of(child.pid)
        assert found.end(wait_seconds=0.5, first=signal.SIGTERM)
        assert not found.is_alive()


def test_a_record_that_is_not_the_servers_is_not_believed(directory: Directory, sleeper: Process) -> None:
    body = json.dumps({"pid": sleeper.pid, "start_ticks": sleeper.start_ticks, "boot_id": sleeper.boot_id}).encode()
    path = directory.path / QEMU_RECORD
    path.write_bytes(body)
    assert read_record(directory.descriptor, QEMU_RECORD) == replace(sleeper, facts={})
    path.rename(directory.path / "elsewhere")
    path.symlink_to("elsewhere")
    assert read_record(directory.descriptor, QEMU_RECORD) is None
    path.unlink()
    if os.geteuid() == 0:
        path.write_bytes(body)
        os.chown(path, 200_000, 200_000)
        assert read_record(directory.descriptor, QEMU_RECORD) is None
        machine.end_machine(directory)
        assert sleeper.is_alive()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"pid": 1}', b"\xff"])
def test_a_torn_record_names_no_process(directory: Directory, body: bytes) -> None:
    (directory.path / QEMU_RECORD).write_bytes(body)
    assert read_record(directory.descriptor, QEMU_RECORD) is None


def test_a_link_in_the_directory_leads_nowhere(directory: Directory, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    for name in ("console.log", "kernel"):
        (directory.path / name).symlink_to(secret)
        with pytest.raises(OSError):
            directory.open(name, os.O_RDWR)
    directory.write("kernel", b"bytes")
    assert secret.read_text() == "mine" and (directory.path / "kernel").read_bytes() == b"bytes"


def test_each_directory_has_a_uid_of_its_own(data: Path) -> None:
    if os.geteuid() != 0:
        make_directory(data, "i-1", range(0))
        return
    for number in range(3):
        make_directory(data, f"i-{number}", range(200_000, 200_003))
    owners = [(data / "instances" / f"i-{number}").stat().st_uid for number in range(3)]
    assert owners == [200_000, 200_001, 200_002]
    remove_directory(data, "i-1")
    make_directory(data, "i-9", range(200_000, 200_003))
    assert (data / "instances" / "i-9").stat().st_uid == 200_001


def test_an_instance_is_worked_on_by_one_at_a_time(directory: Directory) -> None:
    with locked(directory):
        with pytest.raises(DirectoryBusy), locked(directory, wait_seconds=0.1):
            pass
    with locked(directory, wait_seconds=0.1):
        pass


def test_the_holder_keeps_a_namespace_where_the_metadata_address_listens(directory: Directory) -> None:
    log = os.open(directory.path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        with locked(directory) as lock:
            holder = network.start_holder(directory, lock, log)
        with locked(directory, wait_seconds=0):
            pass  # it gave the lock up
        try:
            assert Path(f"/proc/{holder.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
            if directory.uid is not None:
                assert Path(f"/proc/{holder.pid}").stat().st_uid == directory.uid
            with network.Holder(directory) as asked:
                with asked.metadata_listener() as listener:
                    assert listener.getsockname() == ("169.254.169.254", 80)
                with pytest.raises(NetworkFailed, match="refused"):
                    asked.connect(9)
                namespaces = asked.namespaces()
                for descriptor in namespaces:
                    os.close(descriptor)
                assert len(namespaces) == (1 if os.geteuid() == 0 else 2)
            assert read_record(directory.descriptor, HOLDER_RECORD) == holder
        finally:
            machine.end_machine(directory)
        assert not holder.is_alive() and not (directory.path / HOLDER_RECORD).exists()
    finally:
        os.close(log)


@pytest.mark.parametrize("module", ["amiable.vm.holder", "amiable.vm.fabric_agent"])
def test_who_says_that_it_is_ready_holds_the_lock_no_more(tmp_path: Path, module: str) -> None:
    what: dict[str, object] = {"record": HOLDER_RECORD, "facts": {}, "namespaces": [], "uid": None, "listener": None}
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.write(writing, bytes(fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)))  # full: it cannot say so yet
    log = os.open(tmp_path / LOG, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    with open_fabric(tmp_path, "vpc-1", make=True) as folder:
        with locked(folder) as lock:
            started = identity_of(spawn(module, what, directory=lock, log=log, ready=writing))
        try:
            with locked(folder, wait_seconds=30):
                assert started.is_alive()
        finally:
            assert started.end(wait_seconds=30)
            for descriptor in (log, reading, writing):
                os.close(descriptor)


@contextlib.contextmanager
def machine_in_a_namespace(directory: Directory) -> Iterator[tuple[Process, Process]]:
    """A holder, and a process that stands for QEMU in its namespace; both ended at the end."""
    log = os.open(directory.path / LOG, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        with locked(directory) as lock:
            holder = network.start_holder(directory, lock, log)
            with network.Holder(directory) as asked:
                namespaces = asked.namespaces()
            what: dict[str, object] = {
                "argv": ["/bin/sleep", "600"],
                "record": QEMU_RECORD,
                "facts": {},
                "namespaces": list(range(PASSED, PASSED + len(namespaces))),
                "uid": directory.uid,
                "groups": [],
                "processes_max": 512,
            }
            pid = spawn("amiable.vm.launcher", what, directory=lock, log=log, passed=namespaces)
            for descriptor in namespaces:
                os.close(descriptor)
            qemu = wait_for_record(directory.descriptor, QEMU_RECORD, pid, wait_seconds=30)
        assert qemu is not None
        wait_until_it_is(qemu, b"sleep")
        assert re.search(r"Max processes +512 +512 ", Path(f"/proc/{qemu.pid}/limits").read_text())
        yield holder, qemu
    finally:
        os.close(log)
        found = read_record(directory.descriptor, QEMU_RECORD)
        if found is not None:
            found.end(wait_seconds=30)
        machine.end_machine(directory)


def wait_until_it_is(process: Process, program: bytes) -> None:
    """The record is written before the program starts."""
    until = time.monotonic() + 30
    while program not in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0]:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_holder_that_died_is_followed_by_one_in_the_same_namespace(directory: Directory, is_kept: bool) -> None:
    with machine_in_a_namespace(directory) as (first, qemu), contextlib.ExitStack() as stack:
        with network.Holder(directory) as asked:
            listener = stack.enter_context(asked.metadata_listener())
        first.end(wait_seconds=30)
        assert network.find_holder(directory) is None
        if not is_kept:
            listener.close()
        with locked(directory) as lock:
            second = network.revive_holder(directory, qemu, lock, listener if is_kept else None)
        assert network.find_holder(directory) == second and second.pid != first.pid
        assert Path(f"/proc/{second.pid}/ns/net").readlink() == Path(f"/proc/{qemu.pid}/ns/net").readlink()
        with network.Holder(directory) as asked:
            with asked.metadata_listener() as again:
                assert again.getsockname() == ("169.254.169.254", 80)
            with pytest.raises(NetworkFailed, match="refused"):
                asked.connect(9)


def test_no_holder_is_made_for_a_machine_that_has_ended(directory: Directory) -> None:
    with machine_in_a_namespace(directory) as (first, qemu):
        first.end(wait_seconds=30)
        qemu.end(wait_seconds=30)
        with locked(directory) as lock, pytest.raises(NetworkFailed):
            network.revive_holder(directory, qemu, lock)


def test_a_machine_in_no_namespace_has_a_metadata_socket_for_its_uid_alone(directory: Directory) -> None:
    qemu = replace(identity_of(os.getpid()), facts={"network": "guestfwd"})
    (directory.path / METADATA_SOCKET).symlink_to("/nowhere")
    for _ in range(2):  # a server that starts makes it anew
        with network.metadata_listener(directory, qemu) as listener:
            facts = (directory.path / METADATA_SOCKET).lstat()
            assert stat.S_ISSOCK(facts.st_mode) and stat.S_IMODE(facts.st_mode) == 0o600
            assert facts.st_uid == (os.geteuid() if directory.uid is None else directory.uid)
            with directory.connect(METADATA_SOCKET) as guest:
                accepted, _ = listener.accept()
                with accepted:
                    guest.sendall(b"GET")
                    assert accepted.recv(3) == b"GET"
    assert [path.name for path in directory.path.parent.iterdir()] == [INSTANCE]


def test_a_tool_that_fails_gives_its_words(directory: Directory) -> None:
    program = machine.find_program("qemu-img", "qemu-utils")
    with pytest.raises(MachineFailed, match=r"qemu-img failed: .*nosuchformat"):
        machine.run_tool(directory, [program, "create", "-f", "nosuchformat", "x", "1M"])


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(MachineFailed, match=r"qemu-nowhere is not installed.*apt-get install qemu-system-x86"):
        machine.find_program("qemu-nowhere", "qemu-system-x86")


def monitor_pair(*lines: bytes) -> tuple[socket.socket, Qmp]:
    theirs, ours = socket.socketpair()
    theirs.sendall(b'{"QMP": {}}\n{"return": {}}\n' + b"".join(line + b"\n" for line in lines))
    return theirs, Qmp(ours, wait_seconds=1)


def test_events_between_answers_are_kept_in_order() -> None:
    theirs, qmp = monitor_pair(
        b'{"event": "STOP"}', b'{"event": "SHUTDOWN", "data": {"guest": true}}', b'{"return": 5}'
    )
    with theirs:
        assert qmp.execute("query-status") == 5
        assert [qmp.event(0), qmp.event(0), qmp.event(0)] == [
            {"event": "STOP"},
            {"event": "SHUTDOWN", "data": {"guest": True}},
            None,
        ]
        qmp.close()


def test_a_refused_command_and_a_closed_monitor_are_told_apart() -> None:
    theirs, qmp = monitor_pair(b'{"error": {"class": "GenericError", "desc": "no"}}')
    with pytest.raises(QmpError, match="GenericError: no"):
        qmp.execute("x")
    theirs.close()
    with pytest.raises(QmpGone):
        qmp.execute("x")
    qmp.close()
