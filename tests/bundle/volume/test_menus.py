from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from amiable.bundle.volume.contents import Made
from amiable.bundle.volume.ext import Identity
from amiable.bundle.volume.menus import GRUB_CFG, MENU_LST, Menus, menu_for
from amiable.bundle.volume.selection import Report
from amiable.model.errors import LocalRefusal

IDENTITY = Identity("ext4", "root", UUID(int=3))
NAMES = frozenset({f"UUID={IDENTITY.uuid}", "LABEL=root"})
OWN = "linux /boot/vmlinuz-6 root=LABEL=root ro\ninitrd /boot/initrd.img-6\n"


@pytest.fixture
def menus(tmp_path: Path) -> Menus:
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/vmlinuz-6").touch()
    (tmp_path / "boot/initrd.img-6").touch()
    return Menus(tmp_path, "gpt", IDENTITY, f"UUID={IDENTITY.uuid}", NAMES, boot_apart=False, given=None)


def test_the_volumes_own_menu_is_kept_where_it_starts_this_image(menus: Menus) -> None:
    (menus.root / GRUB_CFG).write_text(OWN)
    assert menu_for(menus, Report()) == {}


def test_a_menu_of_another_root_is_written_anew(menus: Menus) -> None:
    (menus.root / GRUB_CFG).write_text(OWN.replace("LABEL=root", "/dev/mapper/vg-root"))
    report = Report()
    made = menu_for(menus, report)[GRUB_CFG].content.decode()
    assert f"linux /boot/vmlinuz-6 root=UUID={IDENTITY.uuid} ro" in made and "initrd /boot/initrd.img-6" in made
    assert report.remarks == [(GRUB_CFG, "written anew: the volume's does not start this image")]


def test_a_menu_whose_boot_lay_apart_is_written_anew(menus: Menus) -> None:
    (menus.root / GRUB_CFG).write_text(OWN)
    assert GRUB_CFG in menu_for(replace(menus, boot_apart=True), Report())


def test_a_menu_in_the_other_place_is_copied(menus: Menus) -> None:
    (menus.root / "boot/grub2").mkdir()
    (menus.root / "boot/grub2/grub.cfg").write_text(OWN)
    assert menu_for(menus, Report()) == {GRUB_CFG: Made(OWN.encode())}


def test_a_menu_that_is_given_is_used_as_it_is(menus: Menus) -> None:
    assert menu_for(replace(menus, given=b"mine"), Report()) == {GRUB_CFG: Made(b"mine")}
    assert menu_for(replace(menus, given=b"mine", scheme="none"), Report()) == {MENU_LST: Made(b"mine")}


def test_a_classic_menu_is_kept_and_loses_its_partition(menus: Menus) -> None:
    bare = replace(menus, scheme="none")
    (menus.root / MENU_LST).write_text("title x\nroot (hd0)\nkernel /boot/vmlinuz-6 root=/dev/sda1\n")
    assert menu_for(bare, Report()) == {}
    (menus.root / MENU_LST).write_text("title x\nroot (hd0,0)\nkernel /boot/vmlinuz-6 root=/dev/xvda1\n")
    assert b"root (hd0)\n" in menu_for(bare, Report())[MENU_LST].content


def test_a_bare_image_without_kernels_has_no_menu_and_a_disk_is_refused(menus: Menus) -> None:
    (menus.root / "boot/vmlinuz-6").unlink()
    assert menu_for(replace(menus, scheme="none"), Report()) == {}
    with pytest.raises(LocalRefusal, match="no kernel in /boot"):
        menu_for(menus, Report())


def test_a_kernel_without_ramdisk_cannot_find_root_by_its_uuid_and_that_is_said(menus: Menus) -> None:
    (menus.root / "boot/initrd.img-6").unlink()
    report = Report()
    menu_for(menus, report)
    assert any("--root-device" in why for _, why in report.remarks)
    report = Report()
    made = menu_for(replace(menus, root_source="/dev/nvme0n1p1"), report)[GRUB_CFG].content
    assert b"root=/dev/nvme0n1p1" in made and len(report.remarks) == 1
