"""The command line, compared whole with what is kept beside this file; AMIABLE_WRITE_GOLDEN=1 writes it anew."""

import os
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from amiable.model.hardware import (
    AcceleratorKind,
    DirectBoot,
    Disk,
    Hardware,
    Interface,
    NetworkKind,
    Profile,
    Tpm,
    Uefi,
    XenBoot,
)
from amiable.rules.devices import DISKS_MAX
from amiable.rules.qemu_command import direct_append, qemu_arguments

GOLDEN = Path(__file__).with_name("golden")
PLAIN = Hardware(
    instance_id="i-0123456789abcdef0",
    instance_type="amiable.tiny",
    uuid="ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8",
    accelerator=AcceleratorKind.TCG,
    vcpus=1,
    memory_mib=256,
    profile=Profile.VIRTIO,
    disks=(Disk("vol-0123456789abcdef0", 8 << 30, True), Disk("vol-0fedcba9876543210", 1 << 30, False)),
    interface=Interface("02:00:00:00:00:01", "172.31.0.10", "172.31.0.0/20"),
)
MACHINES = {
    "virtio": PLAIN,
    "nitro-kvm": replace(PLAIN, profile=Profile.NITRO, accelerator=AcceleratorKind.KVM, vcpus=4, memory_mib=4096),
    "uefi": replace(PLAIN, uefi=Uefi("/usr/share/OVMF/OVMF_CODE_4M.fd")),
    "secure-tpm": replace(
        PLAIN, profile=Profile.NITRO, uefi=Uefi("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", is_secure=True), tpm=Tpm()
    ),
    "xen-hvm": replace(PLAIN, profile=Profile.XEN_HVM, disks=PLAIN.disks * 3),
    "guestfwd": replace(PLAIN, network=NetworkKind.GUESTFWD),
    "routed": replace(PLAIN, network=NetworkKind.ROUTED),
    "direct": replace(PLAIN, profile=Profile.DIRECT, direct=DirectBoot(direct_append(Profile.DIRECT), True)),
    "direct-nvme": replace(
        PLAIN, profile=Profile.DIRECT_NVME, direct=DirectBoot(direct_append(Profile.DIRECT_NVME), False)
    ),
    "xen-pv": replace(
        PLAIN, profile=Profile.XEN_PV, xen=XenBoot(("sda1", "sdb"), "root=/dev/sda1 ro console=hvc0", True)
    ),
}


def lines(hardware: Hardware) -> str:
    words = qemu_arguments(hardware)
    text = "\n".join(words)
    return text.replace("\n-", "\n\n-").replace("\n", " ").replace("  -", "\n-") + "\n"


@pytest.mark.parametrize("name", MACHINES)
def test_the_command_line_is_the_one_that_was_reviewed(name: str) -> None:
    path = GOLDEN / f"qemu-{name}.txt"
    if os.environ.get("AMIABLE_WRITE_GOLDEN"):
        path.write_text(lines(MACHINES[name]))
    assert lines(MACHINES[name]) == path.read_text()


@pytest.mark.parametrize("profile", [Profile.VIRTIO, Profile.NITRO, Profile.XEN_HVM])
def test_as_many_disks_as_a_launch_may_have_find_a_place_on_the_bus(profile: Profile) -> None:
    machine = replace(PLAIN, profile=profile, disks=PLAIN.disks[1:] * DISKS_MAX)
    places = [int(slot, 16) for slot in re.findall(r"(?<!bus=slots,)addr=0x([0-9a-f]+)", lines(machine))]
    slots = [int(slot, 16) for slot in re.findall(r"bus=slots,addr=0x([0-9a-f]+)", lines(machine))]
    ide = re.findall(r"bus=(ide\.\d),unit=(\d)", lines(machine))
    assert len(ide) == len(set(ide)) == (4 if profile is Profile.XEN_HVM else 0)
    assert len(slots) == len(set(slots)) == (0 if profile is Profile.XEN_HVM else DISKS_MAX - 1)
    assert len(places) == len(set(places)) > DISKS_MAX - len(ide) - len(slots)
    assert max(places) < 0x1F, "the chipset's own"
    assert all(0 < slot < 0x20 for slot in slots), "a conventional bridge's devices"


@pytest.mark.parametrize("name", MACHINES)
def test_no_path_leads_out_of_the_instances_directory_but_the_hosts_own_files(name: str) -> None:
    words = qemu_arguments(MACHINES[name])
    allowed = (
        "etc/sercon-port",
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
        "/dev/urandom",
        "/dev/vda",
        "/dev/nvme0n1",
        "172.31.0.0/20",
        "169.254.0.0/16",
    )
    for word in words:
        for good in allowed:
            word = word.replace(good, "")
        assert "/" not in word and ".." not in word


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_is_sandboxed_and_takes_nothing_from_defaults(name: str) -> None:
    words = qemu_arguments(MACHINES[name])
    assert {"-nodefaults", "-no-user-config", "-no-shutdown"} <= set(words)
    sandbox = words[words.index("-sandbox") + 1]
    assert sandbox.startswith("on,") and "resourcecontrol=deny" in sandbox
    assert ("spawn=deny" in sandbox) == (MACHINES[name].network is not NetworkKind.GUESTFWD)
    assert "-daemonize" not in words and "-runas" not in words and "-pidfile" not in words


def test_under_xen_the_second_serial_port_is_the_guests_console_and_the_memory_is_the_sum_of_all() -> None:
    words = qemu_arguments(MACHINES["xen-pv"])
    serials = [after for word, after in pairwise(words) if word == "-serial"]
    assert serials == ["chardev:appliance", "chardev:serial"]
    assert int(words[words.index("-m") + 1].removesuffix("M")) >= 256 + 224 + 80
    dom0 = words[words.index("-initrd") + 1]
    assert dom0.count(",") == 1  # parts the modules: a second one would be another module


@pytest.mark.parametrize("name", MACHINES)
def test_the_root_is_the_one_disk_that_firmware_may_start(name: str) -> None:
    words = qemu_arguments(MACHINES[name])
    disks = [word for word in words if "id=volume" in word]
    has_firmware = MACHINES[name].direct is None and MACHINES[name].xen is None
    assert ["bootindex=1" in word for word in disks] == [has_firmware] + [False] * (len(disks) - 1)
    assert ("strict=on" in words) == has_firmware
    assert sum("bootindex" in word for word in words) == has_firmware


def test_a_machine_in_no_namespace_is_reached_by_nothing_and_reaches_its_metadata_only() -> None:
    words = " ".join(qemu_arguments(MACHINES["guestfwd"]))
    assert "hostfwd" not in words and "restrict=on" in words and words.count("guestfwd=") == 1


def test_a_uuid_that_is_not_ec2s_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        qemu_arguments(replace(PLAIN, uuid="00000000-0000-0000-0000-000000000000"))


def test_a_volumes_serial_number_is_its_id_without_the_dash() -> None:
    assert PLAIN.disks[0].serial == "vol0123456789abcdef0" and len(PLAIN.disks[0].serial) == 20
