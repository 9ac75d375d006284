"""The tiny guest as built: what lies where on its disks, and that building again makes the same bytes."""

import json
import struct
import subprocess
from pathlib import Path

import pytest

from amiable.bundle.volume.disk import BIOS_BOOT, EFI_SYSTEM, LINUX_ROOT, SECTOR_BYTES
from amiable.vm.appliance.programs import find_program
from guests.disk import PLAN, ROOT_OFFSET_BYTES
from guests.tiny.build import LABEL, plan
from tests.support.guests import TinyGuest, guest_cache, tiny_guest

assert PLAN.core is not None and PLAN.efi is not None
BIOS_START, EFI_START, EFI_SECTORS = PLAN.core.start, PLAN.efi.start, PLAN.efi.sectors


@pytest.fixture(scope="module")
def guest() -> TinyGuest:
    return tiny_guest()


def test_the_hvm_disk_has_boot_partitions_and_root_last_so_that_it_can_grow(guest: TinyGuest) -> None:
    said = subprocess.run([find_program("sfdisk"), "-J", guest.hvm], capture_output=True, text=True, check=True).stdout
    table = json.loads(said)["partitiontable"]
    assert table["label"] == "gpt"
    numbers = {int(row["node"].removeprefix(str(guest.hvm))): row for row in table["partitions"]}
    assert {number: row["type"] for number, row in numbers.items()} == {
        1: LINUX_ROOT, 14: BIOS_BOOT, 15: EFI_SYSTEM,
    }  # fmt: skip
    assert max(row["start"] for row in numbers.values()) == numbers[1]["start"] == PLAN.root_start


def test_the_boot_sector_leads_to_grub_s_core_image(guest: TinyGuest) -> None:
    with guest.hvm.open("rb") as file:
        sector = file.read(SECTOR_BYTES)
        file.seek(BIOS_START * SECTOR_BYTES)
        core = file.read(SECTOR_BYTES)
    assert sector[510:] == b"\x55\xaa"
    assert struct.unpack_from("<Q", sector, 0x5C) == (BIOS_START,)
    assert sector[0x1BE + 4] == 0xEE, "the protective partition of a GPT disk is kept"
    start, sectors, segment = struct.unpack_from("<QHH", core, 0x1F4)
    assert (start, segment) == (BIOS_START + 1, 0x820)
    assert 0 < sectors < 6144


def test_the_efi_partition_holds_a_loader_where_firmware_looks(guest: TinyGuest, tmp_path: Path) -> None:
    with guest.hvm.open("rb") as file:
        file.seek(EFI_START * SECTOR_BYTES)
        (tmp_path / "efi").write_bytes(file.read(EFI_SECTORS * SECTOR_BYTES))
    loader = tmp_path / "loader"
    subprocess.run([find_program("mcopy"), "-i", tmp_path / "efi", "::/EFI/BOOT/BOOTX64.EFI", loader], check=True)
    assert loader.read_bytes()[:2] == b"MZ"


@pytest.mark.parametrize(("image", "offset"), [("hvm", ROOT_OFFSET_BYTES), ("pv", 0)])
def test_root_is_a_sound_ext4_with_the_label_that_the_boot_loader_looks_for(
    guest: TinyGuest, image: str, offset: int
) -> None:
    path: Path = getattr(guest, image)
    with path.open("rb") as file:
        file.seek(offset + 0x400)
        superblock = file.read(1024)
    assert superblock[0x38:0x3A] == b"\x53\xef"
    assert superblock[0x78:0x88].rstrip(b"\0").decode() == LABEL
    place = f"{path}?offset={offset}"
    check = subprocess.run([find_program("e2fsck"), "-f", "-n", place], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout


def test_only_the_disk_carries_a_kernel(guest: TinyGuest) -> None:
    def boot_folder(path: str) -> str:
        words = [str(find_program("debugfs")), "-R", "ls -p /boot", path]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    assert "/vmlinuz/" in boot_folder(f"{guest.hvm}?offset={ROOT_OFFSET_BYTES}")
    assert "/vmlinuz/" not in boot_folder(str(guest.pv))


def test_the_two_kernels_tell_different_versions(guest: TinyGuest) -> None:
    assert guest.kernel_version != guest.other_kernel_version
    for path, version in ((guest.kernel, guest.kernel_version), (guest.other_kernel, guest.other_kernel_version)):
        image = path.read_bytes()
        start = struct.unpack_from("<H", image, 0x20E)[0] + 0x200
        assert image[0x202:0x206] == b"HdrS"
        assert image[start:].split(b" ", 1)[0].decode() == version


def test_the_file_without_a_boot_loader_is_no_disk(guest: TinyGuest) -> None:
    assert guest.no_boot_loader.read_bytes()[:1024] == bytes(1024)


def test_building_again_makes_the_same_bytes(guest: TinyGuest, tmp_path: Path) -> None:
    planned = plan(guest_cache())
    from guests.tiny import build

    build._build(planned.kernels, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in guest.folder.iterdir() if path.name != "inputs.json")
    different = [name for name in names if (tmp_path / name).read_bytes() != (guest.folder / name).read_bytes()]
    assert different == []
