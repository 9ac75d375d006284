"""Paravirtual images under Xen: their own kernels, their own menus, and how they end."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import journey
from tests.support.boots import Note, boot_since
from tests.support.guests import tiny_guest
from tests.support.server import Server, serving
from tests.support.xen import xen_server

UNDER_XEN = [{"ResourceType": "instance", "Tags": [{"Key": "amiable:hardware-profile", "Value": "xen-pv"}]}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(xen_server(tmp_path_factory.mktemp("s"))) as running:
        yield running


def add_kernel(server: Server, path: Path, name: str, kind: str = "kernel") -> str:
    return journey.amiable(
        server, "kernel", "add", f"--{kind}", str(path), "--name", name, "--output", "id"
    ).stdout.strip()


def import_image(server: Server, path: Path, name: str, *words: str) -> str:
    """An EBS-backed paravirtual image of the file system or disk in ``path``."""
    words = ("image", "import", str(path), "--name", name, "--virtualization", "paravirtual", *words)
    return journey.amiable(server, *words).stdout.strip()


def launch(server: Server, image: str, **more: Any) -> str:
    run = {"ImageId": image, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
    found: str = server.client("ec2").run_instances(**run, **more)["Instances"][0]["InstanceId"]
    journey.wait_for_state(server, found, "running")
    return found


def appliance_log(server: Server, instance: str) -> str:
    return (server.data / "instances" / instance / "appliance.log").read_text(errors="replace")


@dataclass(frozen=True)
class Imported:
    """The tiny guest's file system as an image with its kernel and ramdisk."""

    image: str
    aki: str
    ari: str


@pytest.fixture(scope="module")
def imported(server: Server) -> Imported:
    guest = tiny_guest()
    aki = add_kernel(server, guest.kernel, "tiny")
    ari = add_kernel(server, guest.ramdisk, "tiny-ramdisk", "ramdisk")
    return Imported(import_image(server, guest.pv, "tiny pv", "--kernel", aki, "--ramdisk", ari), aki, ari)


@pytest.mark.boot
def test_one_image_runs_directly_and_under_xen_where_it_is_rebooted_and_stopped_as_any(
    server: Server, imported: Imported, tmp_path: Path, note_boot: Note
) -> None:
    ec2, image = server.client("ec2"), imported.image
    key, public = journey.make_key(tmp_path)
    ec2.import_key_pair(KeyName="xen", PublicKeyMaterial=public.encode())

    began = time.monotonic()
    direct = launch(server, image, KeyName="xen")
    told = journey.facts(server, direct, key)
    note_boot(boot_since(began, "tiny", "direct", "", "SSH"))
    assert (told["instance-id"], told["root-device"]) == (direct, "/dev/vda")
    journey.terminate(server, direct)

    more = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    began = time.monotonic()
    instance = launch(server, image, KeyName="xen", TagSpecifications=UNDER_XEN, BlockDeviceMappings=more)
    told = journey.facts(server, instance, key)
    note_boot(boot_since(began, "tiny", "xen-pv", "", "SSH"))
    assert (told["instance-id"], told["root-device"], told["command-line"]) == (
        *(instance, "/dev/xvda1", "root=/dev/sda1 ro console=hvc0"),
    )
    assert (told["kernel-id"], told["ramdisk-id"]) == (imported.aki, imported.ari)
    assert told["local-ipv4"] == journey.describe(ec2, instance)["PrivateIpAddress"]
    seen = journey.ssh(
        server, instance, key, "cat /sys/hypervisor/uuid /sys/hypervisor/guest_type /sys/class/block/xvdf/size"
    ).split()
    assert seen[0].startswith("ec2") and seen[1:] == ["PV", str(1 << 21)]

    server.kill()
    server.start()
    assert journey.facts(server, instance, key)["boot-id"] == told["boot-id"]

    journey.amiable(server, "instance", "ssh", instance, "--login", "root", "--identity", str(key), "--", "reboot")
    again = journey.wait_until("another boot", lambda: another_boot(server, instance, key, told["boot-id"]))
    assert journey.describe(ec2, instance)["State"]["Name"] == "running"

    ec2.stop_instances(InstanceIds=[instance])
    journey.wait_for_state(server, instance, "stopped")
    log = appliance_log(server, instance)
    assert "reason 0" in log and "reason 1" in log  # xl list -v: a power-off, a reboot
    ec2.start_instances(InstanceIds=[instance])
    journey.wait_for_state(server, instance, "running")
    assert journey.facts(server, instance, key)["boot-id"] not in (told["boot-id"], again)

    journey.terminate(server, instance)


@pytest.mark.boot
def test_a_crash_of_the_guests_kernel_is_told_from_a_power_off(server: Server, imported: Imported) -> None:
    crash = "#!/bin/sh\necho c >/proc/sysrq-trigger\n"
    instance = launch(server, imported.image, TagSpecifications=UNDER_XEN, UserData=crash)
    found = journey.wait_for_state(server, instance, "stopped")
    assert found["StateReason"]["Code"] == "Client.InternalError"
    assert "kernel crashed" in found["StateReason"]["Message"] and "Call Trace" in journey.console(server, instance)
    journey.terminate(server, instance)


@pytest.fixture(scope="module")
def pv_grub(server: Server) -> dict[str, str]:
    """Kernel ids by root (hd0, hd00)."""
    made = journey.amiable(server, "kernel", "add-pv-grub", "--arch", "x86_64", "--output", "json").stdout
    found = {row["Kind"].removeprefix("pv-grub-"): row["ImageId"] for row in json.loads(made)}
    assert sorted(found) == ["hd0", "hd00"]
    return found


@pytest.mark.boot
def test_pv_grub_that_is_there_already_is_told_and_not_added_again(server: Server, pv_grub: dict[str, str]) -> None:
    again = journey.amiable(server, "kernel", "add-pv-grub", "--arch", "x86_64", "--output", "json")
    assert sorted(row["ImageId"] for row in json.loads(again.stdout)) == sorted(pv_grub.values())
    assert again.stderr.count("is there already") == 2


@pytest.mark.boot
def test_a_bundle_that_names_only_pv_grub_boots_by_its_own_menu(
    server: Server, pv_grub: dict[str, str], tmp_path: Path, note_boot: Note
) -> None:
    ec2 = server.client("ec2")
    key, public = journey.make_key(tmp_path)
    ec2.import_key_pair(KeyName="menu", PublicKeyMaterial=public.encode())
    folder = tmp_path / "bundle"
    words = ["--image", str(tiny_guest().menu), "--destination", str(folder), "--prefix", "menu"]
    journey.amiable(server, "bundle", "create", *words, "--kernel", pv_grub["hd0"], "--arch", "x86_64")
    manifest = str(folder / "menu.manifest.xml")
    location = journey.amiable(server, "bundle", "upload", manifest, "--bucket", "bundles/menu").stdout.strip()
    image = ec2.register_image(Name="menu", ImageLocation=location, VirtualizationType="paravirtual")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 120})

    began = time.monotonic()
    instance = launch(server, image, KeyName="menu")
    told = journey.facts(server, instance, key)
    note_boot(boot_since(began, "tiny, PV-GRUB", "xen-pv", "", "SSH"))
    assert (told["instance-id"], told["kernel-id"], told["root-device"]) == (instance, pv_grub["hd0"], "/dev/xvda1")
    assert "from=menu.lst" in told["command-line"] and told["kernel"] == tiny_guest().kernel_version
    journey.terminate(server, instance)


@pytest.mark.boot
def test_a_disk_with_partitions_boots_by_its_own_grub_conf(
    server: Server, pv_grub: dict[str, str], tmp_path: Path
) -> None:
    key, public = journey.make_key(tmp_path)
    server.client("ec2").import_key_pair(KeyName="parted", PublicKeyMaterial=public.encode())
    image = import_image(server, tiny_guest().menu_disk, "parted", "--kernel", pv_grub["hd00"])
    instance = launch(server, image, KeyName="parted")
    told = journey.facts(server, instance, key)
    assert (told["instance-id"], told["root-device"]) == (instance, "/dev/xvda1")
    assert "from=grub.conf" in told["command-line"]
    assert int(told["root-filesystem-bytes"]) > 900 << 20  # grown onto its whole disk, as on any
    journey.terminate(server, instance)


def another_boot(server: Server, instance: str, key: Path, boot_id: str) -> str | None:
    """The boot id of a guest that answers and is not the boot of before."""
    words = ["instance", "ssh", instance, "--login", "root", "--identity", str(key), "--wait", "20", "--"]
    done = journey.amiable(server, *words, "cat", "/proc/sys/kernel/random/boot_id", check=False)
    found = done.stdout.strip()
    return found if done.returncode == 0 and found and found != boot_id else None
