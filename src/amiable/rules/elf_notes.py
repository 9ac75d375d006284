"""What a kernel's ELF file says of itself to Xen.

    ELF header ─▶ program headers: PT_NOTE ─▶ notes named "Xen"
              └─▶ section headers: SHT_NOTE, else the section __xen_guest (a string: kernels before 2.6.18 and their kin)

The order is that of Xen's own loader (libelf).  Files are hostile: every table has a largest count, every range must lie inside
the file, and nothing is followed twice.  Sources: Xen, xen/include/public/elfnote.h and libelf/libelf-dominfo.c; ELF-64 Object
File Format 1.5.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

HEADERS_MAX: Final = 256
"""Program or section headers that are looked at; Linux has about five and fifty."""
NOTES_MAX: Final = 256
NOTE_BYTES_MAX: Final = 4096
"""How long one note's content, or the section __xen_guest, may be."""
TEXT_LENGTH_MAX: Final = 200

_MACHINES: Final = {3: 32, 62: 64}  # EM_386, EM_X86_64
_CLASSES: Final = {1: 32, 2: 64}
_PT_NOTE: Final = 4
_SHT_NOTE: Final = 7
_PADDING: Final = 4

_ENTRY, _GUEST_OS, _GUEST_VERSION, _LOADER, _PAE_MODE, _FEATURES, _PHYS32_ENTRY = 1, 6, 7, 8, 9, 10, 18
_GUEST_SECTION: Final = b"__xen_guest"


class NotElf(ValueError):
    """The bytes are no ELF file of an x86 kernel; the text says why."""


@dataclass(frozen=True, slots=True)
class Elf:
    """One kernel's ELF file; the fields after ``bits`` are None or empty where it says nothing of them."""

    bits: int
    guest_os: str | None = None
    guest_version: str | None = None
    loader: str | None = None
    pae: str | None = None  # yes | no | bimodal
    features: tuple[str, ...] = ()
    entry: int | None = None
    pvh_entry: int | None = None
    source: str | None = None  # "notes" | "__xen_guest"

    @property
    def is_pv(self) -> bool:
        """Whether Xen can start it paravirtualized: a PV entry, or notes that know of no other.

        Kernels that are made for PVH alone carry the notes too, with ``PHYS32_ENTRY`` and no ``ENTRY``.
        """
        if self.source is None or self.loader not in (None, "generic"):
            return False
        return self.source == "__xen_guest" or self.entry is not None or self.pvh_entry is None

    @property
    def has_pae(self) -> bool:
        """Whether a 32-bit kernel runs with PAE, which is the only 32-bit mode of Xen since 4.0; 64-bit ones always do."""
        return self.bits == 64 or self.pae in ("yes", "bimodal")


def read_elf(data: bytes) -> Elf:
    """What ``data``, a whole kernel, says; raises NotElf for what is no ELF file of x86."""
    layout = _layout(data)
    notes = dict(_notes_of_segments(data, layout)) or dict(_notes_of_sections(data, layout))
    if notes:
        return _of_notes(layout.bits, notes)
    text = _guest_section(data, layout)
    return Elf(layout.bits) if text is None else _of_string(layout.bits, text)


@dataclass(frozen=True, slots=True)
class _Layout:
    bits: int
    segments: tuple[int, int, int]  # offset, size of one, count
    sections: tuple[int, int, int]
    names_index: int


def _layout(data: bytes) -> _Layout:
    if data[:4] != b"\x7fELF":
        raise NotElf("it is no ELF file")
    if len(data) < 64:
        raise NotElf("its ELF header is cut short")
    bits = _CLASSES.get(data[4])
    if bits is None or data[5] != 1:
        raise NotElf(f"its ELF class {data[4]} or byte order {data[5]} is none of x86")
    machine = struct.unpack_from("<H", data, 18)[0]
    if _MACHINES.get(machine) != bits:
        raise NotElf(f"its ELF machine {machine} is not x86 of {bits} bits")
    form = "<QQIHHHHHH" if bits == 64 else "<IIIHHHHHH"
    where, sections, _, _, size, count, section_size, section_count, names = struct.unpack_from(
        form, data, 32 if bits == 64 else 28
    )
    return _Layout(bits, (where, size, count), (sections, section_size, section_count), names)


def _table(data: bytes, table: tuple[int, int, int], least: int) -> Iterator[int]:
    """Offsets of the entries that lie in the file whole."""
    offset, size, count = table
    if size < least:
        return
    for index in range(min(count, HEADERS_MAX)):
        at = offset + index * size
        if at + least > len(data):
            return
        yield at


def _notes_of_segments(data: bytes, layout: _Layout) -> Iterator[tuple[int, bytes]]:
    is_64 = layout.bits == 64
    for at in _table(data, layout.segments, 56 if is_64 else 32):
        if struct.unpack_from("<I", data, at)[0] != _PT_NOTE:
            continue
        if is_64:
            offset, size = struct.unpack_from("<Q16xQ", data, at + 8)
        else:
            offset, size = struct.unpack_from("<I8xI", data, at + 4)
        yield from _xen_notes(data, offset, size)


def _sections(data: bytes, layout: _Layout) -> Iterator[tuple[int, int, int, int]]:
    """Name's offset, type, offset and size of each section."""
    is_64 = layout.bits == 64
    for at in _table(data, layout.sections, 64 if is_64 else 40):
        name, kind = struct.unpack_from("<II", data, at)
        offset, size = struct.unpack_from("<QQ" if is_64 else "<II", data, at + (24 if is_64 else 16))
        yield name, kind, offset, size


def _notes_of_sections(data: bytes, layout: _Layout) -> Iterator[tuple[int, bytes]]:
    for _, kind, offset, size in _sections(data, layout):
        if kind == _SHT_NOTE:
            yield from _xen_notes(data, offset, size)


def _xen_notes(data: bytes, offset: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Type and content of each note of Xen's in a range of notes; a note that is cut short ends them."""
    at, end = offset, min(offset + size, len(data))
    for _ in range(NOTES_MAX):
        if at + 12 > end:
            return
        name_size, size, kind = struct.unpack_from("<III", data, at)
        name_at = at + 12
        content_at = name_at + _padded(name_size)
        at = content_at + _padded(size)
        if content_at + size > end:
            if kind != _PAE_MODE or content_at >= end:
                return
            size = end - content_at  # PV-GRUB of 32 bits ends with this note, and says that it is longer than it is
        if data[name_at : name_at + min(name_size, 8)].rstrip(b"\0") == b"Xen" and size <= NOTE_BYTES_MAX:
            yield kind, data[content_at : content_at + size]


def _padded(size: int) -> int:
    return (size + _PADDING - 1) // _PADDING * _PADDING


def _guest_section(data: bytes, layout: _Layout) -> bytes | None:
    """The content of the section ``__xen_guest``."""
    found = list(_sections(data, layout))
    if layout.names_index >= len(found):
        return None
    names = found[layout.names_index][2]
    for name, _, offset, size in found:
        at = names + name
        if data[at : at + len(_GUEST_SECTION) + 1] == _GUEST_SECTION + b"\0":
            return data[offset : offset + min(size, NOTE_BYTES_MAX)]
    return None


def _of_notes(bits: int, notes: Mapping[int, bytes]) -> Elf:
    return Elf(
        bits,
        guest_os=_text(notes.get(_GUEST_OS)),
        guest_version=_text(notes.get(_GUEST_VERSION)),
        loader=_text(notes.get(_LOADER)),
        pae=_pae(_text(notes.get(_PAE_MODE))),
        features=_features(_text(notes.get(_FEATURES))),
        entry=_number(notes.get(_ENTRY)),
        pvh_entry=_number(notes.get(_PHYS32_ENTRY)),
        source="notes",
    )


def _of_string(bits: int, section: bytes) -> Elf:
    """From ``GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xC0000000,LOADER=generic,PAE=yes``."""
    said = {}
    for pair in section.partition(b"\0")[0].split(b",")[:NOTES_MAX]:
        key, _, value = pair.strip().partition(b"=")
        said[_text(key)] = _text(value)
    return Elf(
        bits,
        guest_os=said.get("GUEST_OS"),
        guest_version=said.get("GUEST_VER") or said.get("GUEST_VERSION"),
        loader=said.get("LOADER"),
        pae=_pae(said.get("PAE")),
        features=_features(said.get("FEATURES")),
        entry=_hexadecimal(said.get("VIRT_ENTRY")),
        source="__xen_guest",
    )


def _text(content: bytes | None) -> str | None:
    """Printable ASCII up to the first NUL, cut at a length: it is shown to people."""
    if content is None:
        return None
    text = content.partition(b"\0")[0].decode("ascii", "replace")
    return re.sub(r"[^ -~]", "?", text)[:TEXT_LENGTH_MAX] or None


def _number(content: bytes | None) -> int | None:
    return None if content is None or len(content) not in (4, 8) else int.from_bytes(content, "little")


def _hexadecimal(text: str | None) -> int | None:
    return int(text, 16) if text and re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text) else None


def _pae(word: str | None) -> str | None:
    """``yes``, ``no`` or ``bimodal``; ``yes[extended-cr3]`` is a kind of yes."""
    if word is None:
        return None
    return "bimodal" if word == "bimodal" else "yes" if word.startswith("yes") else "no"


def _features(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[|,]", text) if part)[:NOTES_MAX] if text else ()
