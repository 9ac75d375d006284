"""An instance's serial console: a log that QEMU appends to, and a socket beside it.

QEMU writes the log itself (``logappend``), whether or not a server lives, and drops the socket's copy while nobody is connected: a
guest never blocks on its console.  The log is bounded by cutting it here; QEMU appends, so its next byte lands at the new end.
"""

import os
import re
from typing import Final

from amiable.model.units import KIB, MIB
from amiable.vm.directory import Directory
from amiable.vm.machine import CONSOLE

LOG_BYTES_MAX: Final = 4 * MIB
KEPT_BYTES: Final = 512 * KIB
"""What a cut leaves: the end, far more than GetConsoleOutput shows."""


def tail(directory: Directory, bytes_max: int, name: str = CONSOLE) -> bytes:
    """The log's last ``bytes_max`` bytes; empty before a first boot."""
    try:
        descriptor = directory.open(name, os.O_RDONLY)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - bytes_max))
        return file.read(bytes_max)


def read(directory: Directory, start: int, bytes_max: int) -> bytes:
    """The log from byte ``start`` on, ``bytes_max`` at most; empty before a first boot and behind the end."""
    try:
        descriptor = directory.open(CONSOLE, os.O_RDONLY)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(start)
        return file.read(bytes_max)


def bound(directory: Directory, name: str = CONSOLE) -> bool:
    """Cuts a log that is too long to its end; whether it did.  What QEMU writes during the cut may be lost."""
    try:
        descriptor = directory.open(name, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return False
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        size = os.fstat(descriptor).st_size
        if size <= LOG_BYTES_MAX:
            return False
        kept = os.pread(descriptor, KEPT_BYTES, size - KEPT_BYTES)
        file.truncate(0)
        file.write(kept)
        return True


def readable(text: bytes, lines_max: int) -> str:
    """The last lines as plain text: no escape sequences, no other control characters, no empty lines."""
    plain = re.sub(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|c)", b"", text).replace(b"\r", b"\n")
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in plain.decode(errors="replace").split("\n")]
    return "\n".join([line for line in lines if line][-lines_max:])
