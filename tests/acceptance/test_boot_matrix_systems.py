"""Whole Debian systems in the profiles and boot modes beside those of their own tests: minutes each, so only ``make boot-matrix`` boots them.

Under Xen they are paravirtual images: root as a bare file system, with the kernel and initial RAM disk that lie in it.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.test_xen_journey import add_kernel
from tests.support import journey
from tests.support.boots import Note, boot_since
from tests.support.guests import debian_guest, facts_of, house_disk, paravirtual
from tests.support.server import Server, serving
from tests.support.xen import xen_server

pytestmark = [pytest.mark.boot, pytest.mark.slow, pytest.mark.matrix]

BOOT_SECONDS_MAX = 1200
ROOT_GIB = 3
HOUSE_READY = "amiable: ready after "
PV_ROOT = "/dev/xvda1"
"""As kernels since 2.6.36 call it: an initial RAM disk looks for root by this name."""

QUESTIONS = """\
echo init=$(cat /proc/1/comm)
echo root=$(findmnt -n -o SOURCE /)
echo root-bytes=$(df --output=size -B1 / | tail -n 1)
echo firmware=$(test -d /sys/firmware/efi && echo uefi || echo legacy-bios)
echo xen=$(cat /sys/hypervisor/guest_type 2>/dev/null)
echo nonces=$(cat /var/lib/nonces)
echo failed=$(command -v systemctl >/dev/null && systemctl list-units --failed --plain --no-legend | wc -l)
"""


@dataclass(frozen=True)
class System:
    """One of the whole systems: what its console says at the end of a start, and what the matrix calls that, once it answers by SSH."""

    disk: Path
    init: str
    login: str
    ready: str
    reached: str = "SSH"


def system_of(guest: str) -> System:
    if guest == "Debian 12":
        return System(debian_guest().hvm, "systemd", "debian", "Datasource DataSourceEc2", "cloud-init done, SSH")
    if guest == "small":
        return System(house_disk("small"), "systemd", "admin", HOUSE_READY)
    return System(house_disk("small-sysv"), "init", "admin", HOUSE_READY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(xen_server(tmp_path_factory.mktemp("s"))) as running:
        yield running


@pytest.fixture(scope="module")
def key(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, public = journey.make_key(tmp_path_factory.mktemp("key"))
    server.client("ec2").import_key_pair(KeyName="mine", PublicKeyMaterial=public.encode())
    return path


def import_disk(server: Server, guest: str, profile: str, boot_mode: str) -> str:
    words = ["--name", f"{guest} {profile} {boot_mode}", "--boot-mode", boot_mode]
    words += ["--ena"] if profile == "nitro" else []
    return journey.amiable(server, "image", "import", str(system_of(guest).disk), *words).stdout.strip()


def import_paravirtual(server: Server, guest: str) -> str:
    parts = paravirtual(system_of(guest).disk)
    kernel = add_kernel(server, parts.kernel, f"{guest} kernel")
    ramdisk = add_kernel(server, parts.ramdisk, f"{guest} ramdisk", "ramdisk")
    words = ["--name", f"{guest} pv", "--virtualization", "paravirtual", "--root-device", PV_ROOT]
    words += ["--kernel", kernel, "--ramdisk", ramdisk]
    return journey.amiable(server, "image", "import", str(parts.root), *words).stdout.strip()


def launch(server: Server, image: str, profile: str, root_device: str, nonce: str) -> str:
    made = server.client("ec2").run_instances(
        ImageId=image,
        InstanceType="amiable.1c1g",
        MinCount=1,
        MaxCount=1,
        KeyName="mine",
        UserData=f"#!/bin/sh\necho {nonce} >>/var/lib/nonces\n",
        BlockDeviceMappings=[{"DeviceName": root_device, "Ebs": {"VolumeSize": ROOT_GIB}}],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "amiable:hardware-profile", "Value": profile}]}
        ],
    )
    return str(made["Instances"][0]["InstanceId"])


PLACES = [
    ("Debian 12", "nitro", "uefi", "/dev/nvme0n1p1"),
    ("Debian 12", "xen-pv", "", PV_ROOT),
    *[
        (kind, *place)
        for kind in ("small", "small-sysv")
        for place in (
            ("virtio", "legacy-bios", "/dev/vda1"),
            ("virtio", "uefi", "/dev/vda1"),
            ("nitro", "uefi", "/dev/nvme0n1p1"),
            ("xen-pv", "", PV_ROOT),
        )
    ],
]


@pytest.mark.parametrize(("guest", "profile", "boot_mode", "root"), PLACES)
def test_a_whole_system_starts_answers_and_knows_its_machine(
    server: Server, key: Path, note_boot: Note, guest: str, profile: str, boot_mode: str, root: str
) -> None:
    system, is_pv, nonce = system_of(guest), profile == "xen-pv", uuid.uuid4().hex
    image = import_paravirtual(server, guest) if is_pv else import_disk(server, guest, profile, boot_mode)
    began = time.monotonic()
    instance = launch(server, image, profile, PV_ROOT if is_pv else "/dev/sda1", nonce)
    try:
        journey.wait_for_console(server, instance, system.ready, seconds_max=BOOT_SECONDS_MAX)
        facts = facts_of(journey.ssh(server, instance, key, QUESTIONS, login=system.login))
        note_boot(boot_since(began, guest, profile, boot_mode, system.reached))
        assert (facts["init"], facts["root"], facts["nonces"]) == (system.init, root, nonce)
        assert facts["firmware"] == (boot_mode or "legacy-bios")
        assert facts["xen"] == ("PV" if is_pv else "")
        assert int(facts["root-bytes"]) > 0.9 * (ROOT_GIB << 30)
        assert facts["failed"] in ("0", "")
    finally:
        journey.terminate(server, instance)


@pytest.mark.parametrize("guest", ["small", "small-sysv"])
def test_a_house_image_starts_from_an_ide_disk_and_has_no_driver_for_the_card(
    server: Server, key: Path, note_boot: Note, guest: str
) -> None:
    image = import_disk(server, guest, "xen-hvm", "legacy-bios")
    began = time.monotonic()
    instance = launch(server, image, "xen-hvm", "/dev/sda1", "none")
    try:
        journey.wait_for_console(server, instance, " login:", seconds_max=BOOT_SECONDS_MAX)
        note_boot(boot_since(began, guest, "xen-hvm", "legacy-bios", "login, no network: its kernel has no e1000"))
    finally:
        journey.terminate(server, instance)
