"""What a kernel and a ramdisk begin with."""

import pytest

from amiable.model.errors import InvalidParameterValue
from amiable.rules.kernel_bytes import check_boot_bytes, seen

BZIMAGE = bytes(510) + b"\x55\xaa" + bytes(2) + b"\0\0"
BZIMAGE = BZIMAGE[:0x202] + b"HdrS" + bytes(100)


@pytest.mark.parametrize("head", [BZIMAGE, b"\x7fELF\2", b"\x1f\x8b\x08"])
def test_kernels(head: bytes) -> None:
    check_boot_bytes("kernel", head)


@pytest.mark.parametrize(
    "head", [b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"070701", b"BZh9", b"\x5d\0\0\x80"]
)
def test_ramdisks(head: bytes) -> None:
    check_boot_bytes("ramdisk", head)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"QFI\xfb", "a qcow2 disk"),
        (bytes(0x438) + b"\x53\xef", "an ext2, ext3 or ext4 file system"),
        (b"<manifest>", "a bundle's manifest"),
        (bytes(100), "zeros"),
        (b"hello", "text"),
        (b"", "an empty file"),
        (b"\x01\x02\xff", "bytes that begin with 01 02 ff"),
        (bytes(510) + b"\x55\xaa", "a disk with a boot sector"),
    ],
)
def test_what_is_seen_has_a_name(head: bytes, words: str) -> None:
    assert seen(head) == words
    with pytest.raises(InvalidParameterValue, match=words):
        check_boot_bytes("kernel", head)
