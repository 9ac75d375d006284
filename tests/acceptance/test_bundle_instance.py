"""BundleInstance of a running and of a stopped instance: the bundle registers, launches, and holds what the guest wrote."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError

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
        raise AssertionError(f"{error.last_response['BundleTasks']}\n{server.log_text()[-3000:]}") from None


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


@pytest.mark.boot
def test_what_a_guest_wrote_is_in_the_bundle_of_its_running_and_of_its_stopped_instance(
    server: Server, tmp_path: Path
) -> None:
    ec2 = server.client("ec2")
    key, public = journey.make_key(tmp_path)
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=public.encode())
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
