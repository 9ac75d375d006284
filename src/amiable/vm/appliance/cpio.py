"""Initial RAM disks: the "newc" cpio archive that Linux unpacks at boot.

    070701 inode mode uid gid links mtime size major minor rmajor rminor namelen check   (8 hex digits each)
    name NUL, padded to 4    content, padded to 4    …    TRAILER!!!

Written here rather than by ``cpio`` because device nodes then need no privilege.  Archives may follow one another: Linux unpacks
each, so what one instance needs is appended to what all share.
Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
"""

import gzip
import stat
from collections.abc import Iterator

from amiable.vm.appliance.tree import CharacterDevice, Directory, Entry, File, Link, Tree


def write_initrd(tree: Tree) -> bytes:
    """The gzip-compressed archive of ``tree``; the same bytes for the same tree."""
    return gzip.compress(b"".join(write_cpio(tree)), compresslevel=6, mtime=0)


def write_cpio(tree: Tree) -> Iterator[bytes]:
    """The archive of ``tree``, entry by entry; its length is a multiple of 4, so another may follow."""
    for number, (path, entry) in enumerate(tree, start=1):
        yield _record(number, path, entry)
    yield _newc(0, "TRAILER!!!", mode=0, content=b"")


def _record(inode: int, path: str, entry: Entry) -> bytes:
    match entry:
        case Directory(mode):
            return _newc(inode, path, mode=stat.S_IFDIR | mode, content=b"")
        case File(content, mode):
            return _newc(inode, path, mode=stat.S_IFREG | mode, content=content)
        case Link(target):
            return _newc(inode, path, mode=stat.S_IFLNK | 0o777, content=target.encode())
        case CharacterDevice(major, minor, mode):
            return _newc(inode, path, mode=stat.S_IFCHR | mode, content=b"", device=(major, minor))


def _newc(inode: int, path: str, *, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    name = path.encode() + b"\0"
    numbers = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % number for number in numbers)
    return _padded(header + name) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)
