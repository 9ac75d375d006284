"""An ext2, ext3 or ext4 file system in an image, filled entry by entry.

``mke2fs`` makes it empty and sparse: the image has only zeros there before, so nothing need be zeroed.  Then every entry gets an inode
through libext2fs, with its owner, mode, times to the nanosecond, extended attributes, device number and holes; names of one inode
of the source become names of one inode.

Features are the ones that every kernel since 2.6.28, GRUB 2.06 and PV-GRUB read: no 64bit, no metadata_csum, no orphan_file.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_uint, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from amiable.bundle.layout import data_runs
from amiable.bundle.new_file import EXIT_IO, FULL
from amiable.bundle.volume import libext2fs
from amiable.bundle.volume.libext2fs import ExtError, check, library
from amiable.bundle.volume.programs import run
from amiable.model.errors import LocalRefusal
from amiable.model.units import MIB

ExtType = Literal["ext2", "ext3", "ext4"]

_CLASSIC: Final = "ext_attr,resize_inode,dir_index,filetype,sparse_super,large_file"
FEATURES: Final[dict[str, str]] = {
    "ext2": _CLASSIC,
    "ext3": f"{_CLASSIC},has_journal",
    "ext4": f"{_CLASSIC},has_journal,extent,flex_bg,huge_file,uninit_bg,dir_nlink,extra_isize",
}

BLOCK_BYTES: Final = 4096
INODE_BYTES: Final = 256
BYTES_PER_INODE: Final = 16384
ROOT_INODE: Final = 2
COPY_BYTES: Final = MIB
LINKS_MAX: Final = 32000
"""ext2's and ext3's; ext4 allows 65,000."""

EXTENTS_FLAG: Final = 0x80000
EMPTY_EXTENTS: Final = struct.pack("<HHHHI", 0xF30A, 0, 4, 0, 0)

FILE_TYPES: Final = {
    stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFIFO: 5, stat.S_IFSOCK: 6, stat.S_IFLNK: 7,
}  # fmt: skip
"""As a directory's entry tells them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file system is called by: its type, label and UUID."""

    type: ExtType
    label: str
    uuid: UUID


@dataclass(frozen=True, slots=True)
class Facts:
    """What an inode carries besides its content."""

    mode: int
    uid: int
    gid: int
    accessed_ns: int
    modified_ns: int
    changed_ns: int
    device: int = 0
    attributes: tuple[tuple[str, bytes], ...] = ()


def inode_count(wanted: int, size_bytes: int) -> int:
    """How many inodes a file system of ``size_bytes`` gets, so that ``wanted`` are in use and some are free."""
    return max(wanted + wanted // 8 + 1024, size_bytes // BYTES_PER_INODE)


def make(image: Path, identity: Identity, *, offset_bytes: int, size_bytes: int, inodes: int) -> None:
    """An empty file system in ``image``, which has holes there; at least ``inodes`` inodes are free."""
    run(
        [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            identity.type,
            "-b",
            str(BLOCK_BYTES),
            "-I",
            str(INODE_BYTES),
            "-N",
            str(inode_count(inodes, size_bytes)),
        ]
        + ["-O", f"none,{FEATURES[identity.type]}", "-L", identity.label, "-U", str(identity.uuid), "-m", "1"]
        + ["-E", f"root_owner=0:0,lazy_itable_init=0,lazy_journal_init=1,offset={offset_bytes}"]
        + [str(image), f"{size_bytes // 1024}k"],
        environment={"MKE2FS_CONFIG": os.devnull},
    )


@contextmanager
def opened(image: Path, identity: Identity, *, offset_bytes: int) -> Iterator["Writer"]:
    """A writer into the file system at ``offset_bytes``; what it wrote is in the image when the block ends."""
    with _told_when_full(image):
        handle = libext2fs.open_file_system(image, offset_bytes=offset_bytes)
        try:
            yield Writer(handle, extents=identity.type == "ext4")
        except BaseException:
            library().ext2fs_close_free(byref(handle))
            raise
        libext2fs.close_file_system(handle)


def verify(image: Path, *, offset_bytes: int) -> None:
    """Reads the whole structure back, as e2fsck sees it; raises LocalRefusal where that finds a fault."""
    where = f"{image}?offset={offset_bytes}" if offset_bytes else str(image)
    run(["e2fsck", "-f", "-n", where])


@contextmanager
def _told_when_full(image: Path) -> Iterator[None]:
    try:
        yield
    except ExtError as error:
        if error.code in FULL:
            raise LocalRefusal(
                f"the image cannot be written in {image.parent}: {os.strerror(error.code)}",
                hint="make room there, or name another place with -d",
                exit_code=EXIT_IO,
            ) from error
        if error.code in (libext2fs.NO_BLOCK, libext2fs.NO_INODE):
            raise LocalRefusal(
                "the tree does not fit into the image: it grew while it was read",
                hint="a larger --size, or --exclude what grows",
            ) from error
        raise LocalRefusal(f"the file system in {image} could not be written: {error}", exit_code=EXIT_IO) from error


class Writer:
    """Puts entries into one file system.  A directory must exist before what stands in it."""

    def __init__(self, handle: c_void_p, *, extents: bool) -> None:
        self._handle = handle
        self._extents = extents
        self._buffer = ctypes.create_string_buffer(COPY_BYTES)

    def describe(self, inode: int, facts: Facts) -> None:
        """Gives an inode that is in place its owner, mode, times and attributes."""
        self._set_attributes(inode, facts.attributes)
        record = self._read_inode(inode)
        struct.pack_into("<H", record, 0x00, facts.mode)
        for value, low, high in ((facts.uid, 0x02, 0x78), (facts.gid, 0x18, 0x7A)):
            struct.pack_into("<H", record, low, value & 0xFFFF)
            struct.pack_into("<H", record, high, value >> 16)
        times = ((facts.accessed_ns, 0x08, 0x8C), (facts.changed_ns, 0x0C, 0x84), (facts.modified_ns, 0x10, 0x88))
        for time_ns, low, high in times:
            seconds, fraction_ns = divmod(time_ns, 1_000_000_000)
            signed = (seconds + (1 << 31)) % (1 << 32) - (1 << 31)
            epoch = (seconds - signed) >> 32 & 3
            struct.pack_into("<i", record, low, signed)
            struct.pack_into("<I", record, high, fraction_ns << 2 | epoch)
        self._write_inode(inode, record)

    def directory(self, parent: int, name: bytes, facts: Facts) -> int:
        """The inode of a new directory."""
        inode = self._new_inode(parent, facts.mode)
        self._in_directory(parent, "ext2fs_mkdir", self._handle, parent, inode, name)
        self.describe(inode, facts)
        return inode

    def link(self, parent: int, name: bytes, target: bytes, facts: Facts) -> int:
        """The inode of a new symbolic link."""
        inode = self._new_inode(parent, facts.mode)
        self._in_directory(parent, "ext2fs_symlink", self._handle, parent, inode, name, target)
        self.describe(inode, facts)
        return inode

    def node(self, parent: int, name: bytes, facts: Facts) -> int:
        """The inode of a new device, fifo or empty file."""
        inode = self._new_inode(parent, facts.mode)
        record = bytearray(128)
        struct.pack_into("<H", record, 0x00, facts.mode)
        struct.pack_into("<H", record, 0x1A, 1)
        if stat.S_ISREG(facts.mode) and self._extents:
            struct.pack_into("<I", record, 0x20, EXTENTS_FLAG)
            record[0x28 : 0x28 + len(EMPTY_EXTENTS)] = EMPTY_EXTENTS
        if stat.S_ISCHR(facts.mode) or stat.S_ISBLK(facts.mode):
            major, minor = os.major(facts.device), os.minor(facts.device)
            old = major << 8 | minor if major < 256 and minor < 256 else 0
            struct.pack_into("<II", record, 0x28, old, 0 if old else minor & 0xFF | major << 8 | (minor & ~0xFF) << 12)
        check("ext2fs_write_new_inode", self._handle, inode, bytes(record))
        library().ext2fs_inode_alloc_stats2(self._handle, inode, 1, 0)
        self._name(parent, name, inode, facts.mode)
        return inode

    def file(self, parent: int, name: bytes, facts: Facts, descriptor: int) -> int:
        """The inode of a new file with the content of ``descriptor``, its holes kept; it ends where ``descriptor`` ends now."""
        inode = self.node(parent, name, facts)
        self._fill(inode, descriptor)
        self.describe(inode, facts)
        return inode

    def content(self, parent: int, name: bytes, facts: Facts, content: bytes) -> int:
        """The inode of a new file of ``content``."""
        descriptor = os.memfd_create("amiable-content")
        try:
            os.truncate(descriptor, len(content))
            os.pwrite(descriptor, content, 0)
            return self.file(parent, name, facts, descriptor)
        finally:
            os.close(descriptor)

    def again(self, parent: int, name: bytes, inode: int) -> None:
        """One more name for ``inode``, which is no directory."""
        record = self._read_inode(inode)
        (mode,), (links,) = struct.unpack_from("<H", record, 0), struct.unpack_from("<H", record, 0x1A)
        if links >= LINKS_MAX:
            raise ExtError("link", errno.EMLINK)
        struct.pack_into("<H", record, 0x1A, links + 1)
        self._write_inode(inode, record)
        self._name(parent, name, inode, mode)

    def _fill(self, inode: int, descriptor: int) -> None:
        file = c_void_p()
        check("ext2fs_file_open", self._handle, inode, libext2fs.FILE_WRITE, byref(file))
        try:
            size_bytes = os.fstat(descriptor).st_size
            for start, length in data_runs(descriptor, size_bytes):
                self._copy(file, descriptor, start, start + length)
            check("ext2fs_file_set_size2", file, size_bytes)
        except BaseException:
            library().ext2fs_file_close(file)
            raise
        check("ext2fs_file_close", file)

    def _copy(self, file: c_void_p, descriptor: int, start: int, end: int) -> None:
        view = memoryview(self._buffer).cast("B")
        check("ext2fs_file_llseek", file, start, os.SEEK_SET, None)
        while start < end:
            size = os.preadv(descriptor, [view[: min(COPY_BYTES, end - start)]], start)
            if not size:
                return  # the file became shorter: what is missing reads as zeros
            written = c_uint()
            check("ext2fs_file_write", file, self._buffer, size, byref(written))
            if written.value != size:
                raise ExtError("ext2fs_file_write", libext2fs.NO_BLOCK)
            start += size

    def _set_attributes(self, inode: int, attributes: tuple[tuple[str, bytes], ...]) -> None:
        if not attributes:
            return
        handle = c_void_p()
        check("ext2fs_xattrs_open", self._handle, inode, byref(handle))
        try:
            for key, value in attributes:
                check("ext2fs_xattr_set", handle, os.fsencode(key), value, len(value))
        finally:
            check("ext2fs_xattrs_close", byref(handle))

    def _new_inode(self, parent: int, mode: int) -> int:
        inode = c_uint()
        check("ext2fs_new_inode", self._handle, parent, mode, None, byref(inode))
        return inode.value

    def _name(self, parent: int, name: bytes, inode: int, mode: int) -> None:
        self._in_directory(parent, "ext2fs_link", self._handle, parent, name, inode, FILE_TYPES[stat.S_IFMT(mode)])

    def _in_directory(self, parent: int, function: str, *arguments: object) -> None:
        """Calls ``function``; where the directory is full, once more after it was made larger."""
        try:
            check(function, *arguments)
        except ExtError as error:
            if error.code != libext2fs.NO_DIRECTORY_SPACE:
                raise
            check("ext2fs_expand_dir", self._handle, parent)
            check(function, *arguments)

    def _read_inode(self, inode: int) -> "ctypes.Array[ctypes.c_char]":
        record = ctypes.create_string_buffer(INODE_BYTES)
        check("ext2fs_read_inode_full", self._handle, inode, record, INODE_BYTES)
        return record

    def _write_inode(self, inode: int, record: "ctypes.Array[ctypes.c_char]") -> None:
        check("ext2fs_write_inode_full", self._handle, inode, record, INODE_BYTES)
