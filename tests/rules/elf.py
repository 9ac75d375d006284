"""Kernels made by hand: ELF files with Xen's notes or the older section, and what they come in."""

import struct
from collections.abc import Mapping

TEXT_NOTES = {
    5: b"xen-3.0\0",
    6: b"linux\0",
    7: b"2.6\0",
    8: b"generic\0",
    9: b"yes\0",
    10: b"!writable_page_tables|pae_pgdir_above_4gb\0",
}


def pv_notes(bits: int = 64, **changes: bytes | None) -> dict[int, bytes]:
    """What a paravirtual Linux says; ``changes`` by number (``n9=b"no"``), None to leave one out."""
    form = "<Q" if bits == 64 else "<I"
    said: dict[int, bytes | None] = {**TEXT_NOTES, 1: struct.pack(form, 0xC0100000), 2: struct.pack(form, 0xC0101000)}
    said |= {int(key[1:]): value for key, value in changes.items()}
    return {number: value for number, value in said.items() if value is not None}


def notes(said: Mapping[int, bytes], name: bytes = b"Xen\0") -> bytes:
    """The notes as they lie in a segment."""
    return b"".join(
        struct.pack("<III", len(name), len(value), number) + padded(name) + padded(value)
        for number, value in said.items()
    )


def padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def elf(
    bits: int = 64,
    *,
    segment: bytes | None = None,
    sections: Mapping[str, tuple[int, bytes]] | None = None,
    tail: bytes = b"",
) -> bytes:
    """An ELF file with one PT_NOTE segment, or with sections (type and content by name)."""
    is_64 = bits == 64
    header_size, segment_size, section_size = (64, 56, 64) if is_64 else (52, 32, 40)
    body_at = header_size + segment_size
    content = bytearray(segment or b"")
    names = b"\0"
    entries = [section(bits, 0, 0, 0, 0)]
    for name, (kind, data) in (sections or {}).items():
        entries.append(section(bits, len(names), kind, body_at + len(content), len(data)))
        names += name.encode() + b"\0"
        content += padded(data)
    names += b".shstrtab\0"
    entries.append(section(bits, len(names) - 10, 3, body_at + len(content), len(names)))
    content += padded(names) + tail
    if is_64:
        program = struct.pack("<IIQQQQQQ", 4 if segment is not None else 1, 4, body_at, 0, 0, len(segment or b""), 0, 4)
    else:
        program = struct.pack("<IIIIIIII", 4 if segment is not None else 1, body_at, 0, 0, len(segment or b""), 0, 4, 4)
    identity = b"\x7fELF" + bytes([2 if is_64 else 1, 1, 1]) + bytes(9)
    header = identity + struct.pack(
        "<HHIQQQIHHHHHH" if is_64 else "<HHIIIIIHHHHHH", 2, 62 if is_64 else 3, 1, 0, header_size,
        body_at + len(content), 0, header_size, segment_size, 1, section_size, len(entries), len(entries) - 1,
    )  # fmt: skip
    return header + program + bytes(content) + b"".join(entries)


def section(bits: int, name: int, kind: int, offset: int, size: int) -> bytes:
    """One section header."""
    return struct.pack("<IIQQQQIIQQ" if bits == 64 else "<IIIIIIIIII", name, kind, 0, 0, offset, size, 0, 0, 1, 0)


def bzimage(payload: bytes, version: bytes = b"6.1.0-test (x@y) #1", protocol: int = 0x20F) -> bytes:
    """A bzImage with one setup sector and ``payload`` behind 16 bytes of code."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, protocol)
    struct.pack_into("<H", setup, 0x20E, 0x100)
    struct.pack_into("<II", setup, 0x248, 16, len(payload))
    setup[0x300 : 0x300 + len(version)] = version
    return bytes(setup) + bytes(16) + payload
