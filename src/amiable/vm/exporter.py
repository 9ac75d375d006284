"""The exporter as its starter sees it: started once a data directory, found again, told what to serve.

The exporter itself is ``python -m amiable.server.exporter``; this speaks to its control socket (JSON lines, see there) and knows
nothing of packs and maps.  It outlives the server: session of its own, no descriptor of the server's.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from amiable.model.errors import Unavailable
from amiable.vm.process import SOURCE_ROOT, Process, environment_of, python, read_record

START_SECONDS_MAX: Final = 30
ANSWER_SECONDS_MAX: Final = 20
END_SECONDS_MAX: Final = 20
ANSWER_BYTES_MAX: Final = 1 << 20
RECORD: Final = "process.json"


class ExporterUnavailable(Unavailable):
    template = "The block exporter does not answer: {why}"
    hint = "See exporter/log and exporter/errors.log in the data directory."


def ensure_running(data: Path) -> Process:
    """The live exporter of ``data``, started where there was none; one that does not answer is ended first.

    It serves what an earlier one served.  Raises ExporterUnavailable.
    """
    folder = data / "exporter"
    folder.mkdir(mode=0o700, exist_ok=True)
    with _starting(folder):
        found = find(data)
        if found is not None:
            try:
                _ask(data, {"do": "ping"})
                return found
            except ExporterUnavailable:
                found.end(wait_seconds=END_SECONDS_MAX)
        pid = _spawn(data, folder)
        return _wait(data, pid)


def find(data: Path) -> Process | None:
    """The exporter that runs for ``data``; None when there is none."""
    try:
        descriptor = os.open(data / "exporter", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = read_record(descriptor, RECORD)
    finally:
        os.close(descriptor)
    return found if found is not None and found.is_alive() else None


@dataclass(frozen=True, slots=True)
class Export:
    """A volume to be served: a disk of ``size_bytes`` (None: as the map says) on ``socket_path`` to ``uid``."""

    volume_id: str
    map_path: Path
    socket_path: Path
    uid: int
    size_bytes: int | None = None


def add_export(data: Path, export: Export) -> None:
    """Serves the volume; twice is once.

    Starts the exporter where it does not run.  Raises ExporterUnavailable.
    """
    ensure_running(data)
    facts = {
        "volume": export.volume_id,
        "map": str(export.map_path),
        "socket": str(export.socket_path),
        "size_bytes": export.size_bytes,
        "uid": export.uid,
    }
    try:
        _ask(data, {"do": "add", **facts})
    except _NoAnswer:  # it may just have ended, having nothing to do
        ensure_running(data)
        _ask(data, {"do": "add", **facts})


def remove_export(data: Path, volume_id: str) -> None:
    """Serves the volume no more; nothing where it was not served, or no exporter runs."""
    with contextlib.suppress(_NoAnswer):
        _ask(data, {"do": "remove", "volume": volume_id})
    _forget(data, volume_id)


class _NoAnswer(ExporterUnavailable):
    """There is nobody at the control socket."""


@contextlib.contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """One starter at a time."""
    descriptor = os.open(folder / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _spawn(data: Path, folder: Path) -> int:
    log = os.open(folder / "errors.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        environment = environment_of(SOURCE_ROOT, *filter(None, [os.environ.get("PYTHONPATH")]))
        argv = [python(), "-s", "-P", "-m", "amiable.server.exporter", "--data", str(data.resolve())]
        return os.posix_spawn(python(), argv, environment, file_actions=actions, setsid=True, setsigmask=[])
    finally:
        os.close(log)


def _wait(data: Path, pid: int) -> Process:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        found = find(data)
        if found is not None and found.pid == pid:
            with contextlib.suppress(_NoAnswer):
                _ask(data, {"do": "ping"})
                return found
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                said = (data / "exporter" / "errors.log").read_text(errors="replace")[-2000:].strip()
                raise ExporterUnavailable(why=f"it ended at its start. {said}")
        time.sleep(0.02)
    raise ExporterUnavailable(why=f"it did not start within {START_SECONDS_MAX} s")


def _ask(data: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The exporter's answer; raises ExporterUnavailable with what it said when it refused."""
    try:
        answer = _exchange(data / "exporter", json.dumps(request).encode() + b"\n")
    except (FileNotFoundError, ConnectionError) as error:
        raise _NoAnswer(why=str(error)) from error
    except OSError as error:
        raise ExporterUnavailable(why=str(error)) from error
    if not answer.endswith(b"\n"):
        raise _NoAnswer(why="it closed the connection")
    said: dict[str, Any] = json.loads(answer)
    if not said.pop("ok"):
        raise ExporterUnavailable(why=said["error"])
    return said


def _exchange(folder: Path, line: bytes) -> bytes:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_SECONDS_MAX)
            connection.connect(f"/proc/self/fd/{descriptor}/control.sock")
            connection.sendall(line)
            with connection.makefile("rb") as stream:
                return stream.readline(ANSWER_BYTES_MAX)
    finally:
        os.close(descriptor)


def _forget(data: Path, volume_id: str) -> None:
    """Removes what an exporter that does not run left of the volume: its cache, and its place in the record."""
    path = data / "exporter" / "exports.json"
    with _starting(data / "exporter"):
        if find(data) is not None:
            return
        (data / "exports" / f"{volume_id}.cache").unlink(missing_ok=True)
        if not path.exists():
            return
        kept = [export for export in json.loads(path.read_bytes()) if export.get("volume") != volume_id]
        if not kept:
            path.unlink()
            return
        temporary = path.with_name("exports.json.forget")
        temporary.write_text(json.dumps(kept))
        temporary.rename(path)
