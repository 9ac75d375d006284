"""The files of volumes: one qcow2 each, in its instance's directory, or in ``<data>/volumes`` while it is detached.

    <data>/volumes/vol-….qcow2   the server's own, out of every guest's reach
                                 │ move_in ▼   ▲ move_out
    instances/<id>/vol-….qcow2   the instance's uid's, for its QEMU

A move is one rename, and a change of owner that is made again where it was not finished: both may be asked for twice.  They are
called with the instance's lock held.  The file grows with its volume (:func:`fit`), in the header first.
"""

import contextlib
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from amiable.vm import machine
from amiable.vm.directory import Directory
from amiable.vm.machine import MachineFailed

QCOW2_HEAD: Final = struct.Struct(">4s20xQ")
"""The magic, and the virtual size at offset 24."""


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
    """How long the disk in the qcow2 file is, in bytes."""
    with os.fdopen(directory.open(name, os.O_RDONLY), "rb") as file:
        head = file.read(QCOW2_HEAD.size)
    if len(head) < QCOW2_HEAD.size:
        raise MachineFailed(f"{name} is cut short")
    magic, size_bytes = QCOW2_HEAD.unpack(head)
    if magic != b"QFI\xfb":
        raise MachineFailed(f"{name} is not as it was made")
    return int(size_bytes)
