"""What boot mode an instance has after its type changed."""

from dataclasses import replace

import pytest

from amiable.model.instance_type import InstanceType, type_of
from amiable.rules.instance_attributes import choose_boot_mode
from tests.rules.test_volume import STOPPED

UEFI_TYPE, BIOS_TYPE = type_of("t3.micro"), type_of("t2.micro")
PREFERS = replace(STOPPED, hardware_profile="virtio", boot_mode="legacy-bios", image_boot_mode="uefi-preferred")


def test_what_prefers_uefi_gets_it_from_a_type_that_has_it() -> None:
    assert choose_boot_mode(PREFERS, UEFI_TYPE) == "uefi"
    assert choose_boot_mode(replace(PREFERS, boot_mode="uefi"), BIOS_TYPE) == "legacy-bios"


def test_what_prefers_uefi_keeps_its_bios_in_a_profile_that_has_nothing_else() -> None:
    assert choose_boot_mode(replace(PREFERS, hardware_profile="xen-hvm"), UEFI_TYPE) == "legacy-bios"


def test_a_32_bit_instance_that_prefers_uefi_keeps_its_bios() -> None:
    assert choose_boot_mode(replace(PREFERS, architecture="i386"), UEFI_TYPE) == "legacy-bios"


@pytest.mark.parametrize(("was", "type_", "becomes"), [("legacy-bios", UEFI_TYPE, "legacy-bios"), ("uefi", BIOS_TYPE, "legacy-bios")])  # fmt: skip
def test_without_a_word_of_the_image_the_mode_stays_where_the_type_has_it(
    was: str, type_: InstanceType, becomes: str
) -> None:
    assert choose_boot_mode(replace(PREFERS, boot_mode=was, image_boot_mode=None), type_) == becomes
