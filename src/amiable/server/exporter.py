"""The exporter: serves the blocks of volumes to QEMU over NBD, whether a server lives or not.

    python -m amiable.server.exporter --data DIR --control DIR/exporter/control.sock

    <data>/exporter/control.sock   0600; one JSON object a line, answered by one: add, remove, list, ping, stop
                    exports.json   what is exported: a new process after a crash serves the same again, on the same sockets
                    process.json   pid, start time and boot id of the process that holds the lock
                    lock           flock: one exporter a data directory
                    log            a line for each block that is fetched from a pack, and for what goes wrong

It has a session of its own, never opens the database, reads maps and packs only, and ends by ``stop``, by SIGTERM, or when it has
had nothing to export for a while.  Peers are known by their uid (SO_PEERCRED): the instance's own, ours, and root.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from amiable.blocks import nbd
from amiable.blocks.cache import VolumeBlocks
from amiable.blocks.export_map import MapDamaged
from amiable.blocks.files import Files
from amiable.blocks.unix_socket import bind, peer_uid, unlink
from amiable.model.units import KIB, MIB
from amiable.server.exporter_log import Log
from amiable.vm.launcher import CLONE_NEWNET, PR_SET_NO_NEW_PRIVS, boot_id, libc_call, start_ticks

EXPORTS_MAX: Final = 1024
CONNECTIONS_PER_EXPORT_MAX: Final = 16
CONTROL_CONNECTIONS_MAX: Final = 8
CONTROL_SECONDS_MAX: Final = 30
LINE_BYTES_MAX: Final = 64 * KIB
DRAIN_SECONDS_MAX: Final = 10
IDLE_SECONDS_MAX: Final = 60
SEND_BUFFER_BYTES: Final = 2 * MIB
VOLUME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
SOCKET_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Wrong(Exception):
    """A control request that cannot be done; its text is the answer."""


class Ending(Exception):
    """The process ends: whoever asks gets no answer, and asks the next one."""


class Add(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="add"):
    """Serve ``volume`` by the map ``map`` on the UNIX socket ``socket``, to ``uid``, as a disk of ``size_bytes`` (None: the map's)."""

    volume: str
    map: str
    socket: str
    uid: int
    size_bytes: int | None = None


class Remove(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="remove"):
    """Serve ``volume`` no more."""

    volume: str


class List(msgspec.Struct, frozen=True, tag_field="do", tag="list"):
    """Say what is served."""


class Ping(msgspec.Struct, frozen=True, tag_field="do", tag="ping"):
    """Say who serves."""


class Stop(msgspec.Struct, frozen=True, tag_field="do", tag="stop"):
    """End; what is exported stays on record."""


class Exported:
    """One volume that is served: its listener and the connections to it."""

    def __init__(self, what: Add, data: Path, log: Log) -> None:
        self.what = what
        self._log = log
        blocks = VolumeBlocks(
            Path(what.map),
            data / "packs",
            data / "exports" / f"{what.volume}.cache",
            what.size_bytes,
            fetched=lambda index: log.write(f"{what.volume} block {index}"),
        )
        self.blocks = blocks
        self._export = nbd.Export(what.volume, blocks.size_bytes, self._read, blocks.extents)
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._ended = False
        try:
            self._listener = bind(Path(what.socket), mode=0o666)
        except BaseException:
            blocks.close()
            raise
        threading.Thread(target=self._accept, daemon=True, name=f"accept {what.volume}").start()

    def close(self) -> None:
        """Ends listener and connections, and removes socket and cache."""
        with self._lock:
            self._ended = True
            connections = dict(self._connections)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        for thread in connections.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        unlink(Path(self.what.socket))
        if not any(thread.is_alive() for thread in connections.values()):
            self.blocks.close()

    @property
    def connection_count(self) -> int:
        """Clients that are connected now."""
        return len(self._connections)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            return self.blocks.read(offset, length)
        except OSError as error:
            self._log.write(f"{self.what.volume} read of {length} at {offset} failed: {error}")
            raise

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(connection,), daemon=True, name=f"nbd {self.what.volume}"
            )
            with self._lock:
                welcome = not self._ended and len(self._connections) < CONNECTIONS_PER_EXPORT_MAX
                if welcome and peer_uid(connection) in (self.what.uid, os.geteuid(), 0):
                    self._connections[connection] = thread
                    thread.start()
                    continue
            self._log.write(f"{self.what.volume} refused a connection of uid {peer_uid(connection)}")
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            nbd.serve(connection, self._export)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()


class Exporter:
    """What is exported, and the control requests that change it.  Thread-safe."""

    def __init__(self, data: Path, log: Log) -> None:
        self._data = data
        self._log = log
        self._state = data / "exporter" / "exports.json"
        self._lock = threading.Lock()
        self._exports: dict[str, Exported] = {}
        self._ending = False
        self.stopped = threading.Event()
        self.busy_until = time.monotonic() + IDLE_SECONDS_MAX

    def restore(self) -> None:
        """Exports again what an earlier process exported; what cannot be is logged and left out."""
        if not self._state.exists():
            return
        try:
            known = msgspec.json.decode(self._state.read_bytes(), type=list[Add])
        except msgspec.MsgspecError as error:
            self._log.write(f"exports.json cannot be read: {error}")
            return
        with self._lock:
            for what in known:
                try:
                    self._exports[what.volume] = Exported(what, self._data, self._log)
                except (OSError, MapDamaged) as error:
                    self._log.write(f"{what.volume} cannot be exported again: {error}")
            self._save()

    def answer(self, request: Add | Remove | List | Ping | Stop) -> dict[str, Any]:
        """Does one request; raises Wrong, Ending."""
        with self._lock:
            if self._ending:
                raise Ending
            self.busy_until = time.monotonic() + IDLE_SECONDS_MAX
            match request:
                case Add():
                    self._add(request)
                case Remove():
                    self._remove(request.volume)
                case List():
                    return {"exports": [self._facts(exported) for exported in self._exports.values()]}
                case Ping():
                    return {"pid": os.getpid(), "exports": len(self._exports)}
                case Stop():
                    self._ending = True
                    self.stopped.set()
        return {}

    def is_idle(self) -> bool:
        """Whether nothing was exported or asked for a while; then nothing more is answered."""
        with self._lock:
            if self._exports:
                self.busy_until = time.monotonic() + IDLE_SECONDS_MAX
            self._ending = self._ending or time.monotonic() > self.busy_until
            return self._ending

    def close(self) -> None:
        """Ends every export; the record of them stays."""
        with self._lock:
            for exported in self._exports.values():
                exported.close()
            self._exports.clear()

    def _add(self, what: Add) -> None:
        self._check(what)
        present = self._exports.get(what.volume)
        if present is not None:
            if present.what == what and present.blocks.checksum == _checksum_of(Path(what.map)):
                return
            self._exports.pop(what.volume).close()
        if len(self._exports) >= EXPORTS_MAX:
            raise Wrong(f"{EXPORTS_MAX} volumes are exported already")
        try:
            self._exports[what.volume] = Exported(what, self._data, self._log)
        except (OSError, MapDamaged) as error:
            raise Wrong(f"{what.volume}: {error}") from error
        finally:
            self._save()
        self._log.write(f"{what.volume} added, {self._exports[what.volume].blocks.size_bytes} bytes")

    def _check(self, what: Add) -> None:
        if not VOLUME.fullmatch(what.volume) or not SOCKET_NAME.fullmatch(Path(what.socket).name):
            raise Wrong("the name of a volume or socket is not acceptable")
        if Path(what.map).resolve().parent != (self._data / "exports").resolve():
            raise Wrong("a map lies in the data directory's exports folder")
        if not 0 < (what.size_bytes or 512) < 1 << 63 or what.uid < 0:
            raise Wrong("a size is above 0, a uid is not below 0")

    def _remove(self, volume: str) -> None:
        exported = self._exports.pop(volume, None)
        if exported is not None:
            self._save()
            exported.close()
            self._log.write(f"{volume} removed")

    def _save(self) -> None:
        """Records what is exported; there is a record only while something is."""
        if not self._exports:
            self._state.unlink(missing_ok=True)
            return
        Files().write_whole(self._state, msgspec.json.encode([exported.what for exported in self._exports.values()]))

    @staticmethod
    def _facts(exported: Exported) -> dict[str, Any]:
        what = exported.what
        return {
            "volume": what.volume,
            "map": what.map,
            "socket": what.socket,
            "size_bytes": exported.blocks.size_bytes,
            "uid": what.uid,
            "connections": exported.connection_count,
        }


def _checksum_of(path: Path) -> bytes:
    """The checksum at a map's end."""
    with path.open("rb") as file:
        file.seek(-32, os.SEEK_END)
        return file.read()


# ── control ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def serve_control(listener: socket.socket, exporter: Exporter) -> None:
    """Accepts control connections until the listener is closed; a bounded number is served at once."""
    places = threading.BoundedSemaphore(CONTROL_CONNECTIONS_MAX)
    while True:
        places.acquire()
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if peer_uid(connection) not in (os.geteuid(), 0):
            connection.close()
            places.release()
            continue
        threading.Thread(target=_talk, args=(connection, exporter, places), daemon=True, name="control").start()


def _talk(connection: socket.socket, exporter: Exporter, places: threading.BoundedSemaphore) -> None:
    try:
        connection.settimeout(CONTROL_SECONDS_MAX)
        with connection, connection.makefile("rwb") as stream:
            while line := stream.readline(LINE_BYTES_MAX):
                stream.write(json.dumps(_answer(line, exporter)).encode() + b"\n")
                stream.flush()
    except (OSError, Ending):
        return
    finally:
        places.release()


def _answer(line: bytes, exporter: Exporter) -> dict[str, Any]:
    try:
        request: Add | Remove | List | Ping | Stop = msgspec.json.decode(line, type=Add | Remove | List | Ping | Stop)
        return {"ok": True, **exporter.answer(request)}
    except (msgspec.MsgspecError, Wrong, OSError) as error:
        return {"ok": False, "error": str(error)}


# ── the process ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def close_strangers() -> None:
    """Closes every descriptor but the standard three: nothing of the starter's is kept alive here."""
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def leave_the_network() -> None:
    """Only UNIX sockets are spoken here: where the kernel lets us, the process has no network, and gains no rights."""
    with contextlib.suppress(OSError):
        libc_call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with contextlib.suppress(OSError):
        libc_call("unshare", CLONE_NEWNET)


def run(data: Path, control: Path) -> int:
    """Serves until it is told to stop, or has nothing to do; 0, or 69 when another exporter serves this directory."""
    folder = data / "exporter"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 69
    log = Log(folder / "log")
    identity = {"version": 1, "pid": os.getpid(), "start_ticks": start_ticks("self"), "boot_id": boot_id()}
    Files().write_whole(folder / "process.json", json.dumps(identity).encode())
    exporter = Exporter(data, log)
    signal.signal(signal.SIGTERM, lambda *_: exporter.stopped.set())
    signal.signal(signal.SIGINT, lambda *_: exporter.stopped.set())
    exporter.restore()
    listener = bind(control, mode=0o600)
    threading.Thread(target=serve_control, args=(listener, exporter), daemon=True, name="control").start()
    log.write(f"exporter {os.getpid()} serves")
    while not exporter.stopped.wait(1.0):
        if exporter.is_idle():
            break
    unlink(control)
    listener.close()
    exporter.close()
    (folder / "process.json").unlink(missing_ok=True)
    log.write(f"exporter {os.getpid()} ends")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m amiable.server.exporter", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument(
        "--control", type=Path, help="control socket; default: exporter/control.sock in the data directory"
    )
    given = parser.parse_args(arguments)
    return run(given.data, given.control or given.data / "exporter" / "control.sock")


if __name__ == "__main__":
    close_strangers()
    leave_the_network()
    sys.exit(main())
