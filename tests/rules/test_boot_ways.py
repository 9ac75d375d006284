"""What a disk's first sectors say of how it starts, and the advice that follows; hostile sectors cost little and break nothing."""

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.rules.boot_ways import BootWays, advice, cannot_start, remark, ways_of
from amiable.rules.partition_table import HEAD_BYTES

EFI_SYSTEM = UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B").bytes_le
LINUX = UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4").bytes_le
CODE = b"\xeb\x63\x90".ljust(440, b"\x90")
MODES = ("legacy-bios", "uefi")


def sector_0(code: bytes = b"", kinds: tuple[int, ...] = ()) -> bytes:
    entries = b"".join(b"\0\0\0\0" + bytes([kind]) + b"\0\0\0" + struct.pack("<II", 2048, 4096) for kind in kinds)
    return code.ljust(446, b"\0") + entries.ljust(64, b"\0") + b"\x55\xaa"


def gpt(*types: bytes, code: bytes = b"") -> bytes:
    header = b"EFI PART" + bytes(64) + struct.pack("<QIII", 2, 128, 128, 0)
    entries = b"".join((kind + bytes(16) + struct.pack("<QQ", 64, 128)).ljust(128, b"\0") for kind in types)
    return (sector_0(code, (0xEE,)) + header.ljust(512, b"\0") + entries).ljust(HEAD_BYTES, b"\0")


def mbr(*kinds: int, code: bytes = b"") -> bytes:
    return sector_0(code, kinds).ljust(HEAD_BYTES, b"\0")


def ext() -> bytes:
    superblock = bytearray(1024)
    struct.pack_into("<II", superblock, 4, 1024, 0)
    superblock[56:58] = b"\x53\xef"
    return (bytes(1024) + superblock).ljust(HEAD_BYTES, b"\0")


DISKS = {
    "GPT for UEFI only": (gpt(LINUX, EFI_SYSTEM), BootWays(False, True, False)),
    "GPT for both": (gpt(EFI_SYSTEM, code=CODE), BootWays(True, True, False)),
    "GPT for a BIOS only": (gpt(LINUX, code=CODE), BootWays(True, False, False)),
    "MBR for UEFI only": (mbr(0xEF, 0x83), BootWays(False, True, False)),
    "MBR for a BIOS only": (mbr(0x83, code=CODE), BootWays(True, False, False)),
    "a bare file system": (ext(), BootWays(False, False, True)),
    "zeros": (bytes(HEAD_BYTES), BootWays(False, False, False)),
    "nothing": (b"", BootWays(False, False, False)),
    "code without a boot sector's mark": (CODE.ljust(HEAD_BYTES, b"\0"), BootWays(False, False, False)),
}


@pytest.mark.parametrize("name", DISKS)
def test_each_disk_tells_its_ways(name: str) -> None:
    head, ways = DISKS[name]
    assert ways_of(head) == ways


def test_a_disk_for_uefi_only_that_a_bios_started_is_to_be_registered_for_uefi() -> None:
    for name in ("GPT for UEFI only", "MBR for UEFI only"):
        said = advice(DISKS[name][1], "legacy-bios")
        assert said.endswith("EFI system partition and no BIOS boot code: register it with BootMode=uefi.")
    both = advice(BootWays(True, True, False), "legacy-bios")
    assert "BootMode=uefi" in both and "no BIOS boot code" not in both


def test_a_disk_for_a_bios_only_that_uefi_started_is_to_be_registered_for_a_bios() -> None:
    said = advice(DISKS["GPT for a BIOS only"][1], "uefi")
    assert said == "Its root has BIOS boot code and no EFI system partition: register it with BootMode=legacy-bios."
    assert "BootMode=legacy-bios" in advice(BootWays(True, True, False), "uefi")


@pytest.mark.parametrize("mode", MODES)
def test_what_no_firmware_starts_is_told_either_way(mode: str) -> None:
    assert "VirtualizationType=paravirtual" in advice(BootWays(False, False, True), mode)
    assert "install a boot loader" in advice(BootWays(False, False, False), mode)


def test_nothing_is_advised_that_was_done_already() -> None:
    assert advice(BootWays(True, False, False), "legacy-bios") == ""
    assert "BootMode" not in advice(BootWays(False, True, False), "uefi")
    for flags in range(8):
        ways = BootWays(bool(flags & 1), bool(flags & 2), bool(flags & 4))
        for mode in MODES:
            assert f"BootMode={mode}" not in advice(ways, mode)


def test_only_a_bios_without_boot_code_is_certain_not_to_start() -> None:
    assert cannot_start(BootWays(False, True, False), "legacy-bios")
    assert not cannot_start(BootWays(True, False, False), "legacy-bios")
    assert not any(cannot_start(ways, "uefi") for _, ways in DISKS.values())


def test_at_registration_only_what_will_not_start_is_remarked() -> None:
    uefi_only, bios_only, both = BootWays(False, True, False), BootWays(True, False, False), BootWays(True, True, False)
    assert "BootMode=uefi" in (remark(uefi_only, None) or "") and remark(uefi_only, "legacy-bios")
    assert "BootMode=legacy-bios" in (remark(bios_only, "uefi") or "")
    for ways, mode in (
        (uefi_only, "uefi"),
        (uefi_only, "uefi-preferred"),
        (bios_only, None),
        (bios_only, "uefi-preferred"),
    ):
        assert remark(ways, mode) is None
    assert [remark(both, mode) for mode in (None, *MODES, "uefi-preferred")] == [None] * 4


@given(st.binary(max_size=2048), st.sampled_from([head for head, _ in DISKS.values()]), st.integers(0, HEAD_BYTES))
def test_hostile_sectors_are_read_within_bounds(noise: bytes, head: bytes, at: int) -> None:
    ways = ways_of(head[:at] + noise + head[at + len(noise) :])
    assert all(isinstance(advice(ways, mode), str) for mode in MODES)
