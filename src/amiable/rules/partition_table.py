"""Whether a raw disk is whole, by its own partition table: a disk that was cut short ends before its last partition does.

Reads the first sectors only (MBR at 0, GPT header at 512, its entries).  Sources: UEFI 2.10 §5; the classical MBR layout.
A disk without a table (a bare file system) says nothing here.
"""

import struct
from typing import Final

SECTOR_BYTES: Final = 512
HEAD_BYTES: Final = 34 * SECTOR_BYTES
"""How much of a disk's start :func:`complaint` wants."""

_GPT_ENTRIES_MAX: Final = 128
_PROTECTIVE: Final = 0xEE
_EXTENDED: Final = (0x05, 0x0F, 0x85)


def complaint(head: bytes, size_bytes: int) -> str | None:
    """What is wrong with a raw disk of ``size_bytes`` that begins with ``head``; ``None`` when nothing shows."""
    if size_bytes == 0:
        return "the file is empty"
    if size_bytes % SECTOR_BYTES:
        return f"its size, {size_bytes} bytes, is not a multiple of 512: the file is cut short, or not a raw disk"
    end = max(_gpt_end(head), _mbr_end(head), _ext_end(head))
    if end > size_bytes:
        return f"the file is cut short: it holds {size_bytes} bytes, and what it describes ends at byte {end}"
    return None


def _gpt_end(head: bytes) -> int:
    header = head[SECTOR_BYTES : SECTOR_BYTES + 92]
    if len(header) < 92 or header[:8] != b"EFI PART":
        return 0
    backup_lba, entries_lba, count, entry_bytes = (
        *struct.unpack_from("<Q", header, 32),
        *struct.unpack_from("<QII", header, 72),
    )
    end_lba = backup_lba
    for index in range(min(count, _GPT_ENTRIES_MAX)):
        entry = head[entries_lba * SECTOR_BYTES + index * entry_bytes :][:128] if entry_bytes >= 128 else b""
        if len(entry) == 128 and any(entry[:16]):
            end_lba = max(end_lba, struct.unpack_from("<Q", entry, 40)[0])
    return int((end_lba + 1) * SECTOR_BYTES)


def _mbr_end(head: bytes) -> int:
    if len(head) < SECTOR_BYTES or head[510:512] != b"\x55\xaa":
        return 0
    entries = [head[446 + 16 * index : 462 + 16 * index] for index in range(4)]
    if any(entry[0] not in (0x00, 0x80) for entry in entries):  # a boot sector of a file system, not a table
        return 0
    ends = [
        sum(struct.unpack_from("<II", entry, 8)) for entry in entries if entry[4] not in (0, _PROTECTIVE, *_EXTENDED)
    ]
    return max(ends, default=0) * SECTOR_BYTES


def _ext_end(head: bytes) -> int:
    superblock = head[1024:2048]
    if len(superblock) < 1024 or superblock[56:58] != b"\x53\xef":
        return 0
    blocks_low, block_log = struct.unpack_from("<I", superblock, 4)[0], struct.unpack_from("<I", superblock, 24)[0]
    incompatible, blocks_high = (
        struct.unpack_from("<I", superblock, 96)[0],
        struct.unpack_from("<I", superblock, 336)[0],
    )
    if block_log > 6:
        return 0
    blocks = blocks_low | (blocks_high << 32 if incompatible & 0x80 else 0)
    return int(blocks * (1024 << block_log))
