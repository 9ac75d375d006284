"""What may be asked of a volume: decisions alone."""

from dataclasses import replace

import pytest

from amiable.model.errors import (
    IncorrectState,
    InvalidParameterValue,
    OperationNotPermitted,
    UnsupportedOperation,
)
from amiable.model.instance import Instance, State
from amiable.model.volume import Volume, VolumeState
from amiable.model.volume_errors import BootForVolumeTypeUnsupported
from amiable.rules import volume as rules
from amiable.rules.volume import AskedChange
from amiable.rules.volume_type import Figures
from tests.rules.test_imds import INSTANCE
from tests.rules.volumes import VOLUME

STOPPED = replace(
    INSTANCE, state=State.STOPPED, zone=VOLUME.zone, root_device_name="/dev/sda1", virtualization_type="hvm"
)


def held(*devices: str) -> list[Volume]:
    return [replace(VOLUME, id=f"vol-{number:017x}", device_name=name) for number, name in enumerate(devices)]


@pytest.mark.parametrize(
    ("device", "other", "is_free"),
    [
        ("/dev/sdf", "/dev/sdg", True),
        ("/dev/sdf", "/dev/sdf", False),
        ("sdf", "/dev/sdf", False),
        ("/dev/sdf", "/dev/xvdf", True),
        ("xvda", "/dev/sda1", True),
        ("sda", "/dev/sda1", False),
        ("/dev/xvdba", "/dev/xvdb", True),
        ("/dev/sda", "/dev/sda1", False),
        ("/dev/sdc1", "/dev/sdc", False),
        ("/dev/sdc1", "/dev/sdc2", True),
        ("/dev/sdb", "ephemeral0", True),
    ],
)
def test_a_device_is_taken_with_its_directory_or_without_and_by_its_partitions(
    device: str, other: str, is_free: bool
) -> None:
    if is_free:
        rules.check_free(device, held(other))
    else:
        with pytest.raises(InvalidParameterValue, match="is already in use"):
            rules.check_free(device, held(other))


def test_the_root_is_found_by_its_name_then_by_the_disk_that_it_is_a_partition_of() -> None:
    some = held("/dev/sdb", "/dev/sda")
    assert rules.root_of(some, "/dev/sda1") == some[1]
    assert rules.root_of(held("/dev/sda1", "/dev/sda"), "/dev/sda1") == held("/dev/sda1")[0]
    assert rules.root_of(held("/dev/sdb"), "/dev/sda1") is None and rules.root_of(some, None) is None


@pytest.mark.parametrize("state", [State.PENDING, State.STOPPING, State.SHUTTING_DOWN, State.TERMINATED])
def test_a_passing_instance_takes_no_volume(state: State) -> None:
    with pytest.raises(IncorrectState, match="is not 'running'"):
        rules.check_attach(VOLUME, replace(STOPPED, state=state), [], "/dev/sdf")


@pytest.mark.parametrize("state", [VolumeState.CREATING, VolumeState.DELETING])
def test_a_volume_that_is_not_available_is_not_attached(state: VolumeState) -> None:
    with pytest.raises(IncorrectState, match="is not 'available'"):
        rules.check_attach(replace(VOLUME, state=state), STOPPED, [], "/dev/sdf")


def test_a_root_goes_back_under_its_own_name_whatever_names_its_kind_may_have() -> None:
    rules.check_attach(VOLUME, replace(STOPPED, root_device_name="/dev/nvme0n1"), [], "/dev/nvme0n1")


@pytest.mark.parametrize("device", ["/dev/sda1", "/dev/sda", "sda"])
def test_a_volume_that_cannot_boot_does_not_become_a_root(device: str) -> None:
    slow = replace(VOLUME, volume_type="st1", size_gib=125)
    with pytest.raises(BootForVolumeTypeUnsupported, match="st1"):
        rules.check_attach(slow, STOPPED, [], device)
    rules.check_attach(slow, STOPPED, [], "/dev/sdf")


@pytest.mark.parametrize("profile", ["xen-pv"])
def test_disks_under_xen_change_while_the_guest_is_off_only(profile: str) -> None:
    running = replace(STOPPED, state=State.RUNNING, hardware_profile=profile)
    with pytest.raises(UnsupportedOperation, match="runs under Xen"):
        rules.check_attach(VOLUME, running, [], "/dev/sdf")
    with pytest.raises(UnsupportedOperation, match="runs under Xen"):
        detach(replace(VOLUME, device_name="/dev/sdf"), running)
    with pytest.raises(UnsupportedOperation, match="runs under Xen"):
        rules.check_growth(VOLUME, running, Figures("gp2", 9))
    rules.check_attach(VOLUME, replace(running, state=State.STOPPED), [], "/dev/sdf")


def detach(volume: Volume, instance: Instance, *, is_root: bool = False) -> None:
    rules.check_detach(volume, instance, is_root=is_root, instance_id=None, device=None)


def test_an_ide_disk_stays_while_its_guest_runs() -> None:
    running = replace(STOPPED, state=State.RUNNING, hardware_profile="xen-hvm")
    early = replace(VOLUME, device_name="/dev/sdf", attached_at=running.launched_at)
    with pytest.raises(UnsupportedOperation, match="as an IDE disk"):
        detach(early, running)
    detach(early, replace(running, state=State.STOPPED))


@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPING])
def test_a_root_stays_unless_its_instance_is_stopped(state: State) -> None:
    with pytest.raises(OperationNotPermitted, match="Unable to detach root volume"):
        detach(VOLUME, replace(STOPPED, state=state, hardware_profile="virtio"), is_root=True)
    detach(VOLUME, STOPPED, is_root=True)


def test_a_rate_stays_with_its_type_only() -> None:
    fast = replace(VOLUME, volume_type="gp3", iops=4000, throughput=500)
    assert rules.plan_change(fast, AskedChange(size_gib=9), is_root=True) == Figures("gp3", 9, 4000, 500)
    assert rules.plan_change(fast, AskedChange(volume_type="gp2"), is_root=True) == Figures("gp2", 8)
    io = replace(VOLUME, volume_type="io1", size_gib=100, iops=400)
    assert rules.plan_change(io, AskedChange(volume_type="io2"), is_root=False) == Figures("io2", 100, 400)


@pytest.mark.parametrize(("profile", "grows"), [("virtio", True), ("nitro", False), ("direct-nvme", False)])
def test_an_nvme_disk_grows_while_its_guest_is_off_only(profile: str, grows: bool) -> None:
    running = replace(STOPPED, state=State.RUNNING, hardware_profile=profile)
    larger, faster = Figures("gp2", 9), Figures("gp3", 8)
    if grows:
        rules.check_growth(VOLUME, running, larger)
    else:
        with pytest.raises(UnsupportedOperation, match="cannot grow while it runs"):
            rules.check_growth(VOLUME, running, larger)
    rules.check_growth(VOLUME, running, faster)
    rules.check_growth(VOLUME, replace(running, state=State.STOPPED), larger)
    rules.check_growth(VOLUME, None, larger)
