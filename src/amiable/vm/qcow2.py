"""An empty qcow2 file, as ``qemu-img create`` would make it, without the fifteenth of a second that starting a program takes.

    cluster 0   header │ extension: the base's format │ the base's name
    cluster 1   refcount table: one entry
    cluster 2   refcount block: a one for each cluster here
    cluster 3…  L1 table, all zero: every cluster is the base's, or zero without one

Version 3, clusters of 64 KiB, 16-bit refcounts, lazy refcounts (a guest's write does not wait for them; QEMU makes them good when it
opens a file that was not closed).  Its cost does not depend on the disk's size: 1 TiB has an L1 table of 16 KiB.
Source: QEMU, docs/interop/qcow2.txt.
"""

import struct
from dataclasses import dataclass
from typing import Final

CLUSTER_BITS: Final = 16
CLUSTER_BYTES: Final = 1 << CLUSTER_BITS
SECTOR_BYTES: Final = 512
COVERED_BYTES: Final = CLUSTER_BYTES * CLUSTER_BYTES // 8
"""How much disk one entry of the L1 table stands for."""
LAZY_REFCOUNTS: Final = 1
REFCOUNT_ORDER: Final = 4
BASE_FORMAT: Final = 0xE2792ACA
HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQQQQII")
BASE_NAME_BYTES_MAX: Final = 1023


@dataclass(frozen=True, slots=True)
class Layout:
    """The bytes that are not zero, by offset, and how long the file is."""

    parts: tuple[tuple[int, bytes], ...]
    file_bytes: int


def empty_qcow2(size_bytes: int, base: str | None) -> Layout:
    """A disk of ``size_bytes`` over the raw disk named ``base`` (a path, or an address of QEMU's), or over zeros."""
    size = -(-size_bytes // SECTOR_BYTES) * SECTOR_BYTES
    l1_entries = -(-size // COVERED_BYTES)
    clusters = 3 + max(1, -(-l1_entries * 8 // CLUSTER_BYTES))
    name = b"" if base is None else base.encode()
    assert size > 0 and len(name) <= BASE_NAME_BYTES_MAX
    extensions = b"" if base is None else struct.pack(">II8s", BASE_FORMAT, 3, b"raw")
    extensions += bytes(8)  # the end of the extensions
    header = HEADER.pack(
        b"QFI\xfb",
        3,
        HEADER.size + len(extensions) if name else 0,
        len(name),
        CLUSTER_BITS,
        size,
        0,  # not encrypted
        l1_entries,
        3 * CLUSTER_BYTES,
        CLUSTER_BYTES,
        1,
        0,  # no snapshots
        0,
        0,  # nothing that a reader must know
        LAZY_REFCOUNTS,
        0,
        REFCOUNT_ORDER,
        HEADER.size,
    )
    return Layout(
        (
            (0, header + extensions + name),
            (CLUSTER_BYTES, struct.pack(">Q", 2 * CLUSTER_BYTES)),
            (2 * CLUSTER_BYTES, struct.pack(">H", 1) * clusters),
        ),
        clusters * CLUSTER_BYTES,
    )
