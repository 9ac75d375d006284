"""``amiable snapshot`` and ``amiable image create`` and ``copy`` against a real server, with a volume that was never attached."""

import json
from typing import Any

from tests.support.journey import amiable
from tests.support.server import Server


def test_a_snapshot_of_a_volume_is_made_and_listed_and_an_image_of_it_copied(server: Server) -> None:
    account = str(json.loads(amiable(server, "account", "create", "snapper", "--output", "json").stdout)["AccountId"])
    ec2 = server.client("ec2", account)
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]

    def said(*words: str) -> Any:
        return json.loads(amiable(server, *words, "--output", "json", account=account).stdout)

    made = said("snapshot", "create", volume, "--description", "mine", "--wait")
    assert (made["State"], made["VolumeId"], made["Progress"]) == ("completed", volume, "100%")
    begun = amiable(server, "snapshot", "create", volume, account=account).stdout.strip()
    listed = said("snapshot", "list")
    assert {row["SnapshotId"]: row["Description"] for row in listed} == {made["SnapshotId"]: "mine", begun: ""}

    devices = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": made["SnapshotId"]}}]
    kind = {"Architecture": "x86_64", "VirtualizationType": "hvm", "RootDeviceName": "/dev/sda1"}
    image = ec2.register_image(Name="first", BlockDeviceMappings=devices, Description="one", **kind)["ImageId"]
    copied = said("image", "copy", image, "--name", "second")
    assert (copied["SourceImageId"], copied["Description"], copied["State"]) == (image, "one", "available")


def test_an_image_of_no_instance_and_a_snapshot_of_no_volume_are_refused_with_ec2s_words(server: Server) -> None:
    done = amiable(server, "image", "create", "i-0123456789abcdef0", "--name", "none", check=False)
    assert done.returncode == 1 and "error: InvalidInstanceID.NotFound" in done.stderr
    done = amiable(server, "snapshot", "create", "vol-0123456789abcdef0", check=False)
    assert done.returncode == 1 and "error: InvalidVolume.NotFound" in done.stderr
