"""A guest whose TPM's process ends is told to be impaired, and a reboot gives it a TPM again: a whole guest sees it."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from amiable.rules.lifecycle import TPM_ENDED
from tests.acceptance.test_boot_matrix import KEY_NAME, READY, launch, register
from tests.acceptance.test_boto3_journey import import_by_ebs_direct
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server

SEEN = "cat /sys/class/tpm/tpm0/tpm_version_major /sys/class/tpm/tpm0/pcr-sha256/0 /proc/sys/kernel/random/boot_id"


def tpm_pid(server: Server, instance_id: str) -> int:
    return int(json.loads((server.data / "instances" / instance_id / "tpm.json").read_text())["pid"])


@pytest.fixture
def key(server: Server, tmp_path: Path) -> Path:
    path, public = journey.make_key(tmp_path)
    server.client("ec2").import_key_pair(KeyName=KEY_NAME, PublicKeyMaterial=public.encode())
    return path


@pytest.mark.boot
def test_a_guest_whose_tpm_ended_is_impaired_and_has_one_again_after_a_reboot(server: Server, key: Path) -> None:
    ec2 = server.client("ec2")
    snapshot = import_by_ebs_direct(server, tiny_guest().hvm)
    image = register(server, snapshot, "a TPM that ends", BootMode="uefi", TpmSupport="v2.0", EnaSupport=True)
    instance = launch(server, image).instance_id
    journey.wait_for_console(server, instance, READY)
    version, measured, boot = journey.ssh(server, instance, key, SEEN).split()
    assert version == "2" and set(measured) != {"0"}
    before = journey.describe(ec2, instance)

    ended = tpm_pid(server, instance)
    os.kill(ended, signal.SIGKILL)

    def impaired() -> dict[str, Any] | None:
        (status,) = ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        found = journey.describe(ec2, instance)
        is_told = found.get("StateReason", {}).get("Message") == TPM_ENDED.message
        return found if is_told and status["SystemStatus"]["Status"] == "impaired" else None

    found = journey.wait_until("the instance to be impaired", impaired)
    assert found["State"]["Name"] == "running", "the guest runs on without it"

    ec2.reboot_instances(InstanceIds=[instance])

    def has_another() -> int | None:
        try:
            pid = tpm_pid(server, instance)
        except FileNotFoundError:
            return None
        return pid if pid != ended else None

    journey.wait_until("another TPM", has_another)
    after = journey.wait_for_state(server, instance, "running")
    version, again, other_boot = journey.ssh(server, instance, key, SEEN).split()
    assert (version, again) == ("2", measured), "the same firmware was measured into it"
    assert other_boot != boot
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"]

    def is_well() -> bool | None:
        (status,) = ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        is_told = "StateReason" in journey.describe(ec2, instance)
        return True if not is_told and status["SystemStatus"]["Status"] != "impaired" else None

    journey.wait_until("the instance to be well again", is_well)
    journey.terminate(server, instance)
