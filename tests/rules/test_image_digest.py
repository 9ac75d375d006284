"""An image's content digest: its formula by hand, what changes it, and what does not."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.image import Image, ImageDevice, ImageState, ImageType, RootDeviceType
from amiable.model.units import BLOCK_BYTES
from amiable.rules.content_digest import content_digest
from amiable.rules.image_digest import Unknown, file_digest, image_digest, read_digest, write_digest
from tests.rules.images import AN_IMAGE, OTHER

DISK, DATA, KERNEL, RAMDISK, ROOT = (bytes([number]) * 32 for number in range(1, 6))
CONTENTS = {
    "snap-0123456789abcdef0": DISK,
    "snap-1": DATA,
    "aki-1": KERNEL,
    "ari-1": RAMDISK,
    "root-1": ROOT,
}
DATA_DISK = ImageDevice("/dev/sdb", snapshot_id="snap-1", size_gib=2, volume_type="io2", iops=200, throughput=None)
SCRATCH = ImageDevice("/dev/sdc", virtual_name="ephemeral0")
TWO_DISKS = replace(AN_IMAGE, devices=(*AN_IMAGE.devices, DATA_DISK, SCRATCH))


def digest(image: Image, **changed: bytes) -> bytes:
    return image_digest(image, {**CONTENTS, **changed})


def test_the_digest_is_the_formula() -> None:
    text = (
        "amiable-image-v1\ntype machine\narchitecture x86_64\nvirtualization hvm\nroot-device-type ebs\nroot-device /dev/sda1\n"
        f"ena yes\ndevice /dev/sda1 volume {DISK.hex()} 8 gp2 - - delete\n"
        f"device /dev/sdb volume {DATA.hex()} 2 io2 200 - delete\ndevice /dev/sdc ephemeral ephemeral0\n"
    )
    assert digest(TWO_DISKS) == hashlib.sha256(text.encode()).digest()


RELEVANT: list[dict[str, Any]] = [
    {"architecture": "i386"},
    {"virtualization_type": "paravirtual"},
    {"platform": "windows"},
    {"root_device_name": "/dev/sda"},
    {"boot_mode": "uefi"},
    {"boot_mode": "legacy-bios"},
    {"tpm_support": "v2.0"},
    {"imds_support": "v2.0"},
    {"sriov_net_support": "simple"},
    {"ena_support": False},
    {"uefi_data": "QU1aTlVFRkk="},
    {"kernel_id": "aki-1"},
    {"ramdisk_id": "ari-1"},
    {"root_device_type": RootDeviceType.INSTANCE_STORE, "root_snapshot_id": "root-1"},
    {"devices": AN_IMAGE.devices},
    {"devices": (*AN_IMAGE.devices, DATA_DISK)},
    *(
        {"devices": (*AN_IMAGE.devices, replace(DATA_DISK, **change), SCRATCH)}
        for change in (
            {"device_name": "/dev/sdd"}, {"snapshot_id": None}, {"size_gib": 3}, {"volume_type": "gp3"}, {"iops": 300},
            {"throughput": 200}, {"delete_on_termination": False},
        )
    ),
    {"devices": (*AN_IMAGE.devices, DATA_DISK, replace(SCRATCH, virtual_name="ephemeral1"))},
]  # fmt: skip


@pytest.mark.parametrize("change", RELEVANT)
def test_what_a_launch_sees_changes_the_digest(change: dict[str, Any]) -> None:
    assert digest(replace(TWO_DISKS, **change)) != digest(TWO_DISKS)


def test_all_of_these_digests_differ() -> None:
    images = [replace(TWO_DISKS, **change) for change in RELEVANT]
    assert len({digest(image) for image in images}) == len(images)


@given(
    st.fixed_dictionaries(
        {
            "id": st.text(max_size=9),
            "account_id": st.just(OTHER),
            "region": st.sampled_from(["eu-west-1", "x"]),
            "name": st.text(max_size=9),
            "description": st.none() | st.text(max_size=9),
            "state": st.sampled_from(ImageState),
            "location": st.text(max_size=9),
            "created_at": st.integers(0, 999).map(lambda days: AN_IMAGE.created_at + timedelta(days=days)),
            "grantees": st.just(frozenset({"all"})),
            "tags": st.dictionaries(st.text(max_size=3), st.text(max_size=3)),
            "manifest_digest": st.binary(max_size=4),
            "content_digest": st.binary(max_size=4),
        }
    ),
    st.permutations(TWO_DISKS.devices),
    st.booleans(),
)
def test_names_dates_owners_and_how_bytes_are_kept_do_not(
    facts: dict[str, Any], devices: list[ImageDevice], encrypted: bool
) -> None:
    kept = tuple(replace(device, encrypted=encrypted) for device in devices)
    assert digest(replace(TWO_DISKS, **facts, devices=kept)) == digest(TWO_DISKS)


def test_ids_do_not_count_and_what_they_stand_for_does() -> None:
    booted = replace(AN_IMAGE, kernel_id="aki-1", ramdisk_id="ari-1")
    elsewhere = replace(booted, kernel_id="aki-2", devices=(replace(AN_IMAGE.devices[0], snapshot_id="snap-2"),))
    contents = {"aki-2": KERNEL, "ari-1": RAMDISK, "snap-2": DISK}
    assert image_digest(elsewhere, contents) == digest(booted)
    assert image_digest(elsewhere, {**contents, "aki-2": RAMDISK}) != digest(booted)
    assert image_digest(elsewhere, {**contents, "snap-2": DATA}) != digest(booted)


def test_a_kernel_is_its_bytes() -> None:
    kernel = replace(AN_IMAGE, id="aki-1", image_type=ImageType.KERNEL, devices=())
    text = f"amiable-image-v1\ntype kernel\narchitecture x86_64\ncontent {KERNEL.hex()}\n"
    assert digest(kernel) == hashlib.sha256(text.encode()).digest()
    assert digest(replace(kernel, image_type=ImageType.RAMDISK)) != digest(kernel)


@pytest.mark.parametrize("missing", ["snap-1", "snap-0123456789abcdef0"])
def test_a_part_that_is_not_known_makes_no_digest(missing: str) -> None:
    with pytest.raises(Unknown):
        image_digest(TWO_DISKS, {name: each for name, each in CONTENTS.items() if name != missing})


@given(st.binary(max_size=2 * BLOCK_BYTES + 1).map(lambda tail: b"\1" * BLOCK_BYTES + tail))
def test_a_files_digest_is_its_disks(content: bytes) -> None:
    chunks = [content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)]
    blocks = [(at, hashlib.sha256(chunk.ljust(BLOCK_BYTES, b"\0")).digest()) for at, chunk in enumerate(chunks)]
    assert file_digest(chunks, len(content)) == content_digest(len(content), blocks)


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_is_read_as_it_was_written(value: bytes) -> None:
    assert read_digest(write_digest(value)) == value


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:12", f"sha256:{'A' * 64}", f"md5:{'a' * 64}", "a" * 64])
def test_what_is_no_digest_is_none(text: str) -> None:
    assert read_digest(text) is None
