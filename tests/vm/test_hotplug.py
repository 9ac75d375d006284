"""Disks that come and go in a real QEMU of the command line that instances get; no guest runs in it, so none ever lets go."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amiable.model.hardware import Disk, Hardware, Profile
from amiable.rules.devices import DISKS_MAX
from amiable.rules.qemu_command import SERCON_BYTES, SERCON_FILE, qemu_arguments
from amiable.rules.volume_type import Limits
from amiable.vm import hotplug, machine, volume_files
from amiable.vm.directory import Directory
from amiable.vm.machine import MachineFailed
from amiable.vm.process import identity_of
from amiable.vm.qmp import Qmp, QmpError
from tests.rules.test_qemu_command import PLAIN

MIB = 1 << 20
ROOT = Disk("vol-0123456789abcdef0", 16 * MIB, False)
DATA = Disk("vol-0fedcba9876543210", 8 * MIB, False)
SECONDS_MAX = 60
SAID = "said"
PROFILES = [Profile.VIRTIO, Profile.NITRO, Profile.XEN_HVM]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Directory(tmp_path, descriptor, None)
    finally:
        os.close(descriptor)


@contextmanager
def running(directory: Directory, hardware: Hardware) -> Iterator[Qmp]:
    """A monitor of the machine."""
    directory.write(SERCON_FILE, SERCON_BYTES)
    for disk in hardware.disks:
        machine.make_overlay(directory, disk)
    with (directory.path / SAID).open("wb") as said:
        process = subprocess.Popen(["qemu-system-x86_64", *qemu_arguments(hardware)], cwd=directory.path, stdout=said)
    try:
        found = identity_of(process.pid)
        assert found is not None
        with machine.monitor(directory, found, wait_seconds=SECONDS_MAX) as qmp:
            yield qmp
    finally:
        process.kill()
        process.wait(SECONDS_MAX)


def device(qmp: Qmp, disk: Disk) -> dict[str, Any]:
    (found,) = [each for each in qmp.execute("query-block") if disk.device in str(each.get("qdev")).split("/")]
    return dict(found)


def io(directory: Directory, qmp: Qmp, disk: Disk, command: str) -> str:
    """What ``qemu-io`` in QEMU says of the disk as its guest has it."""
    qmp.monitor(f'qemu-io -d {device(qmp, disk)["qdev"]} "{command}"')
    return (directory.path / SAID).read_text()


@pytest.mark.parametrize("profile", PROFILES)
def test_a_disk_comes_grows_is_limited_and_can_be_taken_from_a_guest_that_holds_on(
    directory: Directory, profile: Profile
) -> None:
    with running(directory, replace(PLAIN, profile=profile, disks=(ROOT,))) as qmp:
        machine.make_overlay(directory, DATA)
        hotplug.plug(qmp, DATA, profile)
        hotplug.plug(qmp, DATA, profile)  # twice is once
        assert hotplug.has_device(qmp, DATA)
        assert device(qmp, DATA)["inserted"]["image"]["virtual-size"] == 8 * MIB

        if profile is Profile.NITRO:  # why ``rules/volume`` refuses it
            with pytest.raises(QmpError, match="Permission conflict"):
                hotplug.resize(qmp, replace(DATA, size_bytes=24 * MIB))
        else:
            hotplug.resize(qmp, replace(DATA, size_bytes=24 * MIB))
            assert device(qmp, DATA)["inserted"]["image"]["virtual-size"] == 24 * MIB
        hotplug.limit(qmp, DATA, Limits(100, 128 * MIB, 256 * 1024, 3000, 1800))
        held = device(qmp, DATA)["inserted"]
        told = (held["iops"], held["iops_max"], held["iops_max_length"], held["bps"], held["iops_size"])
        assert told == (100, 3000, 1800, 128 * MIB, 256 * 1024)
        hotplug.limit(qmp, DATA, Limits(3000, 250 * MIB, 256 * 1024))
        held = device(qmp, DATA)["inserted"]
        assert (held["iops"], held.get("iops_max", 0), held["bps"]) == (3000, 0, 250 * MIB)
        hotplug.limit(qmp, DATA, None)
        assert device(qmp, DATA)["inserted"]["iops"] == 0

        assert not hotplug.unplug(qmp, DATA, wait_seconds=0.5)
        hotplug.empty(qmp, DATA)
        assert "Input/output error" in io(directory, qmp, DATA, "read 0 512")
        volume_files.fit(directory, DATA.volume_id, 32 * MIB)  # no lock of QEMU's is on the file
        with pytest.raises(MachineFailed):
            volume_files.fit(directory, ROOT.volume_id, 32 * MIB)
        with pytest.raises(MachineFailed, match="still holds"):
            hotplug.plug(qmp, DATA, profile)


@pytest.mark.parametrize("profile", [Profile.VIRTIO, Profile.NITRO])
def test_a_machine_that_is_full_says_so_and_keeps_nothing_of_what_it_did_not_take(
    directory: Directory, profile: Profile
) -> None:
    def numbered(number: int) -> Disk:
        return Disk(f"vol-{number:017x}", MIB, False)

    there = tuple(numbered(number) for number in range(1, DISKS_MAX + 1))
    with running(directory, replace(PLAIN, profile=profile, disks=there)) as qmp:
        for number in (20, 21):
            machine.make_overlay(directory, numbered(number))
        hotplug.plug(qmp, numbered(20), profile)  # the slot that is kept free for an interface
        with pytest.raises(MachineFailed, match="no free slot"):
            hotplug.plug(qmp, numbered(21), profile)
        assert numbered(21).node not in {
            node["node-name"] for node in qmp.execute("query-named-block-nodes", flat=True)
        }


def test_a_disk_whose_file_is_not_there_is_not_plugged(directory: Directory) -> None:
    with running(directory, replace(PLAIN, disks=(ROOT,))) as qmp:
        with pytest.raises(MachineFailed, match=r"QEMU does not take the disk vol-0fedcba9876543210: .*No such file"):
            hotplug.plug(qmp, DATA, Profile.VIRTIO)
        machine.make_overlay(directory, DATA)
        hotplug.plug(qmp, DATA, Profile.VIRTIO)
        assert hotplug.has_device(qmp, DATA)
