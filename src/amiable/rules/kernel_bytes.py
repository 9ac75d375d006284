"""What a kernel and a ramdisk begin with, and what to call other things that are sent in their place.

Only the first ``HEAD_BYTES`` are looked at: this tells a wrong file from a right one, not a good kernel from a broken one.
Sources: Linux, Documentation/arch/x86/boot.rst (``HdrS`` at 0x202) and driver-api/early-userspace/buffer-format.rst.
"""

from typing import Final

from amiable.model.errors import InvalidParameterValue

HEAD_BYTES: Final = 0x8200

_KERNEL: Final = ((0x202, b"HdrS"), (0, b"\x7fELF"), (0, b"\x1f\x8b"))
_RAMDISK: Final = (
    *(
        (0, b"\x1f\x8b"),
        (0, b"\xfd7zXZ\0"),
        (0, b"\x28\xb5\x2f\xfd"),
        (0, b"BZh"),
        (0, b"\x02\x21\x4c\x18"),
        (0, b"\x5d\0\0"),
    ),
    *((0, b"070701"), (0, b"070702"), (0, b"070707"), (0, b"\xc7\x71"), (0, b"\x71\xc7")),
)
ACCEPTED: Final = {
    "kernel": (_KERNEL, "a bzImage, an ELF file or gzip"),
    "ramdisk": (_RAMDISK, "a cpio archive, plain or compressed by gzip, xz, zstd, bzip2, lz4 or lzma"),
}
NAMES: Final = (
    (0, b"QFI\xfb", "a qcow2 disk"),
    (0, b"KDMV", "a VMDK disk"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor"),
    (0, b"conectix", "a VHD disk"),
    (0, b"vhdxfile", "a VHDX disk"),
    (0x202, b"HdrS", "a Linux kernel (bzImage)"),
    (0, b"\x7fELF", "an ELF file"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"070701", "a cpio archive"),
    (0, b"<?xml", "an XML document"),
    (0, b"<manifest", "a bundle's manifest"),
    (0, b"PK\x03\x04", "a zip archive"),
    (257, b"ustar", "a tar archive"),
    (0x438, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (0x8001, b"CD001", "an ISO 9660 image"),
    (0, b"XFSB", "an XFS file system"),
    (510, b"\x55\xaa", "a disk with a boot sector"),
)


def check_boot_bytes(image_type: str, head: bytes) -> None:
    """Refuses what is no kernel or no ramdisk (``image_type``), naming what was seen; ``head``: its first bytes."""
    if not may_be(image_type, head):
        raise InvalidParameterValue(
            parameter="Key", value=f"the object: {seen(head)}", why=f"A {image_type} is {ACCEPTED[image_type][1]}."
        )


def may_be(image_type: str, head: bytes) -> bool:
    """Whether a kernel or a ramdisk (``image_type``) may begin with ``head``."""
    return any(head[offset : offset + len(mark)] == mark for offset, mark in ACCEPTED[image_type][0])


def seen(head: bytes) -> str:
    """What ``head`` looks like, in words."""
    for offset, mark, name in NAMES:
        if head[offset : offset + len(mark)] == mark:
            return name
    if not head:
        return "an empty file"
    if not any(head):
        return "zeros"
    return (
        "text"
        if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head[:512])
        else f"bytes that begin with {head[:8].hex(' ')}"
    )
