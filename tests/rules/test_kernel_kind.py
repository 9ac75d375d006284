"""Which kind a kernel is: real ones of Debian's, handmade ones in every container, and bytes that mean harm."""

import bz2
import gzip
import lzma
import struct

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.model.errors import InvalidParameterValue
from amiable.model.kernel import KernelFacts, KernelKind
from amiable.rules import kernel_payload
from amiable.rules.kernel_kind import check_declared, inspect_kernel
from amiable.rules.kernel_payload import linux_version, open_payload
from tests.rules.elf import bzimage, elf, notes, pv_notes
from tests.support.guests import tiny_guest

PV64 = elf(64, segment=notes(pv_notes()), tail=b"Linux version 2.6.18-xenU (root@x) gcc\n\0")
PV32 = elf(32, segment=notes(pv_notes(32)))
PLAIN = elf(64, tail=b"Linux version 4.19.0-minimal (root@x)\0")


def lz4_legacy(data: bytes) -> bytes:
    """As Linux packs itself: the legacy frame, then the size unpacked."""
    block: bytes = lz4.block.compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(block)) + block + struct.pack("<I", len(data))


COMPRESSED = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, lzma.FORMAT_XZ, check=lzma.CHECK_CRC32) + bytes(4),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE) + bytes(4),
    "bzip2": lambda data: bz2.compress(data) + bytes(4),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data) + bytes(4),
    "lz4": lz4_legacy,
}


def test_debians_own_kernel_can_be_started_both_ways() -> None:
    guest = tiny_guest()
    facts = inspect_kernel(guest.kernel.read_bytes())
    assert (facts.kind, facts.bits, facts.boots_directly) == (KernelKind.XEN_PV64, 64, True)
    assert facts.version == guest.kernel_version


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_bzimage_of_every_compression_is_looked_into(name: str) -> None:
    facts = inspect_kernel(bzimage(COMPRESSED[name](PV64)))
    assert facts == KernelFacts(
        KernelKind.XEN_PV64,
        "6.1.0-test",
        boots_directly=True,
        why=f"bzImage ({name}), 64-bit, Xen PV of linux (notes)",
        bits=64,
    )


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_compressed_elf_file_starts_under_xen_only(name: str) -> None:
    facts = inspect_kernel(COMPRESSED[name](PV64))
    assert (facts.kind, facts.boots_directly, facts.version) == (KernelKind.XEN_PV64, False, "2.6.18-xenU")


def test_a_plain_elf_file_starts_directly_only_with_a_pvh_entry() -> None:
    assert inspect_kernel(PV64).boots_directly is False
    pvh = inspect_kernel(elf(64, segment=notes(pv_notes(n18=struct.pack("<I", 0x1000000)))))
    assert (pvh.kind, pvh.boots_directly) == (KernelKind.XEN_PV64, True)


def test_a_kernel_without_xens_notes_is_plain() -> None:
    facts = inspect_kernel(bzimage(gzip.compress(PLAIN)))
    assert (facts.kind, facts.boots_directly) == (KernelKind.PLAIN, True)
    packed = inspect_kernel(gzip.compress(PLAIN))
    assert (packed.kind, packed.boots_directly, packed.version) == (KernelKind.PLAIN, False, "4.19.0-minimal")


def test_a_32_bit_kernel_needs_pae() -> None:
    assert inspect_kernel(gzip.compress(PV32)).kind is KernelKind.XEN_PV32
    facts = inspect_kernel(gzip.compress(elf(32, segment=notes(pv_notes(32, n9=b"no\0")))))
    assert facts.kind is KernelKind.UNKNOWN and "without PAE" in facts.why


def test_without_a_banner_the_version_is_the_notes() -> None:
    said = pv_notes(n6=b"NetBSD\0", n7=b"5.99\0")
    assert inspect_kernel(gzip.compress(elf(segment=notes(said)))).version == "NetBSD 5.99"
    assert linux_version(b"Linux version \x1b[0m ") is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither a bzImage nor an ELF"),
        (b"QFI\xfb" + bytes(1000), "neither a bzImage nor an ELF"),
        (bytes(0x202) + b"HdrS", "cut short"),
        (bzimage(gzip.compress(PV64), protocol=0x204), "boot protocol 2.04 is older"),
        (bzimage(gzip.compress(PV64))[:1100], "does not lie in the file"),
        (bzimage(b"\x89LZO\0\r\n\x1a\n" + bytes(40)), "lzo"),
        (bzimage(b"strange payload"), "begins with 73 74 72 61"),
        (bzimage(b"\x1f\x8b\x08\0" + b"\xff" * 60), "gzip stream is damaged"),
        (bzimage(b"\xfd7zXZ\0" + bytes(60)), "xz stream is damaged"),
        (bzimage(b"BZh9" + bytes(60)), "bzip2 stream is damaged"),
        (bzimage(b"\x28\xb5\x2f\xfd" + b"\xff" * 60), "zstd stream is damaged"),
        (bzimage(b"\x02\x21\x4c\x18" + struct.pack("<I", 8) + b"\xff" * 60), "lz4 stream is damaged"),
        (bzimage(b"\x02\x21\x4c\x18" + (struct.pack("<I", 2) + b"\x10a") * 100), "no ELF file"),
        (bzimage(b"\x5d\0\0\xff\xff" + b"\xff" * 8 + bytes(60)), "lzma stream is damaged"),
        (gzip.compress(gzip.compress(PV64)), "no ELF file"),
        (gzip.compress(b""), "no ELF file"),
    ],
    ids=["empty", "disk", "header", "old", "cut", "lzo", "unknown", "gzip", "xz", "bzip2", "zstd", "lz4", "many-blocks", "dictionary", "twice", "nothing"],
)  # fmt: skip
def test_what_cannot_be_read_is_unknown_with_the_reason_and_is_tried(data: bytes, why: str) -> None:
    facts = inspect_kernel(data)
    assert facts.kind is KernelKind.UNKNOWN and facts.boots_directly and why in facts.why


@pytest.mark.parametrize("name", COMPRESSED)
def test_what_unpacks_to_more_than_the_bound_is_not_unpacked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_payload, "PAYLOAD_BYTES_MAX", 1 << 20)
    assert open_payload(bzimage(COMPRESSED[name](PV64 + bytes(1 << 19)))).elf is not None
    bomb = open_payload(bzimage(COMPRESSED[name](PV64 + bytes(5 << 20))))
    assert bomb.elf is None and "more than 1" in bomb.why


def test_the_architecture_must_be_the_kernels() -> None:
    facts = inspect_kernel(gzip.compress(PV32))
    assert check_declared(facts, "i386", None) is facts
    with pytest.raises(InvalidParameterValue, match="32 bits: give i386"):
        check_declared(facts, "x86_64", None)


def test_only_what_xen_can_start_is_registered_as_pv_grub() -> None:
    made = check_declared(inspect_kernel(PV64), "x86_64", KernelKind.PV_GRUB_HD0)
    assert (made.kind, made.boots_directly) == (KernelKind.PV_GRUB_HD0, False)
    with pytest.raises(InvalidParameterValue, match="without a paravirtual entry"):
        check_declared(inspect_kernel(PLAIN), "x86_64", KernelKind.PV_GRUB_HD00)


@settings(deadline=None)
@given(st.sampled_from(sorted(COMPRESSED)), st.data())
def test_damaged_kernels_are_always_given_a_kind(name: str, data: st.DataObject) -> None:
    damaged = bytearray(bzimage(COMPRESSED[name](PV64)) if data.draw(st.booleans()) else COMPRESSED[name](PV64))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    facts = inspect_kernel(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    assert facts.why and (facts.version is None or facts.version.isprintable())
