"""The one line of PV-GRUB that differs from instance to instance."""

import pytest

from amiable.vm.appliance.programs import BuildFailure
from amiable.vm.appliance.pv_grub import PLACEHOLDER, for_disk, menu_script

PROGRAM = b"\x7fELF" + menu_script("hd0").encode() + bytes(100)


def test_the_disk_and_its_length_in_sectors_take_the_place_of_the_placeholder_and_nothing_moves() -> None:
    made = for_disk(PROGRAM, "sda1", 10 << 30)
    assert b"loopback hd0 (xen/sda1)0+20971520  " in made
    assert len(made) == len(PROGRAM) and PLACEHOLDER not in made


def test_a_kernel_that_is_no_pv_grub_of_ours_is_refused() -> None:
    with pytest.raises(BuildFailure, match="not a PV-GRUB"):
        for_disk(b"\x7fELF something else", "sda1", 1 << 30)
    with pytest.raises(BuildFailure):
        for_disk(PROGRAM + PLACEHOLDER, "sda1", 1 << 30)


def test_the_longest_name_and_length_fit() -> None:
    made = for_disk(PROGRAM, "xvdzz15", 64 << 40)
    assert b"(xen/xvdzz15)0+137438953472" in made and len(made) == len(PROGRAM)


def test_each_kind_looks_for_its_menu_where_it_should() -> None:
    assert "(hd0)/boot/grub/menu.lst" in menu_script("hd0") and "msdos1" not in menu_script("hd0")
    assert "(hd0,msdos1)/boot/grub/grub.conf" in menu_script("hd00")
