"""A disk that was cut short is told by its own tables."""

import struct

from amiable.rules.partition_table import HEAD_BYTES, complaint


def gpt_disk(sectors: int) -> bytes:
    header = b"EFI PART" + struct.pack("<IIIIQQQQ", 0x10000, 92, 0, 0, 1, sectors - 1, 34, sectors - 34) + bytes(16)
    header += struct.pack("<QIII", 2, 128, 128, 0)
    entry = bytes(range(16)) + bytes(16) + struct.pack("<QQQ", 64, sectors - 35, 0) + bytes(72)
    return (bytes(512) + header.ljust(512, b"\0") + entry).ljust(HEAD_BYTES, b"\0")


def mbr_disk(start: int, count: int) -> bytes:
    entry = b"\x80\0\0\0\x83\0\0\0" + struct.pack("<II", start, count)
    return (bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(HEAD_BYTES, b"\0")


def ext_disk(blocks: int) -> bytes:
    superblock = bytearray(1024)
    struct.pack_into("<I", superblock, 4, blocks)
    struct.pack_into("<I", superblock, 24, 2)
    superblock[56:58] = b"\x53\xef"
    return (bytes(1024) + bytes(superblock)).ljust(HEAD_BYTES, b"\0")


def test_a_whole_disk_has_nothing_to_complain_of() -> None:
    assert complaint(gpt_disk(8192), 8192 * 512) is None
    assert complaint(mbr_disk(2048, 6144), 8192 * 512) is None
    assert complaint(ext_disk(1024), 1024 * 4096) is None
    assert complaint(bytes(HEAD_BYTES), 1 << 20) is None


def test_a_cut_disk_is_told_with_both_sizes() -> None:
    for head in (gpt_disk(8192), mbr_disk(2048, 6144), ext_disk(1024)):
        words = complaint(head, 2 << 20)
        assert words is not None and "cut short" in words and str(2 << 20) in words


def test_an_empty_file_and_an_odd_size_are_told() -> None:
    assert complaint(b"", 0) == "the file is empty"
    assert "not a multiple of 512" in (complaint(bytes(700), 700) or "")


def test_a_boot_sector_that_is_no_table_is_left_alone() -> None:
    vbr = (b"\xeb\x3c\x90" + bytes(range(200)) * 3)[:510] + b"\x55\xaa"
    assert complaint(vbr.ljust(HEAD_BYTES, b"\0"), 1 << 20) is None
