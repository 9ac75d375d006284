"""Which hardware a launch gets, and in which way a kernel can be started."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.hardware import Profile
from amiable.model.image import Image, ImageType
from amiable.model.kernel import KernelKind
from amiable.rules.hardware_profile import Choice, choose
from amiable.rules.kernel_choice import BootImages
from tests.rules.images import AN_IMAGE

HVM = replace(AN_IMAGE, ena_support=False)
PV = replace(HVM, virtualization_type="paravirtual")


def kernel(kind: KernelKind | None = None, *, direct: bool | None = None, **changes: Any) -> Image:
    """An approved kernel of ``kind``."""
    facts = {"kernel_kind": kind, "boots_directly": direct, "kernel_kind_why": "as its notes say", **changes}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return replace(AN_IMAGE, id="aki-" + "1" * 17, image_type=ImageType.KERNEL, devices=(), approved_at=moment, **facts)


RAMDISK = replace(kernel(), id="ari-" + "1" * 17, image_type=ImageType.RAMDISK)


def of(boot: Image, override: str | None = None, *, ramdisk: bool = False) -> Choice:
    """The choice for a paravirtual image with this kernel."""
    return choose(PV, BootImages(boot, RAMDISK if ramdisk else None), override)


@pytest.mark.parametrize(
    ("image", "boot", "profile"),
    [
        (PV, BootImages(kernel(), RAMDISK), Profile.DIRECT),
        (PV, BootImages(kernel()), Profile.DIRECT_NVME),
        (replace(HVM, ena_support=True), BootImages(), Profile.NITRO),
        (HVM, BootImages(), Profile.VIRTIO),
    ],
    ids=["ramdisk", "no-ramdisk", "ena", "plain-hvm"],
)
def test_the_images_own_facts_choose(image: Image, boot: BootImages, profile: Profile) -> None:
    choice = choose(image, boot, None)
    assert choice.profile is profile and choice.why and not choice.needs_pv32


@pytest.mark.parametrize("kind", [KernelKind.PV_GRUB_HD0, KernelKind.PV_GRUB_HD00])
def test_pv_grub_runs_under_xen_only(kind: KernelKind) -> None:
    choice = of(kernel(kind, direct=False))
    assert choice.profile is Profile.XEN_PV and kind in choice.why
    with pytest.raises(InvalidParameterCombination, match="cannot be started directly"):
        of(kernel(kind, direct=False), "direct")


def test_a_kernel_with_no_other_entry_runs_under_xen_and_is_refused_directly() -> None:
    choice = of(kernel(KernelKind.XEN_PV64, direct=False), ramdisk=True)
    assert choice.profile is Profile.XEN_PV and "Xen only: as its notes say" in choice.why
    with pytest.raises(InvalidParameterCombination, match="directly: as its notes say"):
        of(kernel(KernelKind.XEN_PV64, direct=False), "direct", ramdisk=True)


def test_a_kernel_of_both_ways_is_started_directly_unless_the_tag_says_xen() -> None:
    both = kernel(KernelKind.XEN_PV64, direct=True)
    choice = of(both, ramdisk=True)
    assert choice.profile is Profile.DIRECT and "xen-pv" in choice.why
    assert of(both, "xen-pv", ramdisk=True) == Choice(Profile.XEN_PV, "tag amiable:hardware-profile")


def test_a_kernel_without_a_xen_entry_is_refused_under_xen_with_the_reason() -> None:
    plain = kernel(KernelKind.PLAIN, direct=True)
    assert of(plain).profile is Profile.DIRECT_NVME
    with pytest.raises(InvalidParameterCombination, match="cannot run under Xen: as its notes say"):
        of(plain, "xen-pv")


def test_a_kernel_that_neither_way_can_start_is_refused() -> None:
    neither = kernel(KernelKind.PLAIN, direct=False)
    for override in (None, "direct", "xen-pv"):
        with pytest.raises(InvalidParameterCombination):
            of(neither, override)


@pytest.mark.parametrize("kind", [None, KernelKind.UNKNOWN])
def test_a_kernel_of_which_nothing_is_known_is_tried(kind: KernelKind | None) -> None:
    assert of(kernel(kind, direct=None if kind is None else True)).profile is Profile.DIRECT_NVME
    assert of(kernel(kind), "xen-pv").profile is Profile.XEN_PV


@pytest.mark.parametrize("kind", [KernelKind.XEN_PV32, KernelKind.PV_GRUB_HD0])
def test_a_32_bit_kernel_needs_the_hypervisor_that_is_built_for_it(kind: KernelKind) -> None:
    assert of(kernel(kind, direct=False, architecture="i386")).needs_pv32
    assert not of(kernel(KernelKind.XEN_PV64, direct=False)).needs_pv32


def test_a_32_bit_kernel_that_is_started_directly_needs_none() -> None:
    both = kernel(KernelKind.XEN_PV32, direct=True, architecture="i386")
    assert not of(both).needs_pv32
    assert of(both, "xen-pv").needs_pv32


def test_the_tag_wins_and_says_so() -> None:
    choice = choose(HVM, BootImages(), "nitro")
    assert choice.profile is Profile.NITRO and "amiable:hardware-profile" in choice.why


def test_an_unknown_profile_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(InvalidParameterValue, match=r"virtio.*nitro.*xen-pv"):
        choose(HVM, BootImages(), "quantum")


@pytest.mark.parametrize("override", ["direct", "direct-nvme", "xen-pv"])
def test_a_profile_of_paravirtual_images_is_refused_for_an_hvm_one(override: str) -> None:
    with pytest.raises(InvalidParameterCombination):
        choose(HVM, BootImages(), override)


@pytest.mark.parametrize("override", ["virtio", "nitro", "xen-hvm"])
def test_a_profile_of_hvm_images_is_refused_for_a_paravirtual_one(override: str) -> None:
    with pytest.raises(InvalidParameterCombination):
        of(kernel(), override, ramdisk=True)


@pytest.mark.parametrize(
    ("facts", "boot_mode", "profile"),
    [
        ({}, "legacy-bios", Profile.XEN_HVM),
        ({}, "uefi", Profile.NITRO),
        ({"ena_support": True}, "legacy-bios", Profile.NITRO),
        ({"platform": None}, "legacy-bios", Profile.VIRTIO),
        ({"platform": None}, "uefi", Profile.VIRTIO),
    ],
)
def test_a_windows_image_gets_devices_that_windows_has_drivers_for(
    facts: dict[str, Any], boot_mode: str, profile: Profile
) -> None:
    image = replace(HVM, **{"platform": "windows", "ena_support": False, **facts})
    choice = choose(image, BootImages(), None, boot_mode=boot_mode)
    assert choice.profile is profile and choice.why


def test_xen_hvm_has_no_uefi_whoever_asks_for_it() -> None:
    assert choose(HVM, BootImages(), "xen-hvm").profile is Profile.XEN_HVM
    with pytest.raises(InvalidParameterCombination, match="starts by legacy-bios only"):
        choose(HVM, BootImages(), "xen-hvm", boot_mode="uefi")
