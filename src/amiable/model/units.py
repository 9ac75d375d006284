"""Units that everything agrees on."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

BLOCK_BYTES: Final = 512 * KIB
"""One block of a snapshot: EBS direct's unit, the store's unit, the unit of every map."""

BLOCKS_PER_GIB: Final = GIB // BLOCK_BYTES
LEAF_BLOCKS: Final = 2048
"""Blocks that one leaf of a snapshot's map covers: 1 GiB of disk."""

PART_BYTES: Final = 10 * MIB
"""One part of a bundle."""

assert LEAF_BLOCKS == BLOCKS_PER_GIB


def gib_ceil(size_bytes: int) -> int:
    """Whole GiB that hold ``size_bytes``; at least 1."""
    return max(1, -(-size_bytes // GIB))


def human_bytes(size_bytes: int) -> str:
    """``size_bytes`` for a person's eyes: ``'10.0 MiB'``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")
