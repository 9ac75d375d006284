"""One disk of an instance, as it is at one moment, served over NBD on a UNIX socket in the instance's directory.

    off       ``qemu-storage-daemon`` opens the overlay, and its base by the exporter's socket
    running   QEMU itself: stop ─▶ copy-before-write filter above the disk ─▶ snapshot-access node ─▶ its NBD server ─▶ cont

The guest stands still for some milliseconds, between stop and cont.  From then on the old bytes of what it writes go to a file
beside the overlay first; where that file cannot grow the *snapshot* breaks, never the guest's write.  Both programs have the rights
of the instance's uid, are told the base (no file says it), and write nothing.  All of it is found and taken away again by name.
"""

import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from amiable.model.hardware import Disk
from amiable.vm import machine, process
from amiable.vm.directory import LOG, Directory, peer_pid
from amiable.vm.machine import MachineFailed
from amiable.vm.process import Process
from amiable.vm.qmp import Qmp, QmpError

SOCKET: Final = "bundle.nbd"
RECORD: Final = "bundle.json"
COPIES: Final = "bundle-copies.qcow2"
"""What the guest overwrites while its disk is read."""
EXPORT: Final = "bundle"
FILTER: Final = "bundle-of-"
"""The filter's node is this and the name of the disk's node."""
COPIES_NODE: Final = "bundle-copies"
SNAPSHOT_NODE: Final = "bundle-snapshot"
NODE_NAME_MAX: Final = 31
COPY_SECONDS_MAX: Final = 30
"""How long a guest's write waits for the copy of what it overwrites."""
START_SECONDS_MAX: Final = 30.0
ANSWER_SECONDS_MAX: Final = 300.0
"""How long one read may take: the exporter may be starting again."""
QCOW2_HEAD: Final = struct.Struct(">4s68xQ")
"""The magic, and the incompatible features at offset 72."""
QCOW2_EXTERNAL_DATA: Final = 4
QMP_SECONDS_MAX: Final = 60.0
LOOK_SECONDS: Final = 0.02


@contextlib.contextmanager
def still_disk(directory: Directory, disk: Disk) -> Iterator[socket.socket]:
    """A connection to the disk of an instance that is off, and that nothing starts meanwhile; its base is being exported."""
    end_still_disk(directory)
    program = machine.find_program("qemu-storage-daemon", "qemu-system-common")
    _check_overlay(directory, disk)
    with contextlib.ExitStack() as undo:
        undo.callback(end_still_disk, directory)
        server = _start_server(directory, [program, *_arguments(disk)])
        yield undo.enter_context(_connected(directory, server))


def end_still_disk(directory: Directory) -> None:
    """Ends the server of :func:`still_disk`, if one runs; forgets it, and what a QEMU that ended since left of the other way."""
    found = process.read_record(directory.descriptor, RECORD)
    if found is not None and not found.end(wait_seconds=machine.KILL_SECONDS_MAX):
        raise MachineFailed(f"qemu-storage-daemon (process {found.pid}) does not end")
    process.remove_record(directory.descriptor, RECORD)
    directory.unlink(SOCKET)
    directory.unlink(COPIES)


def _arguments(disk: Disk) -> list[str]:
    """The overlay over its base, by name: what the overlay's own header says of a base is not believed."""
    overlay = {
        "driver": "qcow2",
        "node-name": "disk",
        "read-only": True,
        "file": {"driver": "file", "filename": disk.overlay},
    }
    nodes: list[dict[str, Any]] = [{**overlay, "backing": "base" if disk.has_base else None}]
    if disk.has_base:
        server = {"type": "unix", "path": disk.socket}
        nodes.insert(0, {"driver": "nbd", "node-name": "base", "read-only": True, "server": server})
    words = [word for node in nodes for word in ("--blockdev", json.dumps(node))]
    return [
        *words,
        "--nbd-server",
        f"addr.type=unix,addr.path={SOCKET},max-connections=1",
        "--export",
        f"type=nbd,id={EXPORT},node-name=disk,name=,writable=off",
    ]


def _check_overlay(directory: Directory, disk: Disk) -> None:
    """Refuses an overlay whose data are in another file: only a guest that broke out of QEMU makes one."""
    with os.fdopen(directory.open(disk.overlay, os.O_RDONLY), "rb") as file:
        head = file.read(QCOW2_HEAD.size)
    if len(head) < QCOW2_HEAD.size:
        raise MachineFailed(f"{disk.overlay} is cut short")
    magic, features = QCOW2_HEAD.unpack(head)
    if magic != b"QFI\xfb" or features & QCOW2_EXTERNAL_DATA:
        raise MachineFailed(f"{disk.overlay} is not as it was made")


def _start_server(directory: Directory, argv: list[str]) -> Process:
    log = directory.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        what: dict[str, Any] = {
            "argv": argv,
            "record": RECORD,
            "facts": {},
            "namespaces": [],
            "uid": directory.uid,
            "groups": [],
            "processes_max": None,
        }
        pid = process.spawn("amiable.vm.launcher", what, directory=directory.descriptor, log=log)
    finally:
        os.close(log)
    found = process.wait_for_record(directory.descriptor, RECORD, pid, wait_seconds=START_SECONDS_MAX)
    if found is None:
        raise MachineFailed(f"qemu-storage-daemon could not be started: {machine.last_words(directory) or 'no words'}")
    return found


@contextlib.contextmanager
def _connected(directory: Directory, server: Process) -> Iterator[socket.socket]:
    """A connection to what ``server`` exports, once it listens."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            connection = directory.connect(SOCKET, wait_seconds=START_SECONDS_MAX)
            break
        except OSError as error:
            if not server.is_alive():
                raise MachineFailed(
                    f"the disk cannot be opened: {machine.last_words(directory) or 'no words'}"
                ) from None
            if time.monotonic() > deadline:
                raise MachineFailed(f"the disk is not served: {error.strerror}") from None
            time.sleep(LOOK_SECONDS)
    with connection:
        if peer_pid(connection) != server.pid:
            raise MachineFailed(f"{SOCKET} is not the disk's")
        connection.settimeout(ANSWER_SECONDS_MAX)
        yield connection


@contextlib.contextmanager
def running_disk(directory: Directory, qemu: Process, disk: Disk) -> Iterator[socket.socket]:
    """A connection to the disk of a running instance as it is now; the guest goes on before this is entered."""
    end_running_disk(directory, qemu)
    with contextlib.ExitStack() as undo:
        undo.callback(end_running_disk, directory, qemu)
        _make_copies_file(directory, disk)
        with machine.monitor(directory, qemu, wait_seconds=QMP_SECONDS_MAX) as qmp:
            _stand_still(qmp, lambda: _attach(qmp, disk))
        # It must be closed before the server ends: QEMU 7.2 waits without end for a client that has not shaken hands.
        yield undo.enter_context(_connected(directory, qemu))


def end_running_disk(directory: Directory, qemu: Process) -> None:
    """Takes away what :func:`running_disk` made, as much as is there, and lets a guest go on that was left standing still."""
    try:
        with machine.monitor(directory, qemu, wait_seconds=QMP_SECONDS_MAX) as qmp:
            _detach(qmp)
            if qmp.execute("query-status")["status"] == "paused":
                qmp.execute("cont")
    except MachineFailed:
        if qemu.is_alive():
            raise
    directory.unlink(COPIES)
    directory.unlink(SOCKET)


def _make_copies_file(directory: Directory, disk: Disk) -> None:
    program = machine.find_program("qemu-img", "qemu-utils")
    machine.run_tool(directory, [program, "create", "-q", "-f", "qcow2", COPIES, str(disk.size_bytes)])


def _stand_still(qmp: Qmp, work: Callable[[], None]) -> None:
    """Does ``work`` while the guest stands still and all it wrote is in its disks; one that stood still already is left so."""
    if qmp.execute("query-status")["status"] != "running":
        work()
        return
    qmp.execute("stop")
    try:
        work()
    finally:
        qmp.execute("cont")


def _attach(qmp: Qmp, disk: Disk) -> None:
    device, node = _find_disk(qmp, filename=disk.overlay)
    name = FILTER + node
    assert len(name) <= NODE_NAME_MAX
    file = {"driver": "file", "filename": COPIES}
    qmp.execute("blockdev-add", driver="qcow2", node_name=COPIES_NODE, file=file, discard="unmap")
    copying: dict[str, Any] = {"on_cbw_error": "break-snapshot", "cbw_timeout": COPY_SECONDS_MAX}
    qmp.execute("blockdev-add", driver="copy-before-write", node_name=name, file=node, target=COPIES_NODE, **copying)
    qmp.execute("qom-set", path=device, property="drive", value=name)
    qmp.execute("blockdev-add", driver="snapshot-access", node_name=SNAPSHOT_NODE, file=name)
    qmp.execute("nbd-server-start", addr={"type": "unix", "data": {"path": SOCKET}}, max_connections=1)
    qmp.execute("block-export-add", type="nbd", id=EXPORT, node_name=SNAPSHOT_NODE, name="", writable=False)


def _detach(qmp: Qmp) -> None:
    if _has_export(qmp):
        qmp.execute("block-export-del", id=EXPORT, mode="hard")
        deadline = time.monotonic() + QMP_SECONDS_MAX
        while _has_export(qmp):
            if time.monotonic() > deadline:
                raise MachineFailed("QEMU does not end the disk's export")
            time.sleep(LOOK_SECONDS)
    with contextlib.suppress(QmpError):  # it was not started
        qmp.execute("nbd-server-stop")
    names = [str(node["node-name"]) for node in qmp.execute("query-named-block-nodes", flat=True)]
    if SNAPSHOT_NODE in names:
        qmp.execute("blockdev-del", node_name=SNAPSHOT_NODE)
    for name in names:
        if name.startswith(FILTER):
            with contextlib.suppress(_NoDisk):  # it was not put above the disk yet
                device, _ = _find_disk(qmp, node=name)
                qmp.execute("qom-set", path=device, property="drive", value=name.removeprefix(FILTER))
            qmp.execute("blockdev-del", node_name=name)
    if COPIES_NODE in names:
        qmp.execute("blockdev-del", node_name=COPIES_NODE)


def _has_export(qmp: Qmp) -> bool:
    return any(export["id"] == EXPORT for export in qmp.execute("query-block-exports"))


class _NoDisk(MachineFailed):
    """No device of the machine has such a disk."""


def _find_disk(qmp: Qmp, *, filename: str | None = None, node: str | None = None) -> tuple[str, str]:
    """The device with the medium of this file, or of this node: its path in QEMU's object model, and its node.

    QEMU names a medium by its file, or by a JSON text of all its options, in which the file's name stands once.
    """
    for entry in qmp.execute("query-block"):
        inserted = entry.get("inserted")
        if inserted is None or not entry.get("qdev"):
            continue
        if inserted["node-name"] == node or (filename is not None and filename in inserted["image"]["filename"]):
            device = str(entry["qdev"]).removesuffix("/virtio-backend")  # a path, or the id of a device that has one
            return device if device.startswith("/") else f"/machine/peripheral/{device}", str(inserted["node-name"])
    raise _NoDisk("QEMU has no such disk")
