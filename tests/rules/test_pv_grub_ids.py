"""The table of Amazon's old PV-GRUB kernels."""

from collections import Counter

from amiable.model.kernel import KernelKind
from amiable.rules.kernel_mapping import is_boot_image_id
from amiable.rules.pv_grub_ids import PV_GRUB_IDS, PvGrub


def test_every_id_is_one_kernel_of_one_kind() -> None:
    assert len(PV_GRUB_IDS) == 9 * 4 + 2 + 5
    assert all(map(is_boot_image_id, PV_GRUB_IDS))
    assert Counter(PV_GRUB_IDS.values()) == {
        PvGrub(KernelKind.PV_GRUB_HD0, "i386"): 10,
        PvGrub(KernelKind.PV_GRUB_HD0, "x86_64"): 15,
        PvGrub(KernelKind.PV_GRUB_HD00, "i386"): 9,
        PvGrub(KernelKind.PV_GRUB_HD00, "x86_64"): 9,
    }


def test_the_ones_that_people_know_are_what_they_know() -> None:
    assert PV_GRUB_IDS["aki-919dcaf8"] == PvGrub(KernelKind.PV_GRUB_HD0, "x86_64")
    assert PV_GRUB_IDS["aki-5153f44c"] == PvGrub(KernelKind.PV_GRUB_HD00, "x86_64")
