"""BundleInstance of a running and of a stopped instance: the bundle registers, launches, and holds what the guest wrote."""

import contextlib
import json
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.acceptance.test_boto3_journey import import_by_ebs_direct, register
from tests.support import journey, policies
from tests.support.guests import tiny_guest
from tests.support.server import Server

WAIT = {"Delay": 1, "MaxAttempts": 240}
BUCKET = "bundled"


def bundle(server: Server, instance: str, prefix: str) -> str:
    """Starts a bundle task by a policy; its id."""
    found = server.credentials()
    storage = policies.storage(BUCKET, prefix, found["AccessKeyId"], found["SecretAccessKey"])
    task = server.client("ec2").bundle_instance(InstanceId=instance, Storage=storage)["BundleTask"]
    assert (task["State"], task["Progress"], task["InstanceId"]) == ("pending", "0%", instance)
    assert task["Storage"]["S3"] == {"Bucket": BUCKET, "Prefix": prefix}
    return str(task["BundleId"])


def complete(server: Server, task: str) -> None:
    """Waits until the task is complete, as a client would."""
    ec2 = server.client("ec2")
    try:
        ec2.get_waiter("bundle_task_complete").wait(BundleIds=[task], WaiterConfig=WAIT)
    except WaiterError as error:
        raise AssertionError(f"{error.last_response}\n{server.log_text()[-3000:]}") from None


def import_key(ec2: Any, folder: Path) -> Path:
    """A fresh private key's file; its pair is the one named ``mine``."""
    key, public = journey.make_key(folder)
    ec2.delete_key_pair(KeyName="mine")
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=public.encode())
    return key


def launch(ec2: Any, image: str) -> str:
    """A tiny instance of the image."""
    run = {"ImageId": image, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, "KeyName": "mine"}
    return str(ec2.run_instances(**run)["Instances"][0]["InstanceId"])


def register_bundle(server: Server, prefix: str, name: str) -> str:
    """The bundle as an image that is available."""
    ec2 = server.client("ec2")
    location = f"{BUCKET}/{prefix}.manifest.xml"
    image = ec2.register_image(Name=name, ImageLocation=location, VirtualizationType="hvm")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig=WAIT)
    return str(image)


@pytest.mark.slow
@pytest.mark.boot
def test_what_a_guest_wrote_is_in_the_bundle_of_its_running_and_of_its_stopped_instance(
    server: Server, tmp_path: Path
) -> None:
    ec2 = server.client("ec2")
    key = import_key(ec2, tmp_path)
    image = register(ec2, import_by_ebs_direct(server, tiny_guest().hvm), "tiny to bundle")
    instance = launch(ec2, image)
    journey.wait_for_state(server, instance, "running")
    boot = journey.facts(server, instance, key)["boot-id"]
    first, second = uuid.uuid4().hex, uuid.uuid4().hex

    journey.ssh(server, instance, key, f"echo {first} > /marker; sync")
    task = bundle(server, instance, "live/tiny")
    complete(server, task)
    assert ec2.describe_bundle_tasks(BundleIds=[task])["BundleTasks"][0]["Progress"] == "100%"
    journey.ssh(server, instance, key, f"echo {second} > /marker; sync")
    assert journey.facts(server, instance, key)["boot-id"] == boot, "the guest went on"

    ec2.stop_instances(InstanceIds=[instance])
    off = bundle(server, instance, "still/tiny")  # while it is stopping
    complete(server, off)
    journey.wait_for_state(server, instance, "stopped")

    for prefix, marker in (("live/tiny", first), ("still/tiny", second)):
        bundled = register_bundle(server, prefix, f"bundled {prefix}")
        again = launch(ec2, bundled)
        journey.wait_for_state(server, again, "running")
        assert journey.ssh(server, again, key, "cat /marker").strip() == marker
        journey.terminate(server, again)

    ec2.start_instances(InstanceIds=[instance])
    journey.wait_for_state(server, instance, "running")
    assert journey.ssh(server, instance, key, "cat /marker").strip() == second
    journey.terminate(server, instance)


def pid_of(record: Path) -> int:
    """The process that a record names."""
    return int(json.loads(record.read_text())["pid"])


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """The process does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def task_of(server: Server, task: str) -> dict[str, Any]:
    """The task as boto3 gives it."""
    found: dict[str, Any] = server.client("ec2").describe_bundle_tasks(BundleIds=[task])["BundleTasks"][0]
    return found


def wait_until_ended(server: Server, task: str) -> dict[str, Any]:
    """The task once it is complete or failed."""

    def look() -> dict[str, Any] | None:
        found = task_of(server, task)
        return found if found["State"] in ("complete", "failed") else None

    return journey.wait_until(f"{task} to end", look)


@pytest.mark.slow
@pytest.mark.boot
def test_a_killed_server_begins_again_a_cancelled_task_leaves_nothing_and_a_killed_qemu_is_waited_for(
    server: Server, tmp_path: Path
) -> None:
    ec2 = server.client("ec2")
    key = import_key(ec2, tmp_path)
    instance = launch(ec2, register(ec2, import_by_ebs_direct(server, tiny_guest().hvm), "tiny to be bundled"))
    journey.wait_for_state(server, instance, "running")
    boot = journey.facts(server, instance, key)["boot-id"]
    folder = server.data / "instances" / instance
    exporter, qemu = pid_of(server.data / "exporter" / "process.json"), pid_of(folder / "process.json")

    def is_read() -> bool | None:
        return True if (folder / "disks.nbd").exists() else None

    def keys() -> list[str]:
        return [each["Key"] for each in server.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    with standing_still(
        exporter
    ):  # what lies below the overlay cannot be read: the job waits in the middle of the disk
        task = bundle(server, instance, "killed/tiny")
        journey.wait_until("the disk to be read", is_read)
        server.kill()
    server.start()
    assert wait_until_ended(server, task)["State"] == "complete"
    assert any(key.startswith("killed/tiny.part.") for key in keys())
    assert "killed/tiny.manifest.xml" in keys()
    assert journey.facts(server, instance, key)["boot-id"] == boot, "the guest went on"

    with standing_still(exporter):
        task = bundle(server, instance, "cancelled/tiny")
        journey.wait_until("the disk to be read", is_read)
        journey.amiable(server, "bundle", "cancel", task)
    found = wait_until_ended(server, task)
    assert (found["State"], found["BundleTaskError"]["Code"]) == ("failed", "Client.Cancelled")
    assert not any(key.startswith("cancelled/") for key in keys())
    assert not any(path.name.startswith(("disks", "copies")) for path in folder.iterdir())
    assert journey.facts(server, instance, key)["boot-id"] == boot

    with standing_still(exporter):
        task = bundle(server, instance, "dead/tiny")
        journey.wait_until("the disk to be read", is_read)
        os.kill(qemu, signal.SIGKILL)
    found = wait_until_ended(server, task)
    assert found["State"] == "complete", found  # read again, out of the volume, once the instance was stopped
    assert "dead/tiny.manifest.xml" in keys()
    journey.wait_for_state(server, instance, "stopped")
    rows = json.loads(journey.amiable(server, "bundle", "tasks", "--output", "json").stdout)
    mine = [row["State"] for row in rows if row["InstanceId"] == instance]
    assert mine == ["complete", "failed", "complete"]

    words = ["bundle", "instance", instance, "-b", BUCKET, "-p", "after/tiny", "--wait", "--output", "id"]
    assert journey.amiable(server, *words).stdout.strip().startswith("bun-")
    assert "after/tiny.manifest.xml" in keys()
    journey.terminate(server, instance)


@pytest.mark.slow
@pytest.mark.boot
def test_a_paravirtual_instance_is_bundled_with_its_kernel_and_a_changed_manifest_launches_nothing(
    server: Server, tmp_path: Path
) -> None:
    guest, ec2, s3 = tiny_guest(), server.client("ec2"), server.client("s3")
    words = ["--kernel", str(guest.kernel), "--ramdisk", str(guest.ramdisk), "--name", "tiny", "--output", "id"]
    aki, ari = journey.amiable(server, "kernel", "add", *words).stdout.split()
    words = ["--image", str(guest.pv), "--destination", str(tmp_path), "--prefix", "pv", "--arch", "x86_64"]
    journey.amiable(server, "bundle", "create", *words, "--kernel", aki, "--ramdisk", ari)
    words = [str(tmp_path / "pv.manifest.xml"), "--bucket", BUCKET]
    location = journey.amiable(server, "bundle", "upload", *words).stdout.strip()
    key = import_key(ec2, tmp_path)

    def register_pv(location: str, name: str) -> str:
        made = ec2.register_image(Name=name, ImageLocation=location, VirtualizationType="paravirtual")
        ec2.get_waiter("image_available").wait(ImageIds=[made["ImageId"]], WaiterConfig=WAIT)
        return str(made["ImageId"])

    image = register_pv(location, "first")
    first, marker = launch(ec2, image), uuid.uuid4().hex
    journey.wait_for_state(server, first, "running")
    journey.ssh(server, first, key, f"echo {marker} > /marker; sync")
    complete(server, bundle(server, first, "pv/again"))
    journey.terminate(server, first)

    again = register_pv(f"{BUCKET}/pv/again.manifest.xml", "again")
    found = ec2.describe_images(ImageIds=[again])["Images"][0]
    assert (found["KernelId"], found["RamdiskId"], found["RootDeviceType"]) == (aki, ari, "instance-store")
    document = s3.get_object(Bucket=BUCKET, Key="pv/again.manifest.xml")["Body"].read()
    assert f"<ancestor_ami_id>{image}</ancestor_ami_id>".encode() in document
    second = launch(ec2, again)
    journey.wait_for_state(server, second, "running")
    assert journey.ssh(server, second, key, "cat /marker").strip() == marker

    s3.put_object(Bucket=BUCKET, Key="pv/again.manifest.xml", Body=document + b"\n", ACL="aws-exec-read")
    for why in ("was changed after", "is gone"):
        with pytest.raises(ClientError) as refused:
            launch(ec2, again)
        error = refused.value.response["Error"]
        assert error["Code"] == "InvalidManifest" and why in error["Message"] and again in error["Message"]
        s3.delete_object(Bucket=BUCKET, Key="pv/again.manifest.xml")
    assert journey.ssh(server, second, key, "cat /marker").strip() == marker, "what runs goes on"
    journey.terminate(server, second)
