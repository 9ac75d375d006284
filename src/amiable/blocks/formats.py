"""What a file that was given as a raw disk really is, by its own first and last bytes.

A disk of another format that is taken as raw boots nothing, and a tool that probes it later would follow what it names: a backing
file, an extent, ``/etc/passwd``.  So :func:`guess_format` names every format that is *not* raw and the importer refuses it;
:func:`remark` names what is raw bytes all right, and yet hardly what was meant.  Nothing here opens a file, follows a name, or
believes a length beyond the bytes it was given.

Sources: the formats' own specifications (qcow2: QEMU docs/interop/qcow2.txt; VMDK: Virtual Disk Format 5.0; VHD: October 2006;
VHDX: MS-VHDX; VDI: VirtualBox VDICore.h).
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

NAME_CHARACTERS_MAX: Final = 120
QCOW2_EXTERNAL_DATA: Final = 1 << 2
QCOW2_DATA_FILE_EXTENSION: Final = 0x44415441
QCOW2_EXTENSIONS_MAX: Final = 32
VHD_FOOTER_BYTES: Final = 512
VHD_DIFFERENCING: Final = 4
VDI_DIFFERENCING: Final = 4
VMDK_DESCRIPTOR_BYTES_MAX: Final = 20 * 1024


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is not raw: its name, what it is called in a sentence, and how it is known."""

    name: str
    words: str
    matches: Callable[[bytes, bytes], bool]


def _begins(*magics: bytes, at: int = 0) -> Callable[[bytes, bytes], bool]:
    return lambda head, _tail: any(head[at : at + len(magic)] == magic for magic in magics)


def _is_qcow(version: Callable[[int], bool]) -> Callable[[bytes, bytes], bool]:
    return lambda head, _tail: head[:4] == b"QFI\xfb" and len(head) >= 8 and version(_u32(head, 4))


def _is_vmdk_descriptor(head: bytes, _tail: bytes) -> bool:
    start = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith(b"# disk descriptorfile") or (start[:1] == b"#" and b"\ncreatetype=" in start)


def _is_dmg(_head: bytes, tail: bytes) -> bool:
    return len(tail) >= 512 and tail[-512:-508] == b"koly"


def _is_tar(head: bytes, _tail: bytes) -> bool:
    """A tar header with its right checksum: chance does not make one."""
    if len(head) < 512 or head[257:262] != b"ustar":
        return False
    try:
        declared = int(head[148:156].strip(b"\0 "), 8)
    except ValueError:
        return False
    return declared == sum(head[:148]) + 8 * 0x20 + sum(head[156:512])


def _is_gzip(head: bytes, _tail: bytes) -> bool:
    return head[:3] == b"\x1f\x8b\x08" and len(head) > 3 and not head[3] & 0xE0


def _is_bzip2(head: bytes, _tail: bytes) -> bool:
    return re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head) is not None


def _is_markup(head: bytes, _tail: bytes) -> bool:
    return (
        re.match(rb"<(\?xml|!doctype|html|envelope)[\s>]", head[:256].removeprefix(b"\xef\xbb\xbf").lstrip(), re.I)
        is not None
    )


FORMATS: Final = (
    Format("qcow2", "a qcow2 image", _is_qcow(lambda version: version >= 2)),
    Format("qcow", "a qcow image (version 1)", _is_qcow(lambda version: version < 2)),
    Format("qed", "a QED image", _begins(b"QED\0")),
    Format("vmdk", "a VMDK image (sparse)", _begins(b"KDMV", b"COWD", b"\xbe\xba\xfe\xca\0\0\0\0")),
    Format("vmdk-descriptor", "a VMDK descriptor: a text that names the files of a disk", _is_vmdk_descriptor),
    Format("vhd", "a VHD image (dynamic or differencing)", _begins(b"conectix")),
    Format("vhdx", "a VHDX image", _begins(b"vhdxfile")),
    Format("vdi", "a VDI image", _begins(b"\x7f\x10\xda\xbe", at=64)),
    Format("parallels", "a Parallels image", _begins(b"WithoutFreeSpace", b"WithouFreSpacExt")),
    Format("bochs", "a Bochs image", _begins(b"Bochs Virtual HD Image")),
    Format("dmg", "a DMG image", _is_dmg),
    Format("ewf", "an Expert Witness (E01) image", _begins(b"EVF\x09\x0d\x0a\xff\0", b"LVF\x09\x0d\x0a\xff\0", b"EVF2\x0d\x0a\x81\0")),
    Format("cloop", "a cloop image", _begins(b"#!/bin/sh\n#V2.0 Format")),
    Format("tar", "a tar archive (an OVA is one)", _is_tar),
    Format("gzip", "compressed with gzip", _is_gzip),
    Format("bzip2", "compressed with bzip2", _is_bzip2),
    Format("xz", "compressed with xz", _begins(b"\xfd7zXZ\0")),
    Format("zstd", "compressed with zstd", _begins(b"\x28\xb5\x2f\xfd")),
    Format("lz4", "compressed with lz4", _begins(b"\x04\x22\x4d\x18")),
    Format("zip", "a zip archive", _begins(b"PK\x03\x04")),
    Format("7z", "a 7z archive", _begins(b"7z\xbc\xaf\x27\x1c")),
    Format("markup", "a text in XML or HTML, not a disk", _is_markup),
)  # fmt: skip
"""Looked at from the first to the last."""


def guess_format(head: bytes, tail: bytes, size_bytes: int) -> str | None:
    """The name of the format that a file has instead of raw; None where nothing speaks against raw.

    ``head`` and ``tail`` are the file's first and last bytes, 64 KiB of each where it has as many.
    """
    assert size_bytes >= 0
    return next((known.name for known in FORMATS if known.matches(head, tail)), None)


def refusal_words(name: str, head: bytes) -> str:
    """What it is, for a sentence that refuses it, with the files that it names: ``a qcow2 image that names a backing file, '…'``."""
    known = next(known for known in FORMATS if known.name == name)
    named = _NAMED[name](head) if name in _NAMED else ""
    return known.words + (f" that {named}" if named else "")


def remark(head: bytes, tail: bytes, size_bytes: int) -> str | None:
    """What to say about a file that is imported as it is, byte for byte: a fixed VHD's footer, an ISO 9660 image."""
    if _is_fixed_vhd(tail, size_bytes):
        return "its last 512 bytes are the footer of a fixed VHD: they become part of the disk; cut them off first if it is a VHD"
    if head[32769:32774] == b"CD001" and head[510:512] != b"\x55\xaa":
        return "it is an ISO 9660 image without a partition table: a CD, not a disk to boot from"
    return None


# ── what the header names ───────────────────────────────────────────────────────────────────────────────────────────────


def _named_by_qcow2(head: bytes) -> str:
    if len(head) < 24:
        return ""
    version, offset, length = _u32(head, 4), *struct.unpack_from(">QI", head, 8)
    found: list[str] = []
    if offset:
        found.append(f"names a backing file, {_quoted(head[offset : offset + min(length, 1023)])}")
    if version >= 3 and len(head) >= 104 and struct.unpack_from(">Q", head, 72)[0] & QCOW2_EXTERNAL_DATA:
        name = _qcow2_extension(head, QCOW2_DATA_FILE_EXTENSION)
        found.append("keeps its data in another file" + (f", {_quoted(name)}" if name else ""))
    return " and ".join(found)


def _qcow2_extension(head: bytes, wanted: int) -> bytes:
    at = _u32(head, 100)
    for _ in range(QCOW2_EXTENSIONS_MAX):
        if not 104 <= at <= len(head) - 8:
            return b""
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0:
            return b""
        if kind == wanted:
            return head[at + 8 : at + 8 + length]
        at += 8 + (length + 7) // 8 * 8
    return b""


def _named_by_qcow(head: bytes) -> str:
    if len(head) < 20:
        return ""
    offset, length = struct.unpack_from(">QI", head, 8)
    return f"names a backing file, {_quoted(head[offset : offset + min(length, 1023)])}" if offset else ""


def _named_by_vmdk(head: bytes) -> str:
    """The sparse header's embedded descriptor, where it lies within the head."""
    if head[:4] != b"KDMV" or len(head) < 44:
        return ""
    offset, length = (sectors * 512 for sectors in struct.unpack_from("<QQ", head, 28))
    return _named_by_descriptor(head[offset : offset + min(length, VMDK_DESCRIPTOR_BYTES_MAX)], of_itself=True)


def _named_by_descriptor(text: bytes, *, of_itself: bool = False) -> str:
    parent = re.search(rb'^\s*parentFileNameHint\s*=\s*"?([^"\r\n]+)', text, re.I | re.M)
    if parent:
        return f"names a parent, {_quoted(parent[1])}"
    extent = re.search(rb'^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+\w+\s+"([^"\r\n]*)"', text, re.I | re.M)
    return f"names the extent {_quoted(extent[1])}" if extent and not of_itself else ""


def _named_by_vhd(head: bytes) -> str:
    if len(head) < 64 or _u32(head, 60) != VHD_DIFFERENCING:
        return ""
    (at,) = struct.unpack_from(">Q", head, 16)
    name = head[at + 64 : at + 576] if head[at : at + 8] == b"cxsparse" else b""
    return "names a parent" + (f", {_quoted(name.decode('utf-16-be', 'replace').encode())}" if name else "")


def _named_by_vdi(head: bytes) -> str:
    is_child = len(head) >= 80 and struct.unpack_from("<I", head, 76)[0] == VDI_DIFFERENCING
    return "is a difference to a parent" if is_child else ""


_NAMED: Final[dict[str, Callable[[bytes], str]]] = {
    "qcow2": _named_by_qcow2,
    "qcow": _named_by_qcow,
    "vmdk": _named_by_vmdk,
    "vmdk-descriptor": lambda head: _named_by_descriptor(head[:VMDK_DESCRIPTOR_BYTES_MAX]),
    "vhd": _named_by_vhd,
    "vdi": _named_by_vdi,
}


def _is_fixed_vhd(tail: bytes, size_bytes: int) -> bool:
    """A footer with its right checksum at the very end."""
    footer = tail[-VHD_FOOTER_BYTES:]
    if len(footer) != VHD_FOOTER_BYTES or footer[:8] != b"conectix" or size_bytes < 2 * VHD_FOOTER_BYTES:
        return False
    return _u32(footer, 64) == ~(sum(footer[:64]) + sum(footer[68:])) & 0xFFFFFFFF


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _quoted(name: bytes) -> str:
    """A file name out of a foreign header, fit to be shown: printable, bounded."""
    text = name.split(b"\0")[0].decode("utf-8", "replace") or name.replace(b"\0", b"").decode("utf-8", "replace")
    shown = "".join(character if character.isprintable() else "?" for character in text[:NAME_CHARACTERS_MAX])
    return f"'{shown}'" + ("…" if len(text) > NAME_CHARACTERS_MAX else "")
