import struct
from pathlib import Path

import pytest

from amiable.bundle.volume import boot_loader, disk
from amiable.bundle.volume.boot_loader import core_image, embed_bios, write_efi
from amiable.bundle.volume.disk import PLANS, SECTOR_BYTES, Place, Scheme
from amiable.model.errors import LocalRefusal
from amiable.model.units import MIB

SEARCH = "--fs-uuid 3f1c2b7e-0000-4000-8000-00000000abcd"


def partitioned(folder: Path, scheme: Scheme) -> Path:
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    disk.partition(image, PLANS[scheme], size_bytes=64 * MIB)
    return image


@pytest.mark.parametrize("scheme", ["mbr", "gpt"])
def test_the_boot_sector_points_to_the_core_and_the_table_stays(scheme: Scheme, tmp_path: Path) -> None:
    image, plan = partitioned(tmp_path, scheme), PLANS[scheme]
    table = image.read_bytes()[0x1B8:0x200]
    boot_loader.install(image, plan, search=SEARCH)
    written = image.read_bytes()
    assert plan.core is not None and plan.efi is not None
    assert written[0x1B8:0x200] == table != bytes(0x48)
    assert struct.unpack_from("<Q", written, 0x5C) == (plan.core.start,)
    sector, count, segment = struct.unpack_from("<QHH", written, plan.core.start * SECTOR_BYTES + 0x1F4)
    assert (sector, segment) == (plan.core.start + 1, 0x820) and 100 < count < plan.core.sectors
    assert b"FAT1" in written[plan.efi.start * SECTOR_BYTES :][:64]


def test_a_core_image_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    image = partitioned(tmp_path, "gpt")
    before = image.read_bytes()
    with pytest.raises(LocalRefusal, match="needs 3 sectors; there is room for 2"):
        embed_bios(image, bytes(3 * SECTOR_BYTES), Place(2048, 2))
    assert image.read_bytes() == before


def test_the_same_loader_makes_the_same_efi_partition(tmp_path: Path) -> None:
    image, place = partitioned(tmp_path, "gpt"), PLANS["gpt"].efi
    assert place is not None
    write_efi(image, b"MZ loader", place)
    first = image.read_bytes()
    write_efi(image, b"MZ loader", place)
    assert image.read_bytes() == first and b"MZ loader" in first


def test_grub_that_is_not_installed_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(boot_loader, "GRUB_FOLDER", tmp_path)
    with pytest.raises(LocalRefusal, match="GRUB for x86_64-efi is not installed") as refused:
        core_image("x86_64-efi", SEARCH)
    assert "grub-efi-amd64-bin" in refused.value.advice and refused.value.exit_code == 69
