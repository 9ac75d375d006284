"""The exporter: serves the blocks of volumes to QEMU over NBD, whether a server lives or not.

    python -m amiable.server.exporter --data DIR --control DIR/exporter/control.sock

    <data>/exporter/control.sock   0600; one JSON object a line, answered by one: add, remove, ping
                    exports.json   what is exported: a new process after a crash serves the same again, on the same sockets
                    process.json   pid, start time and boot id of the process that holds the lock
                    lock           flock: one exporter a data directory
                    log            a line for each block that is fetched from a pack, and for what goes wrong

It has a session of its own, never opens the database, reads maps and packs only, and ends by SIGTERM, or when it has had nothing to
export for a while.  Peers are known by their uid (SO_PEERCRED): the instance's own, ours, and root.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from amiable.blocks.export_map import MapDamaged
from amiable.blocks.files import Files
from amiable.blocks.unix_socket import bind, peer_uid, unlink
from amiable.model.units import KIB
from amiable.server.export_requests import Add, Ping, Remove, Request
from amiable.server.exported_volume import PAUSE_SECONDS, Exported, begins
from amiable.server.exporter_log import Log
from amiable.vm.launcher import (
    CLONE_NEWNET,
    PR_SET_NO_NEW_PRIVS,
    boot_id,
    libc_call,
    raise_descriptor_limit,
    start_ticks,
)
from amiable.vm.turns import Turns

EXPORTS_MAX: Final = 1024
CONTROL_CONNECTIONS_MAX: Final = 8
CONTROL_SECONDS_MAX: Final = 30
LINE_BYTES_MAX: Final = 64 * KIB
IDLE_SECONDS_MAX: Final = 60
VOLUME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
SOCKET_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Wrong(Exception):
    """A control request that cannot be done; its text is the answer."""


class Ending(Exception):
    """The process ends: whoever asks gets no answer, and asks the next one."""


class Exporter:
    """What is exported, and the control requests that change it.  Thread-safe."""

    def __init__(self, data: Path, log: Log) -> None:
        self._data = data
        self._log = log
        self._state = data / "exporter" / "exports.json"
        self._lock = threading.Lock()
        """Of the table and its record, for moments only: what takes time is done in the volume's turn."""
        self._volumes = Turns()
        self._requests = 0
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
            self._log.write(f"exports.json cannot be read: {error}", level="ERROR")
            return
        with self._lock:
            for what in known:
                try:
                    self._exports[what.volume] = Exported(what, self._data, self._log)
                except (OSError, MapDamaged) as error:
                    self._log.write(f"{what.volume} cannot be exported again: {error}", level="ERROR")
            self._save()

    def answer(self, request: Request) -> dict[str, Any]:
        """Does one request; raises Wrong, Ending.  One volume's do not wait for another's."""
        with self._under_way():
            match request:
                case Add():
                    with self._volumes.of(request.volume):
                        self._add(request)
                case Remove():
                    with self._volumes.of(request.volume):
                        self._remove(request.volume)
                case Ping():
                    return {"pid": os.getpid(), "exports": len(self._exports)}
        return {}

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        """The process does not end for want of work meanwhile; raises Ending where it ends."""
        with self._lock:
            if self._ending:
                raise Ending
            self._requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._requests -= 1
                self.busy_until = time.monotonic() + IDLE_SECONDS_MAX

    def is_idle(self) -> bool:
        """Whether nothing was exported or asked for a while; then nothing more is answered."""
        with self._lock:
            if self._exports or self._requests:
                self.busy_until = time.monotonic() + IDLE_SECONDS_MAX
            self._ending = self._ending or time.monotonic() > self.busy_until
            return self._ending

    def close(self) -> None:
        """Ends every export; the record of them stays."""
        with self._lock:
            self._ending = True
            ended = list(self._exports.values())
            self._exports.clear()
        for exported in ended:
            exported.close()

    def _add(self, what: Add) -> None:
        self._check(what)
        present = self._exports.get(what.volume)
        if present is not None:
            if present.what == what and present.blocks.checksum == _checksum_of(Path(what.map)):
                return
            self._remove(what.volume)
        try:
            made = Exported(what, self._data, self._log)
        except (OSError, MapDamaged) as error:
            raise Wrong(f"{what.volume}: {error}") from error
        try:
            self._keep(made)
        except (Wrong, Ending, OSError):
            made.close()
            raise
        self._log.write(f"{what.volume} added, {made.blocks.size_bytes} bytes")

    def _keep(self, made: Exported) -> None:
        with self._lock:
            if self._ending:
                raise Ending
            if len(self._exports) >= EXPORTS_MAX:
                raise Wrong(f"{EXPORTS_MAX} volumes are exported already")
            self._exports[made.what.volume] = made
            self._save()

    def _check(self, what: Add) -> None:
        if not VOLUME.fullmatch(what.volume) or not SOCKET_NAME.fullmatch(Path(what.socket).name):
            raise Wrong("the name of a volume or socket is not acceptable")
        if Path(what.map).resolve().parent != (self._data / "exports").resolve():
            raise Wrong("a map lies in the data directory's exports folder")
        if not 0 < (what.size_bytes or 512) < 1 << 63 or what.uid < 0:
            raise Wrong("a size is above 0, a uid is not below 0")

    def _remove(self, volume: str) -> None:
        with self._lock:
            if self._ending:
                raise Ending
            exported = self._exports.pop(volume, None)
            if exported is not None:
                self._save()
        if exported is not None:
            exported.close()
            self._log.write(f"{volume} removed")

    def _save(self) -> None:
        """Records what is exported; there is a record only while something is."""
        if not self._exports:
            self._state.unlink(missing_ok=True)
            return
        Files().write_whole(self._state, msgspec.json.encode([exported.what for exported in self._exports.values()]))


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
            places.release()
            if listener.fileno() < 0:
                return
            time.sleep(PAUSE_SECONDS)
            continue
        thread = threading.Thread(target=_talk, args=(connection, exporter, places), daemon=True, name="control")
        if peer_uid(connection) not in (os.geteuid(), 0) or not begins(thread):
            connection.close()
            places.release()


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
        request: Request = msgspec.json.decode(line, type=Request)
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
    raise_descriptor_limit()
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 69
    log = Log(folder / "log")
    threading.excepthook = log.write_failure
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
