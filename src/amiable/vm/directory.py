"""One instance's directory: where its QEMU lives, and the only place that QEMU sees.

    instances/<id>/          0700, owned by the instance's uid (started by root), else by the server's user
      vol-….qcow2            overlays, written by QEMU          vol-….nbd      sockets of the exporter
      console.log            the serial port's output           qemu.log       QEMU's own words
      qmp.sock qmp2.sock serial.sock agent.sock holder.sock     process.json holder.json   records (the server's uid)
      kernel ramdisk         a paravirtual image's, copied      sercon-port uefi-variables.fd
      xen vmlinux            the Xen appliance's, linked        instance.cpio appliance.log
      host-keys              what the guest printed (the server's uid)

Started by root, whatever lies in it may have been put there by a guest that broke out of QEMU: every file is opened relative to the
directory's descriptor, no link is followed, and what we make we make anew.  A UNIX path stops at 107 bytes, so sockets are reached
through ``/proc/self/fd/N``.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOG = "qemu.log"
LOCK_SECONDS_MAX = 0.5
"""A job that does not have the lock by then is put back: who has it may need the worker."""
COPY_BYTES = 1 << 20
_uids = threading.Lock()


class DirectoryBusy(Exception):
    """Another thread or process of ours works on the instance."""


@dataclass(frozen=True, slots=True)
class Directory:
    """An open instance directory.  ``uid`` is who QEMU runs as; None: as the server's user."""

    path: Path
    descriptor: int
    uid: int | None

    def connect(self, name: str, kind: int = socket.SOCK_STREAM, *, wait_seconds: float = 5.0) -> socket.socket:
        """A connection to the UNIX socket ``name``; raises OSError."""
        connection = socket.socket(socket.AF_UNIX, kind)
        try:
            connection.settimeout(wait_seconds)
            connection.connect(f"/proc/self/fd/{self.descriptor}/{name}")
            connection.settimeout(None)
        except OSError:
            connection.close()
            raise
        return connection

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor of the regular file ``name``; links are not followed."""
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=self.descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{name} is not a regular file")
        return descriptor

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name."""
        try:
            os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def unlink(self, name: str) -> None:
        """Removes ``name`` where it is."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def write(self, name: str, body: bytes) -> None:
        """Makes ``name`` anew, for QEMU to read."""
        with self._new(name) as file:
            _write_all(file, body)

    def write_parts(self, name: str, parts: Iterable[bytes]) -> None:
        """Makes ``name`` anew of ``parts``, for QEMU to read."""
        with self._new(name) as target:
            for part in parts:
                _write_all(target, part)

    def put(self, name: str, parts: Iterable[tuple[int, bytes]], size_bytes: int) -> None:
        """Makes ``name`` of ``size_bytes``, zero but for ``parts`` at their offsets, for QEMU to read and write; whole or not at all.

        Durable on return, and its bytes before its name: what a crash of the host leaves under the name is never made again.
        """
        temp = name + ".new"
        with self._new(temp) as target:
            os.ftruncate(target, size_bytes)
            for offset, part in parts:
                os.lseek(target, offset, os.SEEK_SET)
                _write_all(target, part)
            os.fdatasync(target)
        os.rename(temp, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        os.fsync(self.descriptor)

    def link_in(self, source: Path, name: str) -> None:
        """Makes ``name`` anew as the file ``source``, which nobody may write to; a copy where it lies on another file system."""
        self.unlink(name)
        try:
            os.link(source, name, dst_dir_fd=self.descriptor)
        except OSError:
            self.copy_in(source, name)

    def copy_in(self, source: Path, name: str) -> None:
        """Makes ``name`` anew with the bytes of ``source``."""
        with self._new(name) as target, source.open("rb") as file:
            while chunk := file.read(COPY_BYTES):
                _write_all(target, chunk)

    def keep(self, name: str, body: bytes) -> None:
        """Makes or replaces ``name`` whole, for the server alone; a guest's QEMU may remove it, but not make one that is ours."""
        temp = f".{name}.new"
        self.unlink(temp)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temp, flags, 0o600, dir_fd=self.descriptor), "wb") as file:
            file.write(body)
        os.rename(temp, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def kept(self, name: str, bytes_max: int) -> bytes | None:
        """What :meth:`keep` wrote; None without a file that is the server's own."""
        try:
            descriptor = self.open(name, os.O_RDONLY)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            return file.read(bytes_max) if facts.st_uid == os.geteuid() and facts.st_nlink == 1 else None

    @contextmanager
    def _new(self, name: str) -> Iterator[int]:
        self.unlink(name)
        descriptor = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.descriptor
        )
        try:
            if self.uid is not None:
                os.fchown(descriptor, self.uid, self.uid)
            yield descriptor
        finally:
            os.close(descriptor)


def _write_all(target: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(target, view) :]


@contextmanager
def open_directory(data: Path, instance_id: str) -> Iterator[Directory]:
    """The instance's directory; raises FileNotFoundError."""
    path = data / "instances" / instance_id
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        owner = os.fstat(descriptor).st_uid
        yield Directory(path, descriptor, owner if os.geteuid() == 0 else None)
    finally:
        os.close(descriptor)


def make_directory(data: Path, instance_id: str, uids: range) -> None:
    """Makes the directory unless it is there; started by root, for a uid of ``uids`` that no other directory has."""
    folder = data / "instances"
    with _uids:
        if (folder / instance_id).is_dir():
            return
        temp = folder / f".{instance_id}.new"
        shutil.rmtree(temp, ignore_errors=True)
        temp.mkdir(mode=0o700)
        if os.geteuid() == 0:
            uid = _free_uid(folder, uids)
            os.chown(temp, uid, uid)
        temp.rename(folder / instance_id)


def _free_uid(folder: Path, uids: range) -> int:
    taken = set()
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # an instance that ends just now
            taken.add(entry.stat(follow_symlinks=False).st_uid)
    free = next((uid for uid in uids if uid not in taken), None)
    if free is None:
        why = f"All {len(uids)} user ids of guests are taken (the administrator can raise the setting guest_uid_count)"
        raise OSError(errno.EUSERS, why)
    return free


def remove_directory(data: Path, instance_id: str) -> None:
    """Removes the directory and all in it.  ``rmtree`` follows no link here (it works by descriptors on Linux)."""
    assert shutil.rmtree.avoids_symlink_attacks
    path = data / "instances" / instance_id
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


@contextmanager
def locked(directory: Directory, wait_seconds: float = LOCK_SECONDS_MAX) -> Iterator[int]:
    """Holds the instance's lock: one of us at a time starts or ends its processes.  Yields the locked descriptor.

    A process being launched inherits that descriptor, and gives the lock up when its record is written.
    """
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory.descriptor)
    try:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DirectoryBusy(directory.path.name) from None
                time.sleep(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end of a UNIX connection, as it was when it began to listen."""
    size = struct.calcsize("3i")
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0])
