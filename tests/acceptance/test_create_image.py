"""CreateImage of a stopped and of a running instance, with a reboot and without: the image launches, and holds what the guest wrote."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_boto3_journey import import_by_ebs_direct, register
from tests.acceptance.test_bundle_instance import import_key, launch
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server

WAIT = {"Delay": 1, "MaxAttempts": 240}


def wait_for_image(server: Server, image: str) -> dict[str, Any]:
    """The image once it is available or failed."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = server.client("ec2").describe_images(ImageIds=[image])["Images"][0]
        return None if found["State"] == "pending" else found

    return journey.wait_until(f"{image} to be made", look)


@pytest.mark.slow
@pytest.mark.boot
def test_an_image_of_a_stopped_and_of_a_running_instance_launches_with_what_was_written(
    server: Server, tmp_path: Path
) -> None:
    ec2 = server.client("ec2")
    key = import_key(ec2, tmp_path)
    base = register(ec2, import_by_ebs_direct(server, tiny_guest().hvm), "tiny to image")
    instance = launch(ec2, base)
    journey.wait_for_state(server, instance, "running")
    boot = journey.facts(server, instance, key)["boot-id"]
    first, second, third = (uuid.uuid4().hex for _ in range(3))

    journey.ssh(server, instance, key, f"echo {first} > /marker; sync")
    live = ec2.create_image(InstanceId=instance, Name="live", NoReboot=True)["ImageId"]
    found = wait_for_image(server, live)
    assert found["State"] == "available", found
    assert journey.facts(server, instance, key)["boot-id"] == boot, "the guest went on"

    journey.ssh(server, instance, key, f"echo {second} > /marker")  # not synced: the shutdown does
    clean = ec2.create_image(InstanceId=instance, Name="clean")["ImageId"]
    found = wait_for_image(server, clean)
    assert found["State"] == "available", found
    after = journey.facts(server, instance, key)
    assert after["boot-id"] != boot, "the guest was shut down, and started again"
    assert (
        ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    )

    journey.ssh(server, instance, key, f"echo {third} > /marker; sync")
    ec2.stop_instances(InstanceIds=[instance])
    journey.wait_for_state(server, instance, "stopped")
    still = ec2.create_image(InstanceId=instance, Name="still")["ImageId"]
    found = wait_for_image(server, still)
    assert found["State"] == "available", found
    assert not any(
        path.name.startswith(("disks", "copies")) for path in (server.data / "instances" / instance).iterdir()
    )
    journey.terminate(server, instance)

    for image, marker in ((live, first), (clean, second), (still, third)):
        again = launch(ec2, image)
        journey.wait_for_state(server, again, "running")
        assert journey.ssh(server, again, key, "cat /marker").strip() == marker
        assert journey.facts(server, again, key)["instance-id"] == again
        journey.terminate(server, again)
