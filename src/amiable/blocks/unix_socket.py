"""UNIX sockets in folders that may belong to the peer, at paths that may be longer than the 107 bytes of an address."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """A descriptor of a folder, which is no symbolic link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def bind(path: Path, *, mode: int) -> socket.socket:
    """A listening UNIX socket at ``path``, however long, in place of one that was there.

    The folder may belong to the peer, so nothing at ``path`` is followed or changed after it is made: the mode comes from the
    umask alone, which no other file here depends on (all are opened with a mode of their own).
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with opened_folder(path.parent) as folder:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path.name, dir_fd=folder)
            before = os.umask(0o777 & ~mode)
            try:
                listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            finally:
                os.umask(before)
        listener.listen(16)
    except BaseException:
        listener.close()
        raise
    return listener


def unlink(path: Path) -> None:
    """Removes a socket, if its folder and it are still there."""
    with contextlib.suppress(OSError), opened_folder(path.parent) as folder:
        os.unlink(path.name, dir_fd=folder)


def peer_uid(connection: socket.socket) -> int:
    """The uid of the process at the other end."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)
