"""Block device mappings: the image's with the request's laid over them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import (
    InvalidBlockDeviceMapping,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    Refusal,
    UnsupportedOperation,
)
from amiable.model.image import Image, ImageDevice, RootDeviceType
from amiable.model.local_disks import local_disks_of
from amiable.model.snapshot import Snapshot
from amiable.model.units import GIB
from amiable.model.volume_errors import BootForVolumeTypeUnsupported, UnknownVolumeType
from amiable.rules.devices import DISKS_MAX, AskedDevice, PlannedDisk, check_asked, local_disks_after, plan_disks
from tests.rules.images import AN_IMAGE
from tests.rules.volumes import VOLUME

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT, DATA, OTHER = "snap-" + "1" * 17, "snap-" + "2" * 17, "snap-" + "3" * 17
SNAPSHOT = Snapshot(
    id=OTHER,
    account_id="123456789012",
    region="us-east-1",
    state="completed",
    size_gib=5,
    started_at=NOW,
    touched_at=NOW,
)
EBS = replace(
    AN_IMAGE,
    id="ami-" + "1" * 17,
    account_id="123456789012",
    name="web",
    location="",
    ena_support=False,
    created_at=NOW,
    devices=(
        ImageDevice("/dev/sda1", snapshot_id=ROOT, size_gib=8, volume_type="gp3"),
        ImageDevice("/dev/sdf", snapshot_id=DATA, size_gib=2),
        ImageDevice("/dev/sdb", virtual_name="ephemeral0"),
    ),
)
STORE = replace(
    EBS,
    root_device_type=RootDeviceType.INSTANCE_STORE,
    root_snapshot_id=ROOT,
    size_bytes=300 * 1024 * 1024 + 512,
    devices=(),
)


def volume(name: str = "/dev/sda1", **facts: Any) -> AskedDevice:
    """An entry with Ebs."""
    return AskedDevice(name, is_volume=True, **facts)


def disks(*asked: AskedDevice, image: Image = EBS) -> tuple[PlannedDisk, ...]:
    """The plan."""
    return plan_disks(image, asked, {OTHER: SNAPSHOT})


def refusal(kind: type[Refusal], *asked: AskedDevice, image: Image = EBS) -> str:
    """The refusal's text."""
    with pytest.raises(kind) as caught:
        disks(*asked, image=image)
    return caught.value.message


def test_without_a_request_the_disks_are_the_images_and_the_root_comes_first() -> None:
    root, data = disks()
    assert (root.device_name, root.snapshot_id, root.size_bytes, root.volume_type) == (
        "/dev/sda1",
        ROOT,
        8 * GIB,
        "gp3",
    )
    assert (data.device_name, data.snapshot_id, data.size_gib, data.volume_type) == ("/dev/sdf", DATA, 2, "gp2")
    assert root.is_root and not data.is_root


def test_the_root_goes_with_its_instance_and_data_stays_unless_somebody_says_otherwise() -> None:
    root, data = disks()
    assert root.delete_on_termination and not data.delete_on_termination
    root, data = disks(volume(delete_on_termination=False), volume("/dev/sdf", delete_on_termination=True))
    assert not root.delete_on_termination and data.delete_on_termination


@given(st.integers(1, 100))
def test_the_root_may_grow_and_never_shrinks(size: int) -> None:
    if size >= 8:
        assert disks(volume(size_gib=size))[0].size_bytes == size * GIB
    else:
        message = refusal(InvalidBlockDeviceMapping, volume(size_gib=size))
        assert message == f"Volume of size {size}GB is smaller than snapshot '{ROOT}', expect size >= 8GB"


def test_the_roots_snapshot_cannot_be_swapped_nor_the_root_left_out() -> None:
    assert ROOT in refusal(InvalidBlockDeviceMapping, volume(snapshot_id=OTHER))
    assert disks(volume(snapshot_id=ROOT))[0].snapshot_id == ROOT
    refusal(InvalidBlockDeviceMapping, AskedDevice("/dev/sda1", no_device=True))
    refusal(InvalidBlockDeviceMapping, AskedDevice("/dev/sda1", virtual_name="ephemeral0"))


def test_the_root_is_known_by_the_disk_that_its_partition_is_on() -> None:
    image = replace(EBS, devices=(ImageDevice("/dev/sda", snapshot_id=ROOT, size_gib=8),))
    assert [disk.size_gib for disk in disks(volume("/dev/sda1", size_gib=20), image=image)] == [20]
    assert [disk.size_gib for disk in disks(volume("/dev/sda", size_gib=20), image=image)] == [20]
    refusal(InvalidBlockDeviceMapping, volume("/dev/sda"), volume("/dev/sda1"), image=image)


def test_no_device_leaves_a_data_volume_out() -> None:
    assert [disk.device_name for disk in disks(AskedDevice("/dev/sdf", no_device=True))] == ["/dev/sda1"]


def test_a_data_volume_of_the_image_can_come_from_another_snapshot() -> None:
    _, data = disks(volume("/dev/sdf", snapshot_id=OTHER))
    assert (data.snapshot_id, data.size_gib) == (OTHER, 5)


def test_a_data_volume_may_be_smaller_than_the_image_has_it_and_not_than_its_snapshot() -> None:
    image = replace(EBS, devices=(*EBS.devices, ImageDevice("/dev/sdg", snapshot_id=OTHER, size_gib=20)))
    assert disks(image=image)[-1].size_gib == 20
    assert disks(volume("/dev/sdg", size_gib=5), image=image)[-1].size_gib == 5
    told = refusal(InvalidBlockDeviceMapping, volume("/dev/sdg", size_gib=4), image=image)
    assert told == f"Volume of size 4GB is smaller than snapshot '{OTHER}', expect size >= 5GB"


@pytest.mark.parametrize(("root", "name"), [("/dev/sda1", "/dev/sda"), ("/dev/sda", "/dev/sda1")])
def test_an_hvm_root_is_known_by_the_images_name_for_it_only(root: str, name: str) -> None:
    image = replace(EBS, root_device_name=root, devices=(ImageDevice(root, snapshot_id=ROOT, size_gib=8),))
    told = refusal(InvalidParameterValue, volume(name, size_gib=20), image=image)
    assert told.startswith(f"Value ({name}) for parameter device is invalid. {name} is not a valid EBS device name. ")
    assert "/dev/sd[a-z], /dev/sda1" in told


def test_unknown_names_add_volumes_empty_or_of_a_snapshot() -> None:
    *_, empty, filled = disks(volume("/dev/sdg", size_gib=3), volume("/dev/sdh", snapshot_id=OTHER))
    assert (empty.snapshot_id, empty.size_gib, empty.delete_on_termination) == (None, 3, False)
    assert (filled.snapshot_id, filled.size_gib) == (OTHER, 5)
    told = refusal(MissingParameter, volume("/dev/sdg"))
    assert told == "The request must contain the parameter size or snapshotId"
    assert "5GB" in refusal(InvalidBlockDeviceMapping, volume("/dev/sdh", snapshot_id=OTHER, size_gib=4))


def test_a_snapshot_that_is_not_complete_makes_no_volume() -> None:
    with pytest.raises(InvalidBlockDeviceMapping, match="pending"):
        plan_disks(EBS, [volume("/dev/sdh", snapshot_id=OTHER)], {OTHER: replace(SNAPSHOT, state="pending")})


def test_local_disks_that_no_type_has_are_dropped_as_on_ec2() -> None:
    assert len(disks(AskedDevice("/dev/sdc", virtual_name="ephemeral1"))) == 2


@pytest.mark.parametrize(
    "name",
    [
        "/dev/nvme0n1",
        "/dev/vda",
        "/dev/sdf1",
        "/dev/sd",
        "/dev/../etc/passwd",
        "",
        "/dev/sdaa",
        "/dev/xvdd1",
        "/dev/xvda1",
    ],
)
def test_device_names_that_ec2_does_not_know_are_refused(name: str) -> None:
    assert "is not a valid EBS device name" in refusal(InvalidParameterValue, volume(name, size_gib=1))


def test_paravirtual_images_map_partitions() -> None:
    image = replace(EBS, virtualization_type="paravirtual")
    assert disks(volume("/dev/sdg1", size_gib=1), image=image)[-1].device_name == "/dev/sdg1"
    refusal(InvalidParameterValue, volume("/dev/sdg16", size_gib=1), image=image)
    told = refusal(InvalidBlockDeviceMapping, volume("/dev/sdf1", size_gib=1), image=image)
    assert told == "The devices '/dev/sdf' and '/dev/sdf1' cannot be used together."


def local(*asked: AskedDevice, type_name: str) -> list[tuple[str, str | None, int]]:
    """The local disks of an instance of the type: device, virtual name, size."""
    planned = plan_disks(EBS, asked, {OTHER: SNAPSHOT}, local_disks_of(type_name))
    found = [disk for disk in planned if disk.virtual_name]
    assert all(disk.is_instance_store and disk.delete_on_termination and not disk.is_root for disk in found)
    return [(disk.device_name, disk.virtual_name, disk.size_gib) for disk in found]


def test_a_type_with_local_disks_shows_those_that_are_mapped_and_drops_the_surplus() -> None:
    second = AskedDevice("/dev/sdc", virtual_name="ephemeral1")
    assert local(type_name="m1.small") == [("/dev/sdb", "ephemeral0", 160)]
    assert local(second, type_name="m1.small") == [("/dev/sdb", "ephemeral0", 160)]
    assert local(second, type_name="m1.large") == [("/dev/sdb", "ephemeral0", 420), ("/dev/sdc", "ephemeral1", 420)]
    assert local(AskedDevice("/dev/sdb", no_device=True), type_name="m1.small") == []
    assert local(volume("/dev/sdb", size_gib=1), type_name="m1.small") == []
    assert local(AskedDevice("/dev/sdb", virtual_name="ephemeral1"), type_name="m1.large") == [
        ("/dev/sdb", "ephemeral1", 420)
    ]
    assert local(type_name="t2.micro") == []


def test_m3_heeds_the_launch_only_and_the_newer_types_show_their_disks_unasked() -> None:
    assert local(type_name="m3.medium") == []
    assert local(AskedDevice("/dev/sdc", virtual_name="ephemeral0"), type_name="m3.medium") == [
        ("/dev/sdc", "ephemeral0", 4)
    ]
    unasked = local(AskedDevice("/dev/sdb", no_device=True), type_name="m5d.4xlarge")
    assert unasked == [("ephemeral0", "ephemeral0", 300), ("ephemeral1", "ephemeral1", 300)]


def test_a_local_disk_is_one_of_twentyfour_and_in_one_place() -> None:
    assert "ephemeral24" in refusal(InvalidParameterValue, AskedDevice("/dev/sdc", virtual_name="ephemeral24"))
    assert "swap" in refusal(InvalidParameterValue, AskedDevice("/dev/sdc", virtual_name="swap"))
    with pytest.raises(InvalidBlockDeviceMapping, match="ephemeral0' is used in more than one"):
        local(AskedDevice("/dev/sdc", virtual_name="ephemeral0"), type_name="m1.small")


@pytest.mark.parametrize(
    ("before", "after", "gone", "made"),
    [
        ("t2.micro", "m5d.4xlarge", [], [("ephemeral0", 300), ("ephemeral1", 300)]),
        ("m5d.4xlarge", "t2.micro", ["ephemeral0", "ephemeral1"], []),
        ("m5d.4xlarge", "m5d.large", ["ephemeral0", "ephemeral1"], [("ephemeral0", 75)]),
        ("m5d.4xlarge", "r5d.4xlarge", [], []),
        ("t2.micro", "m1.small", [], [("/dev/sdb", 160)]),
        ("m1.small", "m1.large", ["/dev/sdb"], [("/dev/sdb", 420)]),
        ("m1.large", "t2.micro", ["/dev/sdb"], []),
        ("m1.large", "m5d.large", ["/dev/sdb"], [("ephemeral0", 75)]),
        ("m5d.large", "m1.large", ["ephemeral0"], [("/dev/sdb", 420)]),
    ],
)
def test_local_disks_follow_the_type(before: str, after: str, gone: list[str], made: list[tuple[str, int]]) -> None:
    root = replace(VOLUME, device_name="/dev/sda1")
    held = [root] + [
        replace(VOLUME, device_name=disk.device_name, virtual_name=disk.virtual_name, size_gib=disk.size_gib)
        for disk in plan_disks(EBS, (), {}, local_disks_of(before))
        if disk.virtual_name is not None
    ]
    went, came = local_disks_after(held, EBS.devices, local_disks_of(after))
    assert [each.device_name for each in went] == gone
    assert [(each.device_name, each.size_gib) for each in came] == made
    assert all(each.is_instance_store and each.virtual_name == "ephemeral0" for each in came[:1])


def test_a_local_disk_does_not_take_a_volumes_place() -> None:
    held = [replace(VOLUME, device_name=name) for name in ("/dev/sda1", "/dev/sdb")]
    assert local_disks_after(held, EBS.devices, local_disks_of("m1.large")) == ([], [])


def test_a_name_that_stands_twice_is_refused() -> None:
    assert "/dev/sdf" in refusal(InvalidBlockDeviceMapping, volume("/dev/sdf"), volume("/dev/sdf"))


def test_an_instance_store_root_is_as_long_as_its_image_and_cannot_be_resized() -> None:
    (root,) = disks(image=STORE)
    assert (root.size_bytes, root.size_gib, root.is_instance_store) == (300 * 1024 * 1024 + 512, 1, True)
    assert "cannot be mapped or resized" in refusal(InvalidBlockDeviceMapping, volume(size_gib=20), image=STORE)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (UnknownVolumeType, {"volume_type": "gp9"}),
        (BootForVolumeTypeUnsupported, {"volume_type": "st1", "size_gib": 200}),
        (MissingParameter, {"volume_type": "io1"}),
        (InvalidParameterValue, {"volume_type": "io1", "iops": 1}),
        (InvalidParameterValue, {"volume_type": "standard", "size_gib": 2000}),
        (InvalidParameterCombination, {"volume_type": "gp2", "iops": 3000}),
        (InvalidParameterCombination, {"volume_type": "io1", "iops": 3000, "throughput": 200}),
        (InvalidParameterValue, {"volume_type": "io1", "iops": 401}),
        (InvalidParameterValue, {"volume_type": "gp3", "iops": 4001}),
        (InvalidParameterValue, {"volume_type": "gp3", "iops": 4000, "throughput": 1001}),
        (UnsupportedOperation, {"encrypted": True}),
    ],
)
def test_what_a_volume_type_does_not_have_is_refused(kind: type[Refusal], facts: dict[str, Any]) -> None:
    refusal(kind, volume(**facts))


def test_figures_are_refused_before_a_launch_only_where_no_image_could_make_them_right() -> None:
    for right in (volume(), volume(iops=5000), volume(volume_type="io1"), volume(volume_type="gp3", size_gib=8)):
        check_asked([right])
    for wrong in (
        volume(volume_type="gp3", size_gib=8, iops=4001),
        volume(volume_type="gp3", throughput=751),
        volume(volume_type="io1", size_gib=3, iops=100),
    ):
        with pytest.raises(InvalidParameterValue):
            check_asked([wrong])


def test_rates_that_a_type_has_are_recorded() -> None:
    root = disks(volume(volume_type="gp3", iops=4000, throughput=250, encrypted=False))[0]
    assert (root.iops, root.throughput) == (4000, 250)


def test_an_instance_has_a_bounded_number_of_disks() -> None:
    image = replace(EBS, virtualization_type="paravirtual")
    many = [volume(f"/dev/sdg{number}", size_gib=1) for number in range(1, 16)]
    many += [volume(f"/dev/sdh{number}", size_gib=1) for number in range(1, 16)]
    assert str(DISKS_MAX) in refusal(InvalidBlockDeviceMapping, *many, image=image)
