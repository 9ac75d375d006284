"""The tiny guest, and programs that are no Linux, in every hardware profile and boot mode: one boot each, noted for the boot matrix.

The paravirtual profiles under Xen are booted by ``test_xen_journey``, whole systems by ``test_house_images`` and ``test_debian_journey``.
"""

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from scripts.boot_matrix import Boot

from amiable.model.uefi import GLOBAL, Variable
from amiable.rules.uefi_data import read_uefi_data, write_uefi_data
from amiable.rules.uefi_store import read_store
from tests.acceptance.test_boto3_journey import import_by_ebs_direct
from tests.support import journey
from tests.support.boots import Note, boot_since
from tests.support.guests import tiny_guest
from tests.support.other_guests import ipxe_disk, memtest_disk
from tests.support.server import Server
from tests.support.signed_guest import signed_disk

KEY_NAME = "matrix"
ENROLLED = Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
MARK = Variable("AmiableMark", GLOBAL, 0x7, b"from the image")
READY = "amiable-tiny: ready"


@dataclass
class Launched:
    """A running instance, and when the call that launched it was made."""

    instance_id: str
    began: float

    def boot(self, guest: str, profile: str, boot_mode: str, reached: str) -> Boot:
        """What is noted of it now."""
        return boot_since(self.began, guest, profile, boot_mode, reached)


@pytest.fixture(scope="module")
def key(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, public = journey.make_key(tmp_path_factory.mktemp("key"))
    server.client("ec2").import_key_pair(KeyName=KEY_NAME, PublicKeyMaterial=public.encode())
    return path


@pytest.fixture(scope="module")
def snapshot(server: Server) -> str:
    return import_by_ebs_direct(server, tiny_guest().hvm)


def register(server: Server, snapshot: str, name: str, **words: Any) -> str:
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
    facts = {"Architecture": "x86_64", "VirtualizationType": "hvm", "RootDeviceName": "/dev/sda1", **words}
    return str(server.client("ec2").register_image(Name=name, BlockDeviceMappings=mapping, **facts)["ImageId"])


def launch(server: Server, image: str, profile: str | None = None, **words: Any) -> Launched:
    tags = [] if profile is None else [{"Key": "amiable:hardware-profile", "Value": profile}]
    asked = {"InstanceType": "amiable.1c256m", "MinCount": 1, "MaxCount": 1, "KeyName": KEY_NAME, **words}
    if tags:
        asked["TagSpecifications"] = [{"ResourceType": "instance", "Tags": tags}]
    began = time.monotonic()
    made = server.client("ec2").run_instances(ImageId=image, **asked)["Instances"][0]["InstanceId"]
    return Launched(str(made), began)


@pytest.mark.boot
@pytest.mark.parametrize(
    ("profile", "boot_mode", "root"),
    [
        ("virtio", "legacy-bios", "/dev/vda1"),
        ("nitro", "legacy-bios", "/dev/nvme0n1p1"),
    ],
)
def test_the_tiny_guest_starts_by_bios(
    server: Server, key: Path, snapshot: str, note_boot: Note, profile: str, boot_mode: str, root: str
) -> None:
    image = register(server, snapshot, f"bios {profile}", EnaSupport=profile == "nitro")
    launched = launch(server, image)
    journey.wait_for_console(server, launched.instance_id, READY)
    told = journey.facts(server, launched.instance_id, key)
    note_boot(launched.boot("tiny", profile, boot_mode, "SSH"))
    assert told["root-device"] == root
    shown = journey.amiable(server, "instance", "show", launched.instance_id).stdout
    assert profile in shown and "ENA flag" in shown
    journey.terminate(server, launched.instance_id)


@pytest.mark.boot
def test_xen_hvm_starts_from_an_ide_disk_and_has_a_card_that_clouds_kernels_lack(
    server: Server, key: Path, snapshot: str, note_boot: Note
) -> None:
    image = register(server, snapshot, "bios xen-hvm")
    launched = launch(server, image, "xen-hvm")
    journey.wait_for_console(server, launched.instance_id, "amiable-tiny: the metadata service does not answer yet")
    note_boot(launched.boot("tiny", "xen-hvm", "legacy-bios", "userspace, no network: its kernel has no e1000"))
    assert "tag amiable:hardware-profile" in journey.amiable(server, "instance", "show", launched.instance_id).stdout
    journey.terminate(server, launched.instance_id)


@pytest.mark.boot
@pytest.mark.proves("ec2", "GetInstanceUefiData", "GetInstanceTpmEkPub")
def test_uefi_variables_go_from_the_image_into_the_instance_and_back_and_its_tpm_is_its_own(
    server: Server, key: Path, snapshot: str, note_boot: Note
) -> None:
    ec2 = server.client("ec2")
    words = {"BootMode": "uefi", "TpmSupport": "v2.0", "EnaSupport": True, "UefiData": write_uefi_data([MARK])}
    image = register(server, snapshot, "uefi with a TPM", **words)
    launched = launch(server, image)
    instance = launched.instance_id
    journey.wait_for_console(server, instance, READY)
    seen = "cat /sys/class/tpm/tpm0/tpm_version_major /sys/class/tpm/tpm0/pcr-sha256/0; ls /sys/firmware/efi/fw_vendor"
    version, measured, _ = journey.ssh(server, instance, key, seen).split()
    note_boot(launched.boot("tiny", "nitro", "uefi", "SSH"))
    assert version == "2" and len(measured) == 64 and set(measured) != {"0"}

    found = journey.describe(ec2, instance)
    assert (found["BootMode"], found["CurrentInstanceBootMode"], found["TpmSupport"]) == ("uefi", "uefi", "v2.0")
    told = ec2.get_instance_uefi_data(InstanceId=instance)
    variables = {it.name: it for it in read_uefi_data(told["UefiData"])}
    assert variables["AmiableMark"] == MARK
    assert {"BootOrder", "Boot0001"} <= variables.keys(), "the firmware's own are there too"

    keys = {}
    for key_type in ("rsa-2048", "ecc-sec-p384"):
        answer = ec2.get_instance_tpm_ek_pub(InstanceId=instance, KeyType=key_type, KeyFormat="der")
        assert (answer["InstanceId"], answer["KeyType"], answer["KeyFormat"]) == (instance, key_type, "der")
        key_read = load_der_public_key(base64.b64decode(answer["KeyValue"]))
        assert isinstance(key_read, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        keys[key_type] = key_read.key_size
    assert keys == {"rsa-2048": 2048, "ecc-sec-p384": 384}

    # the server comes back to a machine whose TPM runs on, and ends both
    server.kill()
    server.start()
    assert journey.ssh(server, instance, key, "cat /sys/class/tpm/tpm0/tpm_version_major").split() == ["2"]
    again = register(server, snapshot, "what it left", BootMode="uefi", UefiData=told["UefiData"])
    assert server.client("ec2").describe_images(ImageIds=[again])["Images"][0]["BootMode"] == "uefi"
    journey.terminate(server, instance)


@pytest.mark.boot
def test_uefi_preferred_starts_by_uefi_and_the_root_beside_a_clone_of_it(
    server: Server, key: Path, snapshot: str, note_boot: Note
) -> None:
    image = register(server, snapshot, "uefi preferred", BootMode="uefi-preferred")
    clone = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": True}}]
    launched = launch(server, image, BlockDeviceMappings=clone)
    instance = launched.instance_id
    said = journey.wait_for_console(server, instance, READY)
    found = journey.describe(server.client("ec2"), instance)
    assert (found["BootMode"], found["CurrentInstanceBootMode"]) == ("uefi-preferred", "uefi")
    journey.ssh(server, instance, key, "true")
    note_boot(launched.boot("tiny", "virtio", "uefi", "SSH"))
    started = [line for line in said.splitlines() if "BdsDxe: starting" in line]
    assert len(started) == 1 and "Pci(0x4,0x0)" in started[0], "the root's place on the bus"
    journey.terminate(server, instance)


def enrolled_keys() -> str:
    """Microsoft's keys, as an image brings them."""
    return write_uefi_data([it for it in read_store(ENROLLED.read_bytes()) if it.name in ("PK", "KEK", "db", "dbx")])


@pytest.mark.boot
def test_with_keys_enrolled_a_signed_chain_starts_and_the_guest_says_that_secure_boot_is_on(
    server: Server, key: Path, note_boot: Note
) -> None:
    signed = import_by_ebs_direct(server, signed_disk())
    image = register(server, signed, "signed", BootMode="uefi", EnaSupport=True, UefiData=enrolled_keys())
    launched = launch(
        server, image, InstanceType="amiable.1c512m"
    )  # with 256 MiB the machine resets as the signed GRUB starts the kernel
    said = journey.wait_for_console(server, launched.instance_id, READY)
    found = journey.ssh(server, launched.instance_id, key, "dmesg | grep -i 'secure *boot'")
    note_boot(launched.boot("tiny, signed", "nitro", "uefi", "SSH, Secure Boot on"))
    assert "secureboot: Secure boot enabled" in found and "Secure boot enabled" in said
    assert "Kernel is locked down from EFI Secure Boot" in found
    journey.terminate(server, launched.instance_id)


@pytest.mark.boot
def test_with_keys_enrolled_a_boot_loader_that_none_of_them_signed_is_refused(
    server: Server, key: Path, snapshot: str, note_boot: Note
) -> None:
    image = register(server, snapshot, "secure", BootMode="uefi", EnaSupport=True, UefiData=enrolled_keys())
    launched = launch(server, image)
    said = journey.wait_for_console(server, launched.instance_id, "Access Denied")
    note_boot(launched.boot("tiny, Secure Boot", "nitro", "uefi", "refused: Access Denied"))
    assert "starting Boot0001" not in said and READY not in said

    def reason() -> str | None:
        found = journey.describe(server.client("ec2"), launched.instance_id).get("StateReason", {}).get("Message", "")
        return found if "Secure Boot" in found else None

    journey.wait_until("the reason", reason)
    told = server.client("ec2").get_instance_uefi_data(InstanceId=launched.instance_id)["UefiData"]
    assert {"PK", "KEK", "db", "dbx"} <= {it.name for it in read_uefi_data(told)}
    journey.terminate(server, launched.instance_id)


@pytest.mark.boot
def test_a_paravirtual_image_without_a_ramdisk_starts_its_kernel_on_an_nvme_disk(
    server: Server, key: Path, note_boot: Note
) -> None:
    kernel = journey.amiable(
        server, "kernel", "add", "--kernel", str(tiny_guest().kernel), "--name", "tiny", "--output", "id"
    ).stdout.strip()
    words = ("--name", "tiny pv", "--virtualization", "paravirtual", "--kernel", kernel)
    image = journey.amiable(server, "image", "import", str(tiny_guest().pv), *words).stdout.strip()
    launched = launch(server, image)
    journey.wait_for_console(server, launched.instance_id, READY)
    told = journey.facts(server, launched.instance_id, key)
    note_boot(launched.boot("tiny", "direct-nvme", "", "SSH"))
    assert told["root-device"] == "/dev/nvme0n1"
    journey.terminate(server, launched.instance_id)


@pytest.fixture(scope="module")
def ipxe(server: Server) -> Iterator[str]:
    yield import_by_ebs_direct(server, ipxe_disk())


@pytest.mark.boot
@pytest.mark.parametrize(
    ("profile", "boot_mode", "words", "reached"),
    [
        ("xen-hvm", "legacy-bios", "amiable: address 172.31.", "DHCP and metadata"),
        ("nitro", "legacy-bios", "amiable: address 172.31.", "DHCP and metadata"),
        ("nitro", "uefi", "Configuring (net0", "its own drivers"),
    ],
)
def test_ipxe_starts(
    server: Server, key: Path, ipxe: str, note_boot: Note, profile: str, boot_mode: str, words: str, reached: str
) -> None:
    image = register(server, ipxe, f"ipxe {profile} {boot_mode}", BootMode=boot_mode)
    launched = launch(server, image, profile)
    journey.wait_for_console(server, launched.instance_id, words)
    note_boot(launched.boot("iPXE", profile, boot_mode, reached))
    journey.terminate(server, launched.instance_id)


@pytest.mark.boot
@pytest.mark.parametrize(("profile", "boot_mode"), [("xen-hvm", "legacy-bios"), ("nitro", "uefi")])
def test_memtest_starts(server: Server, key: Path, note_boot: Note, profile: str, boot_mode: str) -> None:
    snapshot = import_by_ebs_direct(server, memtest_disk())
    image = register(server, snapshot, f"memtest {profile}", BootMode=boot_mode)
    launched = launch(server, image, profile)
    journey.wait_for_console(server, launched.instance_id, "Memtest86+")
    note_boot(launched.boot("memtest86+", profile, boot_mode, "its screen on the serial port"))
    journey.terminate(server, launched.instance_id)
