"""What a raw disk's own partition table says: whether the disk is whole (one that was cut short ends before its last partition does),
and whether it has an EFI system partition.

Reads the first sectors only (MBR at 0, GPT header at 512, its entries).  Sources: UEFI 2.10 §5; the classical MBR layout.
A disk without a table (a bare file system) says nothing here.
"""

import struct
from collections.abc import Iterator
from typing import Final
from uuid import UUID

SECTOR_BYTES: Final = 512
HEAD_BYTES: Final = 34 * SECTOR_BYTES
"""How much of a disk's start :func:`complaint` wants."""

_GPT_ENTRIES_MAX: Final = 128
_PROTECTIVE: Final = 0xEE
_EXTENDED: Final = (0x05, 0x0F, 0x85)
_EFI_SYSTEM: Final = UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B").bytes_le
_EFI_SYSTEM_MBR: Final = 0xEF


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


def has_efi_system_partition(head: bytes) -> bool:
    """Whether a table says so, GPT or MBR."""
    return any(entry[:16] == _EFI_SYSTEM for entry in _gpt_entries(head)) or any(
        entry[4] == _EFI_SYSTEM_MBR for entry in _mbr_entries(head)
    )


def is_bare_ext(head: bytes) -> bool:
    """Whether the disk is an ext2, 3 or 4 file system, without a table."""
    return _ext_end(head) > 0 and not any(_gpt_entries(head)) and not any(entry[4] for entry in _mbr_entries(head))


def _gpt_header(head: bytes) -> bytes | None:
    header = head[SECTOR_BYTES : SECTOR_BYTES + 92]
    return header if len(header) == 92 and header[:8] == b"EFI PART" else None


def _gpt_entries(head: bytes) -> Iterator[bytes]:
    """The entries in use."""
    header = _gpt_header(head)
    if header is None:
        return
    entries_lba, count, entry_bytes = struct.unpack_from("<QII", header, 72)
    if entry_bytes < 128:
        return
    for index in range(min(count, _GPT_ENTRIES_MAX)):
        entry = head[entries_lba * SECTOR_BYTES + index * entry_bytes :][:128]
        if len(entry) == 128 and any(entry[:16]):
            yield entry


def _gpt_end(head: bytes) -> int:
    header = _gpt_header(head)
    if header is None:
        return 0
    backup_lba = struct.unpack_from("<Q", header, 32)[0]
    end_lba = max([backup_lba, *(struct.unpack_from("<Q", entry, 40)[0] for entry in _gpt_entries(head))])
    return int((end_lba + 1) * SECTOR_BYTES)


def _mbr_entries(head: bytes) -> list[bytes]:
    """The four entries; none of what is a boot sector of a file system, not a table."""
    if len(head) < SECTOR_BYTES or head[510:512] != b"\x55\xaa":
        return []
    entries = [head[446 + 16 * index : 462 + 16 * index] for index in range(4)]
    return [] if any(entry[0] not in (0x00, 0x80) for entry in entries) else entries


def _mbr_end(head: bytes) -> int:
    ends = [
        sum(struct.unpack_from("<II", entry, 8))
        for entry in _mbr_entries(head)
        if entry[4] not in (0, _PROTECTIVE, *_EXTENDED)
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
