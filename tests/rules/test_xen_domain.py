"""Xen's one domain: its memory, its disks' names, its configuration."""

import re
from dataclasses import replace
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.hardware import AcceleratorKind, Disk, Hardware, Interface, Profile, XenBoot
from amiable.rules.devices import DISKS_MAX
from amiable.rules.xen_domain import disk_names, dom0_mib, domain_configuration, guest_append, machine_mib

MACHINE = Hardware(
    instance_id="i-0123456789abcdef0",
    instance_type="m1.small",
    uuid="ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8",
    accelerator=AcceleratorKind.TCG,
    vcpus=2,
    memory_mib=256,
    profile=Profile.XEN_PV,
    disks=(Disk("vol-0123456789abcdef0", 8 << 30, True), Disk("vol-0fedcba9876543210", 1 << 30, False)),
    interface=Interface("02:00:00:00:00:01", "172.31.0.10", "172.31.0.0/20"),
    xen=XenBoot(("sda1", "sdf"), "root=/dev/sda1 ro console=hvc0", True),
)


def test_the_configuration_is_the_one_that_was_tried() -> None:
    assert (
        domain_configuration(MACHINE)
        == """\
name="domu"
type="pv"
uuid="ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8"
kernel="/domu/kernel"
ramdisk="/domu/ramdisk"
extra="root=/dev/sda1 ro console=hvc0"
memory=256
maxmem=256
vcpus=2
disk=["format=raw,vdev=sda1,access=rw,target=/dev/vda", "format=raw,vdev=sdf,access=rw,target=/dev/vdb"]
vif=["mac=02:00:00:00:00:01,bridge=br0,script=vif-amiable"]
on_poweroff="preserve"
on_reboot="preserve"
on_crash="preserve"
"""
    )


def test_pv_grub_is_given_neither_a_ramdisk_nor_a_command_line() -> None:
    boot = XenBoot(("sda1", "sdf"), "", False)
    text = domain_configuration(replace(MACHINE, xen=boot))
    assert "ramdisk" not in text and "extra" not in text


@pytest.mark.parametrize(
    ("given_names", "is_partitioned", "expected"),
    [
        (["/dev/sda1", "/dev/sda2", "/dev/sdb"], False, ("sda1", "sda2", "sdb")),
        (["/dev/xvda1", "/dev/xvdf"], False, ("xvda1", "xvdf")),
        (["/dev/sda1"], True, ("sda",)),
        (["/dev/xvda"], True, ("xvda",)),
        (["/dev/sda"], False, ("sda",)),
        (["/dev/vda", "/dev/vdb"], False, ("xvda", "xvdb")),
        ([None, None], False, ("sda1", "sdb")),
        (["/dev/sda1", "/dev/nvme1n1", "/dev/sdb"], False, ("sda1", "sdb", "sdc")),
        (["/dev/sda1", "/dev/xvda1"], False, ("sda1", "sdb")),
        (
            ["/dev/sda1", "/dev/sdp1", "/dev/sdq1", "/dev/hdd", "/dev/hde"],
            False,
            ("sda1", "sdp1", "xvdq1", "hdd", "xvde"),
        ),
        (["/dev/sda1", "/dev/sda2"], True, ("sda", "sdb")),
        (["/dev/sda1", "/dev/sdb", "/dev/xvdb1"], False, ("sda1", "sdb", "sdc")),
        (["/dev/sda16", "/dev/sdb0"], False, ("sda1", "sdb")),
    ],
)
def test_disks_are_called_as_the_mapping_says(
    given_names: list[str | None], is_partitioned: bool, expected: tuple[str, ...]
) -> None:
    assert disk_names(given_names, is_partitioned=is_partitioned) == expected


@given(
    st.lists(
        st.none() | st.text(max_size=12) | st.from_regex(r"/dev/(sd|xvd)[a-c]1?", fullmatch=True),
        min_size=1,
        max_size=DISKS_MAX,
    )
)
def test_no_two_disks_are_in_one_place_and_nothing_of_a_name_gets_into_the_configuration(
    names: list[str | None],
) -> None:
    found = disk_names(names, is_partitioned=False)
    places = [name.removeprefix("xv").removeprefix("s").removeprefix("h") for name in found]
    assert len(found) == len(names) == len(set(places))
    assert all(re.fullmatch(r"sd[a-p]\d*|xvd[a-z]{1,2}\d*", name) for name in found)


def test_as_many_disks_as_a_machine_may_have_have_their_own_devices() -> None:
    names = disk_names([None] * DISKS_MAX, is_partitioned=False)
    machine = replace(MACHINE, disks=MACHINE.disks[:1] * DISKS_MAX, xen=XenBoot(names, "", False))
    (line,) = (line for line in domain_configuration(machine).splitlines() if line.startswith("disk="))
    assert re.findall(r"target=/dev/(\w+)\"", line) == [f"vd{letter}" for letter in ascii_lowercase][:DISKS_MAX]


def test_the_root_is_named_by_its_partition_whatever_the_mapping_names() -> None:
    assert guest_append("sda1").startswith("root=/dev/sda1 ")
    assert guest_append("xvda").startswith("root=/dev/xvda1 ")


def test_a_large_ramdisk_gives_dom0_more_memory() -> None:
    assert dom0_mib(8 << 20) == 224
    assert dom0_mib(60 << 20) == 224 + 180 - 24


def test_the_machine_has_room_for_all_three() -> None:
    boot = XenBoot(("sda1",), "", False, dom0_mib=300)
    assert machine_mib(1024, boot) >= 1024 + 300 + 80
