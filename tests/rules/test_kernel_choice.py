"""Which kernel and ramdisk a paravirtual launch boots with, and which it may not."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import InvalidParameterCombination, Refusal
from amiable.model.image import Image, ImageState, ImageType
from amiable.model.kernel import KernelKind
from amiable.rules.kernel_choice import BootImages, check_no_ramdisk, choose_boot_images
from tests.rules.images import AN_IMAGE, OTHER, OWNER

IDS = {ImageType.KERNEL: "aki-" + "1" * 17, ImageType.RAMDISK: "ari-" + "1" * 17}


def boot_image(kind: ImageType, digit: str = "1", /, **changes: Any) -> Image:
    """A public, approved kernel or ramdisk of another account's."""
    facts: dict[str, Any] = {"image_type": kind, "devices": (), "grantees": frozenset({"all"}), "account_id": OTHER}
    facts |= {"approved_at": AN_IMAGE.created_at, **changes}
    image_id = IDS[kind].replace("1", digit)
    return replace(AN_IMAGE, id=image_id, **facts)


KERNELS = [boot_image(ImageType.KERNEL, digit) for digit in "12"]
RAMDISKS = [boot_image(ImageType.RAMDISK, digit) for digit in "12"]
KNOWN = {each.id: each for each in KERNELS + RAMDISKS}
PV = replace(AN_IMAGE, virtualization_type="paravirtual")


def chosen(image: Image, kernel_id: str | None, ramdisk_id: str | None, known: dict[str, Image] = KNOWN) -> BootImages:
    return choose_boot_images(image, kernel_id=kernel_id, ramdisk_id=ramdisk_id, known=known, account_id=OWNER)


@given(*(st.sampled_from([None, *(each.id for each in some)]) for some in (KERNELS, RAMDISKS, KERNELS, RAMDISKS)))
def test_the_requests_come_first_then_the_images(
    kernel_id: str | None, ramdisk_id: str | None, own_kernel: str | None, own_ramdisk: str | None
) -> None:
    image = replace(PV, kernel_id=own_kernel, ramdisk_id=own_ramdisk)
    if kernel_id is None and own_kernel is None:
        with pytest.raises(InvalidParameterCombination, match="names no kernel"):
            chosen(image, kernel_id, ramdisk_id)
        return
    boot = chosen(image, kernel_id, ramdisk_id)
    assert boot.kernel is not None and boot.kernel.id == (kernel_id or own_kernel)
    assert (boot.ramdisk.id if boot.ramdisk else None) == (ramdisk_id or own_ramdisk)


FAULTS: dict[str, tuple[object, object]] = {
    "approved_at": (AN_IMAGE.created_at, None),
    "grantees": (frozenset({"all"}), frozenset()),
    "state": (ImageState.AVAILABLE, ImageState.DEREGISTERED),
    "architecture": ("x86_64", "i386"),
}


@pytest.mark.parametrize("kind", list(IDS))
def test_only_what_is_approved_visible_registered_and_of_the_architecture_boots(kind: ImageType) -> None:
    for faults in product((0, 1), repeat=len(FAULTS)):
        facts = {name: values[fault] for (name, values), fault in zip(FAULTS.items(), faults, strict=True)}
        known = KNOWN | {IDS[kind]: boot_image(kind, **facts)}
        image = replace(PV, kernel_id=IDS[ImageType.KERNEL], ramdisk_id=IDS[ImageType.RAMDISK])
        if not any(faults):
            assert chosen(image, None, None, known).ramdisk is not None
            continue
        with pytest.raises(Refusal) as refused:
            chosen(image, None, None, known)
        assert refused.value.code in ("AuthFailure", "InvalidAMIID.Unavailable", "InvalidParameterCombination")
        assert IDS[kind] in refused.value.message


def test_a_kernel_of_ones_own_needs_the_mark_too() -> None:
    mine = boot_image(ImageType.KERNEL, account_id=OWNER, grantees=frozenset(), approved_at=None)
    with pytest.raises(Refusal, match="not on the list"):
        chosen(PV, mine.id, None, KNOWN | {mine.id: mine})


def test_a_ramdisk_beside_pv_grub_is_refused_whatever_it_is() -> None:
    for kind in (KernelKind.PV_GRUB_HD0, KernelKind.PV_GRUB_HD00):
        grub = boot_image(ImageType.KERNEL, kernel_kind=kind)
        check_no_ramdisk(grub, None)
        with pytest.raises(InvalidParameterCombination):
            check_no_ramdisk(grub, RAMDISKS[0].id)
    check_no_ramdisk(KERNELS[0], RAMDISKS[0].id)
