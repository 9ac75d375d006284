"""What stands for an old kernel at the target: the same id, the same PV-GRUB, the same owner's same key; nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.kernel import KernelKind
from amiable.rules.kernel_mapping import BootImage, is_boot_image_id, map_boot_image, pv_grub_of
from amiable.rules.pv_grub_ids import PV_GRUB_IDS, PvGrub

AMAZON = "137112412989"
EAST = BootImage("aki-11111111", "kernel", AMAZON, "ec2-east/vmlinuz-2.6.18.manifest.xml", "x86_64")
WEST = BootImage("aki-22222222", "kernel", AMAZON, "/ec2-west/vmlinuz-2.6.18.manifest.xml", "x86_64")
OURS = BootImage("aki-33333333", "kernel", "210987654321", "210987654321/grub", "x86_64", kind="pv-grub-hd0")


def mapped(wanted: str, source: list[BootImage], target: list[BootImage]) -> str | None:
    found = map_boot_image(wanted, source, target)
    return None if found is None else found.id


def test_an_id_that_the_target_has_stays() -> None:
    assert mapped(EAST.id, [], [WEST, EAST]) == EAST.id


def test_the_same_key_of_the_same_owner_stands_for_it_whatever_the_bucket() -> None:
    assert mapped(EAST.id, [EAST], [OURS, WEST]) == WEST.id


@pytest.mark.parametrize(
    "other",
    [
        replace(WEST, owner_id="1"),
        replace(WEST, location="ec2-west/vmlinuz-2.6.21.manifest.xml"),
        replace(WEST, image_type="ramdisk"),
        replace(WEST, location="ec2-west/deeper/vmlinuz-2.6.18.manifest.xml"),
        OURS,
    ],
)
def test_anything_else_does_not(other: BootImage) -> None:
    assert mapped(EAST.id, [EAST], [other]) is None


def test_without_the_source_an_unknown_id_stays_unknown() -> None:
    assert mapped(EAST.id, [], [WEST, OURS]) is None
    assert mapped(EAST.id, [replace(EAST, location="")], [replace(WEST, location="")]) is None


def test_an_old_pv_grub_id_is_the_target_s_pv_grub_of_the_same_disk_and_architecture() -> None:
    hd00 = replace(OURS, id="aki-44444444", kind="pv-grub-hd00")
    old = replace(OURS, id="aki-55555555", architecture="i386")
    target = [WEST, hd00, old, OURS]
    assert mapped("aki-919dcaf8", [], target) == OURS.id
    assert mapped("aki-499ccb20", [], target) == hd00.id
    assert mapped("aki-8f9dcae6", [], target) == old.id
    assert mapped("aki-659ccb0c", [], target) is None


def test_a_pv_grub_is_known_by_its_kind_its_name_or_its_id() -> None:
    named = replace(EAST, location="ec2-public-images/pv-grub-hd00_1.04-i386.gz.manifest.xml", architecture="i386")
    assert pv_grub_of(named) == PvGrub(KernelKind.PV_GRUB_HD00, "i386")
    assert pv_grub_of(OURS) == PvGrub(KernelKind.PV_GRUB_HD0, "x86_64")
    assert pv_grub_of(replace(EAST, id="aki-919dcaf8")) == PvGrub(KernelKind.PV_GRUB_HD0, "x86_64")
    assert pv_grub_of(EAST) is None
    assert pv_grub_of(replace(named, image_type="ramdisk")) is None
    assert mapped(named.id, [named], [replace(OURS, kind="pv-grub-hd00", architecture="i386")]) == OURS.id


def test_of_several_the_approved_one_of_the_highest_version_is_taken() -> None:
    def grub(image_id: str, version: str, *, is_approved: bool = True) -> BootImage:
        return BootImage(image_id, "kernel", "1", f"b/pv-grub-hd0_{version}-x86_64.gz", "x86_64", None, is_approved)

    target = [grub("aki-00000001", "1.03"), grub("aki-00000002", "1.10"), grub("aki-00000003", "1.9")]
    assert mapped("aki-919dcaf8", [], target) == "aki-00000002"
    assert mapped("aki-919dcaf8", [], [*target, grub("aki-00000004", "2.0", is_approved=False)]) == "aki-00000002"


def test_a_ramdisk_is_never_taken_for_a_kernel() -> None:
    ramdisk = replace(EAST, id="ari-11111111", image_type="ramdisk")
    assert mapped("ari-11111111", [ramdisk], [WEST]) is None
    assert mapped("ari-11111111", [ramdisk], [replace(WEST, id="ari-22222222", image_type="ramdisk")]) == "ari-22222222"


@given(st.sampled_from(sorted(PV_GRUB_IDS)), st.permutations(sorted(PV_GRUB_IDS)))
def test_every_known_id_maps_to_one_of_its_own_kind_whatever_the_order(wanted: str, order: list[str]) -> None:
    target = [BootImage(each, "kernel", AMAZON, "", PV_GRUB_IDS[each].architecture) for each in order if each != wanted]
    found = mapped(wanted, [], target)
    assert found is not None
    assert PV_GRUB_IDS[found] == PV_GRUB_IDS[wanted]
    assert found == mapped(wanted, [], sorted(target, key=lambda image: image.id))


def test_only_ids_are_ids() -> None:
    assert all(map(is_boot_image_id, ("aki-12345678", "ari-0123456789abcdef0", "eki-ABCDEF12", "eri-12345678")))
    assert not any(map(is_boot_image_id, ("true", "yes", "", None, "ami-12345678", "aki-1")))
