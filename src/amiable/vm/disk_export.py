"""Disks of an instance, or a detached one, as they are at one moment, served over NBD on a UNIX socket in their directory.

    off       ``qemu-storage-daemon`` opens the overlays, and their bases by the exporter's sockets
    running   QEMU itself: stop ─▶ for each disk a copy-before-write filter above it ─▶ snapshot-access node ─▶ its NBD server ─▶ cont

The guest stands still for some milliseconds, between stop and cont: that is the one moment of all the disks.  From then on the old
bytes of what it writes go to files beside the overlays first; where such a file cannot grow the *snapshot* breaks, never the guest's
write.  Both programs have the rights of the disk's uid, are told the bases (no file says them), and write nothing.

Where a snapshot is made, a dirty bitmap begins at the moment (``vm/dirty_bitmaps``), and the one before is exported with the disk.

Every name holds the *tag* of who reads, so all of it is found, gone on with or taken away by name, also by a later server; the moment
lasts until :func:`release_running` or the end of QEMU.
"""

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from amiable.model.hardware import Disk
from amiable.vm import machine, patience, process, volume_files
from amiable.vm.directory import LOG, Directory, peer_pid
from amiable.vm.dirty_bitmaps import SINCE, mark, node_of
from amiable.vm.machine import MachineFailed, MachineSilent
from amiable.vm.process import Process
from amiable.vm.qmp import Qmp, QmpError
from amiable.vm.turns import Turns

SOCKET: Final = "disks.nbd"
"""Of the NBD server inside QEMU."""
EXPORT, FILTER, COPIES, MOMENT = "disk", "filter", "copies", "moment"
"""Kinds of names: an export, and the nodes behind it.  A node's name has 31 characters at most."""
NODE_NAME_MAX: Final = 31
_TAG: Final = re.compile(r"[0-9a-f]{1,17}")
_STILL_RECORD: Final = re.compile(r"disks-([0-9a-f]{1,17})\.json")
COPY_SECONDS_MAX: Final = 30
"""How long a guest's write waits for the copy of what it overwrites."""
ANSWER_SECONDS_MAX: Final = 300.0
"""How long one read may take: the exporter may be starting again."""
START_SECONDS_MAX, QMP_SECONDS_MAX = 30.0, 60.0
LOOK_SECONDS: Final = 0.02
CONNECTIONS_MAX: Final = 64
T = TypeVar("T")
_servers: Final = Turns()
"""By instance: whoever starts or ends the NBD server of its QEMU; one process at a time works on a data directory."""


class DiskBusy(MachineFailed):
    """Another reads the disk at a moment of its own."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Which disks are read, and the tag of who reads them: hex digits of an id of its own.

    For each disk, where snapshots are made: ``marks``, the digits of the snapshot to come, and ``known``, those of its completed ones.
    """

    tag: str
    disks: tuple[Disk, ...]
    marks: tuple[str, ...] = ()
    known: tuple[frozenset[str], ...] = ()

    def __post_init__(self) -> None:
        assert _TAG.fullmatch(self.tag)

    def name(self, kind: str, number: int) -> str:
        """The name of what belongs to the disk at place ``number``."""
        name = f"{kind}-{self.tag}-{number}"
        assert len(name) <= NODE_NAME_MAX
        return name


def copies_file(reading: Reading, number: int) -> str:
    """The file of what the guest overwrites while the disk is read."""
    return f"{reading.name(COPIES, number)}.qcow2"


# ── disks that nothing runs from ────────────────────────────────────────────────────────────────────────────────────────


def hold_still(directory: Directory, reading: Reading) -> Process:
    """A server of the disks, which nothing starts a machine from meanwhile; their bases are being exported.

    Raises DiskBusy where another reads one of them.
    """
    release_still(directory, reading.tag)
    for disk in reading.disks:
        if is_read_still(directory, disk.overlay):
            raise DiskBusy(f"{disk.overlay} is being read already")
    program = machine.find_program("qemu-storage-daemon", "qemu-system-common")
    for disk in reading.disks:
        volume_files.virtual_size(directory, disk.overlay)
    return _start_server(directory, reading, [program, *_arguments(reading)])


def still_socket(tag: str) -> str:
    """The socket of the server of :func:`hold_still`."""
    return f"disks-{tag}.nbd"


def _still_record(tag: str) -> str:
    return f"disks-{tag}.json"


def release_still(directory: Directory, tag: str) -> None:
    """Ends the server of :func:`hold_still`, if one runs, and forgets it."""
    found = process.read_record(directory.descriptor, _still_record(tag))
    if found is not None and not found.end(wait_seconds=machine.KILL_SECONDS_MAX):
        raise MachineFailed(f"qemu-storage-daemon (process {found.pid}) does not end")
    process.remove_record(directory.descriptor, _still_record(tag))
    directory.unlink(still_socket(tag))
    _unlink_copies(directory, tag)


def end_still_disk(directory: Directory) -> None:
    """Ends whatever serves a disk of the directory while it is off, and removes what a QEMU that has ended left of a moment."""
    for tag in still_tags(directory):
        release_still(directory, tag)
    directory.unlink(SOCKET)
    _unlink_copies(directory, "")


def find_still(directory: Directory, *, tag: str) -> Process | None:
    """The live server of :func:`hold_still`; None when there is none."""
    found = process.read_record(directory.descriptor, _still_record(tag))
    return found if found is not None and found.is_alive() else None


def still_tags(directory: Directory) -> list[str]:
    """Whose servers of disks at rest are recorded."""
    found = (_STILL_RECORD.fullmatch(name) for name in _names(directory))
    return sorted(match[1] for match in found if match is not None)


def _names(directory: Directory) -> list[str]:
    return os.listdir(directory.descriptor)  # noqa: PTH208 - pathlib knows no descriptors


def is_read_still(directory: Directory, overlay: str | None = None) -> bool:
    """Whether a disk of the directory, or only that of ``overlay``, is being read at rest: no machine can open it meanwhile."""
    found = (find_still(directory, tag=tag) for tag in still_tags(directory))
    return any(each is not None and (overlay is None or overlay in each.facts["overlays"]) for each in found)


def _arguments(reading: Reading) -> list[str]:
    """The overlays over their bases, by name: what an overlay's own header says of a base is not believed."""
    words: list[str] = []
    socket_name = still_socket(reading.tag)
    exports = ["--nbd-server", f"addr.type=unix,addr.path={socket_name},max-connections={CONNECTIONS_MAX}"]
    for number, disk in enumerate(reading.disks):
        overlay = {
            "driver": "qcow2",
            "node-name": f"overlay-{number}",
            "read-only": True,
            "file": {"driver": "file", "filename": disk.overlay},
        }
        nodes: list[dict[str, Any]] = [{**overlay, "backing": f"base-{number}" if disk.has_base else None}]
        if disk.has_base:
            server = {"type": "unix", "path": disk.socket}
            nodes.insert(0, {"driver": "nbd", "node-name": f"base-{number}", "read-only": True, "server": server})
        words += [word for node in nodes for word in ("--blockdev", json.dumps(node))]
        name = reading.name(EXPORT, number)
        options = f"type=nbd,id={name},node-name=overlay-{number},name={name},writable=off,allocation-depth=on"
        exports += ["--export", options]
    return words + exports


def _start_server(directory: Directory, reading: Reading, argv: list[str]) -> Process:
    record = _still_record(reading.tag)
    log = directory.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        facts = {"overlays": [disk.overlay for disk in reading.disks]}
        plain: dict[str, Any] = {"namespaces": [], "groups": [], "processes_max": None}
        what = {"argv": argv, "record": record, "facts": facts, "uid": directory.uid, **plain}
        pid = process.spawn("amiable.vm.launcher", what, directory=directory.descriptor, log=log)
    finally:
        os.close(log)
    found = process.wait_for_record(directory.descriptor, record, pid, wait_seconds=START_SECONDS_MAX)
    if found is None:
        raise MachineFailed(f"qemu-storage-daemon could not be started: {machine.last_words(directory) or 'no words'}")
    return found


@contextlib.contextmanager
def connected(directory: Directory, server: Process, name: str) -> Iterator[socket.socket]:
    """A connection to ``server`` at the socket ``name``, once it listens."""
    deadline, wait = time.monotonic() + START_SECONDS_MAX, patience.Wait()
    while True:
        try:
            connection = directory.connect(name, wait_seconds=START_SECONDS_MAX)
            break
        except OSError as error:
            if not server.is_alive():
                raise MachineFailed(f"the disk cannot be opened: {machine.last_words(directory)}") from None
            if time.monotonic() > deadline:
                raise MachineFailed(f"the disk is not served: {error.strerror}") from None
            wait.look()
            time.sleep(LOOK_SECONDS)
    with connection:
        if peer_pid(connection) != server.pid:
            raise MachineFailed(f"{name} is not the disk's")
        connection.settimeout(ANSWER_SECONDS_MAX)
        yield connection


# ── disks of a machine that runs ────────────────────────────────────────────────────────────────────────────────────────


def hold_running(directory: Directory, qemu: Process, reading: Reading) -> tuple[str | None, ...]:
    """Takes the moment: all the disks as they are now, and the guest goes on.  Raises DiskBusy where another reads one of them.

    For each disk the digits of the known snapshot since which a bitmap of what was written is exported with it; None without one.
    """
    release_running(directory, qemu, reading.tag)
    with contextlib.ExitStack() as undo:
        undo.callback(release_running, directory, qemu, reading.tag)
        for number, disk in enumerate(reading.disks):
            _make_copies_file(directory, copies_file(reading, number), disk)
        with _serving(directory, qemu) as qmp:
            found = [_find_disk(qmp, filename=disk.overlay) for disk in reading.disks]
            for number in range(len(reading.disks)):
                file = {"driver": "file", "filename": copies_file(reading, number)}
                node = reading.name(COPIES, number)
                qmp.execute("blockdev-add", driver="qcow2", node_name=node, file=file, discard="unmap")
            since = _stand_still(qmp, lambda: _put_filters(qmp, reading, found))
            _serve(qmp, reading, since)
        undo.pop_all()
    return since


@contextlib.contextmanager
def _serving(directory: Directory, qemu: Process) -> Iterator[Qmp]:
    """A monitor of the machine, for the one who changes what it serves."""
    with _servers.of(directory.path.name), machine.monitor(directory, qemu, wait_seconds=QMP_SECONDS_MAX) as qmp:
        yield qmp


def check_unread(directory: Directory, qemu: Process, reading: Reading) -> None:
    """Raises DiskBusy where another reads one of the disks, so that nothing need be prepared for a moment in vain."""
    with machine.monitor(directory, qemu, wait_seconds=QMP_SECONDS_MAX) as qmp:
        mine = f"{FILTER}-{reading.tag}-"
        if any(str(each["node-name"]).startswith(mine) for each in qmp.execute("query-named-block-nodes", flat=True)):
            return
        for disk in reading.disks:
            _find_disk(qmp, filename=disk.overlay)


def is_held(directory: Directory, qemu: Process, reading: Reading) -> bool:
    """Whether the moment of an earlier :func:`hold_running` lasts: not where its QEMU ends."""
    wanted = {reading.name(EXPORT, number) for number in range(len(reading.disks))}
    try:
        with machine.monitor(directory, qemu, wait_seconds=QMP_SECONDS_MAX) as qmp:
            return wanted <= {str(export["id"]) for export in qmp.execute("query-block-exports")}
    except MachineSilent:
        if not machine.ends(qemu):
            raise
        return False


def release_running(directory: Directory, qemu: Process, tag: str) -> None:
    """Takes away what :func:`hold_running` made, as much as is there, and lets a guest go on that was left standing still.

    Connections must be closed before: QEMU 7.2 waits without end for a client that has not shaken hands.
    """
    try:
        with _serving(directory, qemu) as qmp:
            is_last = _detach(qmp, tag)
            if qmp.execute("query-status")["status"] == "paused":
                qmp.execute("cont")
    except MachineSilent:
        if not machine.ends(qemu):
            raise
        is_last = True
    _unlink_copies(directory, tag)
    if is_last:
        directory.unlink(SOCKET)


def _unlink_copies(directory: Directory, tag: str) -> None:
    """Removes the copies of one moment; of all where ``tag`` is empty."""
    for name in _names(directory):
        if name.startswith(f"{COPIES}-{tag}-" if tag else f"{COPIES}-"):
            directory.unlink(name)


def _make_copies_file(directory: Directory, name: str, disk: Disk) -> None:
    program = machine.find_program("qemu-img", "qemu-utils")
    machine.run_tool(directory, [program, "create", "-q", "-f", "qcow2", name, str(disk.size_bytes)])


def _stand_still(qmp: Qmp, work: Callable[[], T]) -> T:
    """Does ``work`` while the guest stands still and all it wrote is in its disks; one that stood still already is left so."""
    if qmp.execute("query-status")["status"] != "running":
        return work()
    qmp.execute("stop")
    try:
        return work()
    finally:
        qmp.execute("cont")


def _put_filters(qmp: Qmp, reading: Reading, found: list[tuple[str, str]]) -> tuple[str | None, ...]:
    for number, (device, node) in enumerate(found):
        name, target = reading.name(FILTER, number), reading.name(COPIES, number)
        copying: dict[str, Any] = {"on_cbw_error": "break-snapshot", "cbw_timeout": COPY_SECONDS_MAX}
        qmp.execute("blockdev-add", driver="copy-before-write", node_name=name, file=node, target=target, **copying)
        qmp.execute("qom-set", path=device, property="drive", value=name)
    if not reading.marks:
        return (None,) * len(reading.disks)
    nodes = qmp.execute("query-named-block-nodes", flat=True)
    each = zip(reading.disks, reading.marks, reading.known, strict=True)
    return tuple(mark(qmp, node_of(nodes, disk), begun, known) for disk, begun, known in each)


def _serve(qmp: Qmp, reading: Reading, since: tuple[str | None, ...]) -> None:
    if not qmp.execute("query-block-exports"):
        address = {"type": "unix", "data": {"path": SOCKET}}
        qmp.execute("nbd-server-start", addr=address, max_connections=CONNECTIONS_MAX)
    for number in range(len(reading.disks)):
        node, name = reading.name(MOMENT, number), reading.name(EXPORT, number)
        qmp.execute("blockdev-add", driver="snapshot-access", node_name=node, file=reading.name(FILTER, number))
        about: dict[str, Any] = {"writable": False, "allocation_depth": True}
        begun = since[number]
        if begun is not None:
            overlay = node_of(qmp.execute("query-named-block-nodes", flat=True), reading.disks[number])
            about["bitmaps"] = [{"node": overlay["node-name"], "name": SINCE + begun}]
        qmp.execute("block-export-add", type="nbd", id=name, node_name=node, name=name, **about)


def _detach(qmp: Qmp, tag: str) -> bool:
    """Takes away all of the tag's; whether nobody else's is left, so that the server has ended."""
    for export in _exports(qmp, tag):
        qmp.execute("block-export-del", id=export, mode="hard")
    deadline, wait = time.monotonic() + QMP_SECONDS_MAX, patience.Wait()
    while _exports(qmp, tag):
        if time.monotonic() > deadline:
            raise MachineFailed("QEMU does not end the disk's export")
        wait.look()
        time.sleep(LOOK_SECONDS)
    is_last = not qmp.execute("query-block-exports")
    if is_last:
        with contextlib.suppress(QmpError):  # it was not started
            qmp.execute("nbd-server-stop")
    files = {str(node["node-name"]): node for node in qmp.execute("query-named-block-nodes", flat=True)}
    for name in (each for each in files if each.startswith(f"{MOMENT}-{tag}-")):
        qmp.execute("blockdev-del", node_name=name)
    for name in (each for each in files if each.startswith(f"{FILTER}-{tag}-")):
        _take_filter(qmp, name)
    for name in (each for each in files if each.startswith(f"{COPIES}-{tag}-")):
        qmp.execute("blockdev-del", node_name=name)
    return is_last


def _take_filter(qmp: Qmp, name: str) -> None:
    with contextlib.suppress(_NoDisk):  # it was not put above the disk yet
        device, _ = _find_disk(qmp, node=name)
        qmp.execute("qom-set", path=device, property="drive", value=_below(qmp, name))
    qmp.execute("blockdev-del", node_name=name)


def _below(qmp: Qmp, name: str) -> str:
    """The node that a filter lies above."""
    graph = qmp.execute("x-debug-query-block-graph")
    numbers = {int(node["id"]): str(node["name"]) for node in graph["nodes"] if node["type"] == "block-driver"}
    above = next(number for number, known in numbers.items() if known == name)
    edges = (edge for edge in graph["edges"] if int(edge["parent"]) == above and edge["name"] == "file")
    return numbers[int(next(edges)["child"])]


def _exports(qmp: Qmp, tag: str) -> list[str]:
    ids = (str(export["id"]) for export in qmp.execute("query-block-exports"))
    return [each for each in ids if each.startswith(f"{EXPORT}-{tag}-")]


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
            if node is None and str(inserted["node-name"]).startswith(f"{FILTER}-"):
                raise DiskBusy(f"{filename} is being read already")
            device = str(entry["qdev"]).removesuffix("/virtio-backend")  # a path, or the id of a device that has one
            return device if device.startswith("/") else f"/machine/peripheral/{device}", str(inserted["node-name"])
    raise _NoDisk("QEMU has no such disk")
