"""How large a file system must be for what goes into it, reckoned as mke2fs lays it out; exact to a few blocks, never too small.

superblock copies and room for growth   in groups 0, 1 and the powers of 3, 5 and 7 (sparse_super, resize_inode)
bitmaps                                 two blocks a group
inode tables                            256 bytes an inode
journal                                 by the size of the file system
files                                   whole blocks, and 1 % for their maps and the folders
"""

from typing import Final

from amiable.bundle.volume.contents import Measure
from amiable.bundle.volume.ext import BLOCK_BYTES, INODE_BYTES, inode_count
from amiable.model.units import MIB

GROUP_BLOCKS: Final = 8 * BLOCK_BYTES
DESCRIPTORS_PER_BLOCK: Final = BLOCK_BYTES // 32
GROWTH: Final = 1024
"""How many times larger resize2fs may make it, at most by 1,024 blocks of descriptors."""

JOURNALS: Final = (
    (32 << 10, 1 << 10), (256 << 10, 4 << 10), (512 << 10, 8 << 10), (4 << 20, 16 << 10),
    (8 << 20, 32 << 10), (16 << 20, 64 << 10), (32 << 20, 128 << 10),
)  # fmt: skip
"""Blocks of a file system, up to which its journal has so many blocks; source: ext2fs_default_journal_size."""
JOURNAL_BLOCKS_MAX: Final = 256 << 10
SLACK_BLOCKS: Final = 256
ROUNDS_MAX: Final = 8


def needed_bytes(measure: Measure, size_bytes: int) -> int:
    """How much of a file system of ``size_bytes`` is in use with ``measure`` in it."""
    blocks = size_bytes // BLOCK_BYTES
    groups = -(-blocks // GROUP_BLOCKS)
    descriptors = -(-groups // DESCRIPTORS_PER_BLOCK) + min(1024, -(-groups * GROWTH // DESCRIPTORS_PER_BLOCK))
    copies = sum(_has_copy(group) for group in range(groups))
    journal = next((length for limit, length in JOURNALS if blocks < limit), JOURNAL_BLOCKS_MAX)
    inodes = -(-inode_count(measure.entries, size_bytes) * INODE_BYTES // BLOCK_BYTES) + groups
    fixed = copies * (descriptors + 1) + 2 * groups + journal + inodes + SLACK_BLOCKS
    return fixed * BLOCK_BYTES + measure.data_bytes + measure.data_bytes // 100


def least_bytes(measure: Measure, size_bytes: int) -> int:
    """The size, in whole MiB, of a file system that holds ``measure``, reckoned from ``size_bytes`` on."""
    for _ in range(ROUNDS_MAX):
        larger = -(-needed_bytes(measure, size_bytes) // MIB) * MIB
        if larger <= size_bytes:
            break
        size_bytes = larger
    return size_bytes


def _has_copy(group: int) -> bool:
    """Whether a group begins with a copy of the superblock."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False
