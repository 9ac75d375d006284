"""The files of volumes: one qcow2 each, in its instance's directory, or in ``<data>/volumes`` while it is detached.

    <data>/volumes/vol-….qcow2   the server's own, out of every guest's reach
                                 │ move_in ▼   ▲ move_out
    instances/<id>/vol-….qcow2   the instance's uid's, for its QEMU

A move is one rename, and a change of owner that is made again where it was not finished: both may be asked for twice.  They are
called with the instance's lock held.  The file grows with its volume (:func:`fit`), in the header first.

A guest that broke out of QEMU may have written the file, and may hold it open: the server's own tools are led nowhere by it
(:func:`check_header`), and it is detached once nobody can write to it.
"""

import contextlib
import errno
import fcntl
import json
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from amiable.vm import machine
from amiable.vm.directory import Directory
from amiable.vm.machine import MachineFailed

QCOW2_HEAD: Final = struct.Struct(">4s20xQ40xQ")
"""The magic, the virtual size at offset 24, and the incompatible features at offset 72."""
QCOW2_EXTERNAL_DATA: Final = 4


def file_name(volume_id: str) -> str:
    """The volume's file, in whichever folder."""
    return f"{volume_id}.qcow2"


@contextmanager
def open_volumes(data: Path) -> Iterator[Directory]:
    """The folder of detached volumes; made where there is none."""
    path = data / "volumes"
    path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield Directory(path, descriptor, None)
    finally:
        os.close(descriptor)


def move_in(data: Path, directory: Directory, volume_id: str) -> None:
    """The volume's file, where there is one, is in the instance's directory, for its QEMU to write."""
    name = file_name(volume_id)
    if not directory.exists(name):
        with open_volumes(data) as folder, contextlib.suppress(FileNotFoundError):
            os.rename(name, name, src_dir_fd=folder.descriptor, dst_dir_fd=directory.descriptor)
            os.fsync(directory.descriptor)
            os.fsync(folder.descriptor)
    if directory.uid is not None and directory.exists(name):
        _give(directory, name, directory.uid)


def move_out(data: Path, directory: Directory, volume_id: str) -> None:
    """The volume's file, where there is one, is in the folder of detached volumes, out of the guest's reach."""
    name = file_name(volume_id)
    with open_volumes(data) as folder:
        with contextlib.suppress(FileNotFoundError):
            os.close(directory.open(name, os.O_RDONLY))  # a regular file, or nothing is moved
            os.rename(name, name, src_dir_fd=directory.descriptor, dst_dir_fd=folder.descriptor)
            os.fsync(folder.descriptor)
            os.fsync(directory.descriptor)
        if os.geteuid() == 0 and folder.exists(name):
            _give(folder, name, 0)
            _check_let_go(folder, name)


def _check_let_go(directory: Directory, name: str) -> None:
    """Refuses a file that another process can write to: the kernel then gives no lease of it."""
    descriptor = directory.open(name, os.O_RDONLY)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # ignored; what says that a lease ends would end us
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise MachineFailed(f"{name} is still open to a process that can write to it") from None
        # a file system without leases
    finally:
        os.close(descriptor)  # and with it the lease


def _give(directory: Directory, name: str, uid: int) -> None:
    descriptor = directory.open(name, os.O_RDONLY)
    try:
        facts = os.fstat(descriptor)
        if facts.st_nlink != 1:
            raise MachineFailed(f"{name} has another name beside it")
        if facts.st_uid != uid:
            os.fchown(descriptor, uid, uid)
    finally:
        os.close(descriptor)


def remove(data: Path, volume_id: str) -> None:
    """Removes a detached volume's file."""
    with open_volumes(data) as folder:
        folder.unlink(file_name(volume_id))


def list_detached(data: Path) -> list[str]:
    """The ids of the volumes whose files lie in the folder of detached ones."""
    with open_volumes(data) as folder:
        return sorted(path.stem for path in folder.path.iterdir() if path.suffix == ".qcow2")


def fit(directory: Directory, volume_id: str, size_bytes: int) -> None:
    """The volume's file is at least ``size_bytes`` long to its guest; no QEMU has it open.  Nothing where there is no file."""
    name = file_name(volume_id)
    if not directory.exists(name) or virtual_size(directory, name) >= size_bytes:
        return
    program = machine.find_program("qemu-img", "qemu-utils")
    # Without its base: what lies below is shorter than the file is already, and is not being served.
    node = {"driver": "qcow2", "file": {"driver": "file", "filename": name}, "backing": None}
    machine.run_tool(directory, [program, "resize", "-q", f"json:{json.dumps(node)}", str(size_bytes)])


def virtual_size(directory: Directory, name: str) -> int:
    """How long the disk in the qcow2 file is, in bytes; refuses what :func:`check_header` refuses."""
    with os.fdopen(directory.open(name, os.O_RDONLY), "rb") as file:
        return check_header(name, file.read(QCOW2_HEAD.size))


def check_header(name: str, head: bytes) -> int:
    """The disk's bytes, from the beginning of its file; refuses one whose data are in another file: it could be any of the host's."""
    if len(head) < QCOW2_HEAD.size:
        raise MachineFailed(f"{name} is cut short")
    magic, size_bytes, features = QCOW2_HEAD.unpack(head)
    if magic != b"QFI\xfb" or features & QCOW2_EXTERNAL_DATA:
        raise MachineFailed(f"{name} is not as it was made")
    return int(size_bytes)
