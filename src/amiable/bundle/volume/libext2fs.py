"""The few functions of libext2fs (LGPL-2, of Debian's ``libext2fs2``) that put entries into an ext file system.

The library is loaded when a file system is opened.  Its handles stay opaque; only an inode's bytes are known here, which are those
on the disk (``struct ext2_inode_large``).  Every function answers 0 or a code of com_err, raised as ``ExtError``.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final

from amiable.model.errors import LocalRefusal

LIBRARY: Final = "libext2fs.so.2"
MESSAGES: Final = "libcom_err.so.2"

FIRST_CODE: Final = 2133571328
"""EXT2_ET_BASE: codes below are errno."""
NO_DIRECTORY_SPACE: Final = FIRST_CODE + 38
DIRECTORY_EXISTS: Final = FIRST_CODE + 79
NO_BLOCK: Final = FIRST_CODE + 72
NO_INODE: Final = FIRST_CODE + 73

OPEN_FLAGS: Final = 0x1 | 0x20000
"""EXT2_FLAG_RW, EXT2_FLAG_64BITS."""
FILE_WRITE: Final = 1

_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "ext2fs_open2": (c_char_p, c_char_p, c_int, c_int, c_uint, c_void_p, POINTER(c_void_p)),
    "ext2fs_read_bitmaps": (c_void_p,),
    "ext2fs_close_free": (POINTER(c_void_p),),
    "ext2fs_new_inode": (c_void_p, c_uint, c_int, c_void_p, POINTER(c_uint)),
    "ext2fs_write_new_inode": (c_void_p, c_uint, c_void_p),
    "ext2fs_read_inode_full": (c_void_p, c_uint, c_void_p, c_int),
    "ext2fs_write_inode_full": (c_void_p, c_uint, c_void_p, c_int),
    "ext2fs_link": (c_void_p, c_uint, c_char_p, c_uint, c_int),
    "ext2fs_mkdir": (c_void_p, c_uint, c_uint, c_char_p),
    "ext2fs_symlink": (c_void_p, c_uint, c_uint, c_char_p, c_char_p),
    "ext2fs_expand_dir": (c_void_p, c_uint),
    "ext2fs_file_open": (c_void_p, c_uint, c_int, POINTER(c_void_p)),
    "ext2fs_file_llseek": (c_void_p, c_uint64, c_int, c_void_p),
    "ext2fs_file_write": (c_void_p, c_void_p, c_uint, POINTER(c_uint)),
    "ext2fs_file_set_size2": (c_void_p, c_uint64),
    "ext2fs_file_close": (c_void_p,),
    "ext2fs_xattrs_open": (c_void_p, c_uint, POINTER(c_void_p)),
    "ext2fs_xattr_set": (c_void_p, c_char_p, c_char_p, c_size_t),
    "ext2fs_xattrs_close": (POINTER(c_void_p),),
}


class ExtError(Exception):
    """What libext2fs answered; ``code`` is com_err's."""

    def __init__(self, function: str, code: int) -> None:
        self.code = code
        super().__init__(f"{function}: {message(code)}")


@cache
def library() -> ctypes.CDLL:
    """libext2fs with typed functions; raises LocalRefusal where it is not installed."""
    try:
        loaded = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise LocalRefusal(
            f"{LIBRARY} is not installed", hint="sudo apt-get install e2fsprogs", exit_code=69
        ) from error
    for name, types in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = types, c_long
    loaded.ext2fs_inode_alloc_stats2.argtypes = (c_void_p, c_uint, c_int, c_int)
    loaded.ext2fs_inode_alloc_stats2.restype = None
    loaded.initialize_ext2_error_table()
    return loaded


def message(code: int) -> str:
    """com_err's words for ``code``."""
    words = ctypes.CDLL(MESSAGES)
    words.error_message.argtypes, words.error_message.restype = (c_long,), c_char_p
    return str(words.error_message(code).decode())


def check(function: str, *arguments: Any) -> None:
    """Calls ``function``; raises ExtError for any answer but 0."""
    code = getattr(library(), function)(*arguments)
    if code:
        raise ExtError(function, code)


def open_file_system(image: Path, *, offset_bytes: int) -> c_void_p:
    """The handle of the file system at ``offset_bytes`` of ``image``, its bitmaps read."""
    handle = c_void_p()
    manager = c_void_p.in_dll(library(), "unix_io_manager")
    options = f"offset={offset_bytes}".encode() if offset_bytes else None
    check("ext2fs_open2", bytes(image), options, OPEN_FLAGS, 0, 0, manager, byref(handle))
    try:
        check("ext2fs_read_bitmaps", handle)
    except ExtError:
        library().ext2fs_close_free(byref(handle))
        raise
    return handle


def close_file_system(handle: c_void_p) -> None:
    """Writes what is still in memory; raises ExtError where that fails."""
    check("ext2fs_close_free", byref(handle))
