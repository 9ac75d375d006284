"""What a kernel's ELF file says to Xen: notes, the older string, other systems' forms, and hostile bytes."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.rules.elf_notes import NotElf, read_elf
from tests.rules.elf import elf, notes, pv_notes

OLD_SECTION = (
    b"GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xC0000000,ELF_PADDR_OFFSET=0xC0000000,VIRT_ENTRY=0xC0100000,"
    b"HYPERCALL_PAGE=0x105,FEATURES=writable_page_tables|writable_descriptor_tables,PAE=yes[extended-cr3],LOADER=generic\0"
)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("place", ["segment", "section"])
def test_notes_are_found_in_segments_and_in_sections(bits: int, place: str) -> None:
    said = notes(pv_notes(bits))
    data = elf(bits, segment=said) if place == "segment" else elf(bits, sections={".notes": (7, said)})
    found = read_elf(data)
    assert (found.bits, found.guest_os, found.guest_version) == (bits, "linux", "2.6")
    assert (found.loader, found.pae, found.entry) == ("generic", "yes", 0xC0100000)
    assert found.features == ("!writable_page_tables", "pae_pgdir_above_4gb")
    assert found.is_pv and found.source == "notes"


def test_the_string_of_2_6_16_is_read() -> None:
    found = read_elf(elf(32, sections={"__xen_guest": (1, OLD_SECTION)}))
    assert (found.guest_os, found.guest_version, found.pae, found.loader) == ("linux", "2.6", "yes", "generic")
    assert found.features == ("writable_page_tables", "writable_descriptor_tables")
    assert found.entry == 0xC0100000 and found.is_pv and found.has_pae and found.source == "__xen_guest"


@pytest.mark.parametrize(
    ("guest_os", "version", "bits"),
    [(b"NetBSD\0", b"4.99\0", 32), (b"Solaris\0", b"5.11\0", 64), (b"Mini-OS\0", b"0.1\0", 64)],
)
def test_other_systems_notes_are_of_the_same_form(guest_os: bytes, version: bytes, bits: int) -> None:
    said = pv_notes(bits, n6=guest_os, n7=version, n9=b"bimodal\0", n12=struct.pack("<I", 0xF5800000))
    found = read_elf(elf(bits, segment=notes(said)))
    assert (found.guest_os, found.guest_version) == (guest_os[:-1].decode(), version[:-1].decode())
    assert (found.pae, found.is_pv) == ("bimodal", True)


def test_a_kernel_made_for_pvh_alone_has_no_paravirtual_entry() -> None:
    said = pv_notes(n1=None, n18=struct.pack("<I", 0x1000000))
    found = read_elf(elf(segment=notes(said)))
    assert found.pvh_entry == 0x1000000 and not found.is_pv


def test_a_loader_that_is_not_xens_generic_one_is_not_started() -> None:
    assert not read_elf(elf(segment=notes(pv_notes(n8=b"special\0")))).is_pv


@pytest.mark.parametrize(("word", "pae"), [(b"no\0", "no"), (b"yes\0", "yes"), (b"bimodal\0", "bimodal"), (None, None)])
def test_a_32_bit_kernel_without_pae_is_told_apart(word: bytes | None, pae: str | None) -> None:
    found = read_elf(elf(32, segment=notes(pv_notes(32, n9=word))))
    assert (found.pae, found.has_pae) == (pae, pae in ("yes", "bimodal"))


def test_the_last_note_of_pv_grub_of_32_bits_says_that_it_is_longer_than_it_is() -> None:
    said = notes(pv_notes(32, n9=None)) + struct.pack("<III", 4, 12, 9) + b"Xen\0yes\0"
    assert read_elf(elf(32, segment=said)).pae == "yes"
    assert read_elf(elf(32, segment=said[:-4])).pae is None


def test_notes_of_others_are_passed_over() -> None:
    said = notes({1: b"\1\0\0\0", 3: bytes(20)}, name=b"GNU\0") + notes(pv_notes())
    assert read_elf(elf(segment=said)).guest_os == "linux"
    assert read_elf(elf(segment=notes({1: b"\1\0\0\0"}, name=b"GNU\0"))).source is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no ELF"),
        (b"MZ" + bytes(100), "no ELF"),
        (b"\x7fELF\2\1\1", "cut short"),
        (b"\x7fELF\2\2\1" + bytes(100), "byte order"),
        (b"\x7fELF\2\1\1" + bytes(11) + b"\xb7\0" + bytes(100), "machine 183"),
        (b"\x7fELF\1\1\1" + bytes(11) + b"\x3e\0" + bytes(100), "not x86 of 32"),
    ],
    ids=["empty", "other", "short", "big-endian", "arm64", "x32"],
)
def test_what_is_no_x86_elf_file_is_named(data: bytes, why: str) -> None:
    with pytest.raises(NotElf, match=why):
        read_elf(data)


def test_text_that_is_shown_to_people_is_printable_and_short() -> None:
    found = read_elf(elf(segment=notes(pv_notes(n6=b"\x1b[31mred\xff" + b"x" * 4000))))
    assert found.guest_os is not None and len(found.guest_os) == 200
    assert found.guest_os.isprintable() and found.guest_os.startswith("?[31mred?")


GOOD = [elf(64, segment=notes(pv_notes())), elf(32, sections={"__xen_guest": (1, OLD_SECTION)})]


@given(st.sampled_from(GOOD), st.data())
def test_damaged_files_never_do_more_than_be_refused(good: bytes, data: st.DataObject) -> None:
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for each in (bytes(damaged), bytes(damaged[:cut])):
        with contextlib.suppress(NotElf):
            read_elf(each)


@given(st.binary(max_size=300))
def test_any_bytes_behind_an_elf_magic_are_read_or_refused(tail: bytes) -> None:
    for head in (b"\x7fELF\2\1\1" + bytes(11) + b"\x3e\0", b"\x7fELF\1\1\1" + bytes(11) + b"\x03\0"):
        with contextlib.suppress(NotElf):
            read_elf(head + tail)
