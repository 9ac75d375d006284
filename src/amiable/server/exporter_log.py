"""The exporter's log: what shows that a block was served, and when; its lines are those of the server's log."""

import contextlib
import os
import threading
import time
import traceback
from pathlib import Path
from typing import Final

from amiable.model.units import MIB
from amiable.vm.log_line import log_line, set_in

LOG_BYTES_MAX: Final = 16 * MIB
NAME: Final = "amiable.exporter"


class Log:
    """The log, at most ``LOG_BYTES_MAX`` and as much again in ``log.1``.  Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, text: str, *, level: str = "INFO") -> None:
        """Adds one line; a full disk loses it."""
        self._add(log_line(level, NAME, text, time.time()))

    def write_failure(self, failed: threading.ExceptHookArgs) -> None:
        """Adds what a thread ended by, with its traceback."""
        thread = failed.thread.name if failed.thread is not None else "a thread"
        line = log_line("ERROR", NAME, f"{thread} failed: {failed.exc_type.__name__}: {failed.exc_value}", time.time())
        trace = traceback.format_exception(failed.exc_type, failed.exc_value, failed.exc_traceback)
        self._add(f"{line}\n{set_in(''.join(trace).rstrip())}")

    def _add(self, lines: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            if os.fstat(self._descriptor).st_size > LOG_BYTES_MAX:
                with contextlib.suppress(FileNotFoundError):  # there was no descriptor for the new one
                    self._path.rename(self._path.with_name(self._path.name + ".1"))
                full, self._descriptor = self._descriptor, self._open()
                os.close(full)
            os.write(self._descriptor, lines.encode(errors="backslashreplace") + b"\n")
