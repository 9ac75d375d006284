"""Which hardware a launch gets."""

import pytest

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.hardware import Profile
from amiable.rules.hardware_profile import choose


@pytest.mark.parametrize(
    ("virtualization_type", "has_ramdisk", "ena_support", "profile"),
    [
        ("paravirtual", True, False, Profile.DIRECT),
        ("paravirtual", False, False, Profile.DIRECT_NVME),
        ("hvm", False, True, Profile.NITRO),
        ("hvm", False, False, Profile.VIRTIO),
    ],
)
def test_the_images_own_facts_choose(
    virtualization_type: str, has_ramdisk: bool, ena_support: bool, profile: Profile
) -> None:
    choice = choose(
        virtualization_type=virtualization_type, has_ramdisk=has_ramdisk, ena_support=ena_support, override=None
    )
    assert choice.profile is profile and choice.why


def test_the_tag_wins_and_says_so() -> None:
    choice = choose(virtualization_type="hvm", has_ramdisk=False, ena_support=False, override="nitro")
    assert choice.profile is Profile.NITRO and "amiable:hardware-profile" in choice.why


def test_an_unknown_profile_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(InvalidParameterValue, match=r"virtio.*nitro"):
        choose(virtualization_type="hvm", has_ramdisk=False, ena_support=False, override="quantum")


@pytest.mark.parametrize(("kind", "override"), [("hvm", "direct"), ("paravirtual", "virtio")])
def test_a_profile_of_the_other_virtualization_is_refused(kind: str, override: str) -> None:
    with pytest.raises(InvalidParameterCombination):
        choose(virtualization_type=kind, has_ramdisk=True, ena_support=False, override=override)
