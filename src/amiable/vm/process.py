"""A process that outlives the server: started in a session of its own, known by pid, start time and boot id, found again by its record.

    <directory>/process.json   QEMU's record, written by itself before it becomes QEMU (``vm/launcher``)
    <directory>/holder.json    the network holder's

The directory belongs to the instance's uid, so a record is believed only where its file belongs to the server's own uid: a guest that
broke out of QEMU cannot make the server end another process.  Killing goes through a pidfd whose start time was compared after it
was opened: a pid that was used again is never hit.
"""

import contextlib
import fcntl
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from amiable.vm.launcher import DIRECTORY, READY, boot_id, is_readable, start_ticks

RECORD_BYTES_MAX: Final = 64 * 1024
QEMU_RECORD: Final = "process.json"
HOLDER_RECORD: Final = "holder.json"
PASSED: Final = READY + 1
"""The first descriptor that a child is given beyond the fixed ones."""
SOURCE_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Process:
    """The identity of one process; ``facts`` is what its starter said about it."""

    pid: int
    start_ticks: int
    boot_id: str
    facts: dict[str, Any] = field(default_factory=dict)

    def open(self) -> int | None:
        """A pidfd of the live process; None when it has ended."""
        if self.boot_id != boot_id():
            return None
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if _is_same(self):
            return descriptor
        os.close(descriptor)
        return None

    def is_alive(self) -> bool:
        """Whether it still runs; a zombie of ours is reaped and counts as ended."""
        return self.boot_id == boot_id() and _is_same(self)

    def end(self, *, wait_seconds: float, first: signal.Signals = signal.SIGKILL) -> bool:
        """Signals it, waits, kills; whether it has ended."""
        descriptor = self.open()
        if descriptor is None:
            return True
        try:
            for number in dict.fromkeys((first, signal.SIGKILL)):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
                if has_ended(descriptor, wait_seconds):
                    self.is_alive()  # reaps
                    return True
            return False
        finally:
            os.close(descriptor)


def has_ended(pidfd: int, wait_seconds: float) -> bool:
    """Whether the process ends within ``wait_seconds``."""
    return is_readable(pidfd, wait_seconds)


def _is_same(process: Process) -> bool:
    try:
        text = Path(f"/proc/{process.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    words = text.rpartition(")")[2].split()
    if int(words[19]) != process.start_ticks:
        return False
    if words[0] not in "ZX":
        return True
    try:  # a zombie whose other threads have not ended is not waitable yet, and still holds its files
        return os.waitpid(process.pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def read_record(directory: int, name: str) -> Process | None:
    """The process that a record names; None without a record that is ours and whole."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_nlink != 1:
            return None
        body = file.read(RECORD_BYTES_MAX)
    try:
        record = json.loads(body)
        identity = Process(int(record.pop("pid")), int(record.pop("start_ticks")), str(record.pop("boot_id")), record)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return identity


def remove_record(directory: int, name: str) -> None:
    """Forgets an ended process."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def python() -> str:
    """The interpreter that runs this."""
    return sys.executable


def environment_of(*folders: Path | str) -> dict[str, str]:
    """The environment of a process that finds modules in ``folders``: nothing of ours but the zone in which its log tells the time."""
    zone = {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}
    path = os.pathsep.join(str(folder) for folder in folders)
    return {"PYTHONPATH": path, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **zone}


def spawn(
    module: str, what: dict[str, Any], *, directory: int, log: int, passed: Sequence[int] = (), ready: int | None = None
) -> int:
    """Starts ``python -S -m module JSON`` in a session of its own; its pid.

    Descriptors of the child: 0 and 1 ``/dev/null``, 2 ``log``, 3 ``directory`` (and its lock), 4 ``ready``, ``passed`` from 5 on.
    """
    wanted = [log, directory, *([ready] if ready is not None else []), *passed]
    targets = [2, DIRECTORY, *([READY] if ready is not None else []), *range(PASSED, PASSED + len(passed))]
    with contextlib.ExitStack() as stack:
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        ]
        for source, target in zip(wanted, targets, strict=True):
            high = _above(source, 64)
            stack.callback(os.close, high)
            actions.append((os.POSIX_SPAWN_DUP2, high, target))
        argv = [python(), "-S", "-s", "-P", "-B", "-m", module, json.dumps(what)]
        return os.posix_spawn(
            python(), argv, environment_of(SOURCE_ROOT), file_actions=actions, setsid=True, setsigmask=[]
        )


def _above(descriptor: int, lowest: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)


def wait_for_record(directory: int, name: str, pid: int, *, wait_seconds: float) -> Process | None:
    """The record of the child ``pid`` once it has written it; None when it ended or was too slow."""
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        found = read_record(directory, name)
        if found is not None and found.pid == pid:
            return found
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return None
        time.sleep(0.005)
    return None


def identity_of(pid: int) -> Process:
    """The identity of a process that is known to be the right one now."""
    return Process(pid, start_ticks(pid), boot_id())
