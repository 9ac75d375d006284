"""The exporter's log: what shows that a block was served, and when."""

import contextlib
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from amiable.model.units import MIB

LOG_BYTES_MAX: Final = 16 * MIB


class Log:
    """The log: lines with a time, at most ``LOG_BYTES_MAX`` and as much again in ``log.1``.  Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, text: str) -> None:
        """Adds one line; a full disk loses it."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock, contextlib.suppress(OSError):
            if os.fstat(self._descriptor).st_size > LOG_BYTES_MAX:
                self._path.rename(self._path.with_name(self._path.name + ".1"))
                os.close(self._descriptor)
                self._descriptor = self._open()
            os.write(self._descriptor, f"{stamp} {text}\n".encode())
