"""CreateImage of a running and of a stopped instance: one moment over all disks, files whole, a server that is killed meanwhile."""

import contextlib
import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_boto3_journey import import_by_ebs_direct, register
from tests.acceptance.test_bundle_instance import import_key, launch, pid_of, standing_still
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server

BLOCK = 524_288
SECTOR = 512
WRITER = """#!/bin/sh
# Record n to the first disk, synced, then to the second, synced; n + 1 to the first, …
n=0
while [ $n -lt 900 ]; do
    n=$((n + 1))
    body=$(printf 'record %08d ' $n)
    sum=$(printf '%s' "$body" | sha256sum | cut -c1-64)
    for disk in "$1" "$2"; do
        printf '%s%s' "$body" "$sum" | dd of=$disk bs=512 seek=$n conv=sync,fsync,notrunc 2>/dev/null
    done
done
"""


def wait_for_image(server: Server, image: str) -> dict[str, Any]:
    """The image once it is available or failed."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = server.client("ec2").describe_images(ImageIds=[image])["Images"][0]
        return None if found["State"] == "pending" else found

    return journey.wait_until(f"{image} to be made", look)


def made(server: Server, **request: Any) -> dict[str, Any]:
    """CreateImage, once the image is available."""
    found = wait_for_image(server, server.client("ec2").create_image(**request)["ImageId"])
    assert found["State"] == "available", f"{found}\n{server.log_text()[-3000:]}"
    return found


def snapshot_of(image: dict[str, Any], device: str) -> str:
    """The snapshot at a device of the image."""
    (mapping,) = [each for each in image["BlockDeviceMappings"] if each["DeviceName"] == device]
    return str(mapping["Ebs"]["SnapshotId"])


def records(server: Server, snapshot: str) -> int:
    """How many records a disk of the writer holds: 1 to that number, each whole."""
    ebs = server.client("ebs")
    disk: dict[int, bytes] = {}
    for block in ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]:
        wanted = {"BlockIndex": block["BlockIndex"], "BlockToken": block["BlockToken"]}
        disk[block["BlockIndex"]] = ebs.get_snapshot_block(SnapshotId=snapshot, **wanted)["BlockData"].read()
    numbers = []
    for index, data in sorted(disk.items()):
        for at in range(0, BLOCK, SECTOR):
            sector = data[at : at + SECTOR].rstrip(b"\0")
            if sector:
                assert hashlib.sha256(sector[:16]).hexdigest().encode() == sector[16:], "a record is whole"
                assert int(sector[7:15]) == (index * BLOCK + at) // SECTOR
                numbers.append(int(sector[7:15]))
    assert numbers == list(range(1, len(numbers) + 1)), "no record before the last is missing"
    return len(numbers)


def nothing_is_left(folder: Path) -> None:
    """No export, no file of one."""
    assert not any(path.name.startswith(("disks", "copies")) for path in folder.iterdir())


@pytest.fixture(scope="module")
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, Path]]:
    """A running tiny instance with two disks of data beside its root, and the key to it."""
    ec2, folder = server.client("ec2"), tmp_path_factory.mktemp("image")
    key = import_key(ec2, folder)
    root = import_by_ebs_direct(server, tiny_guest().hvm)
    base = register(ec2, root, "tiny to image")
    disks = [{"DeviceName": f"/dev/sd{letter}", "Ebs": {"VolumeSize": 1}} for letter in "fg"]
    run = {"ImageId": base, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, "KeyName": "mine"}
    instance = ec2.run_instances(BlockDeviceMappings=disks, **run)["Instances"][0]["InstanceId"]
    journey.wait_for_state(server, instance, "running")
    yield server, instance, key
    journey.terminate(server, instance)


@pytest.mark.slow
@pytest.mark.boot
def test_an_image_without_a_reboot_is_of_one_moment_over_all_disks_and_outlives_a_killed_server(
    stage: tuple[Server, str, Path],
) -> None:
    server, instance, key = stage
    ec2, folder = server.client("ec2"), server.data / "instances" / instance
    boot = journey.facts(server, instance, key)["boot-id"]
    journey.ssh(server, instance, key, f"cat > /writer <<'END'\n{WRITER}END\nchmod +x /writer")
    disks = journey.ssh(server, instance, key, "ls /dev/vd[bc] /dev/nvme[12]n1 2>/dev/null || true").split()
    journey.ssh(server, instance, key, f"(/writer {' '.join(disks)} >/dev/null 2>&1 &) ; sleep 2")

    exporter = pid_of(server.data / "exporter" / "process.json")
    with standing_still(exporter):  # what lies below the root's overlay cannot be read: the job waits in the middle
        image = ec2.create_image(InstanceId=instance, Name="live", NoReboot=True)["ImageId"]
        journey.wait_until("the moment", lambda: True if (folder / "disks.nbd").exists() else None)
        server.kill()
    server.start()
    found = wait_for_image(server, image)
    assert found["State"] == "available", f"{found}\n{server.log_text()[-3000:]}"
    assert ":take-snapshots: take-snapshots (try 2)" in server.log_text(), "the server was killed in the middle"
    nothing_is_left(folder)
    assert journey.facts(server, instance, key)["boot-id"] == boot, "the guest went on"
    first, second = (records(server, snapshot_of(found, device)) for device in ("/dev/sdf", "/dev/sdg"))
    assert first > 0 and first - second in (0, 1), (first, second)

    again = made(server, InstanceId=instance, Name="live again", NoReboot=True)
    for labelled in (found, again):
        assert labelled["Tags"] == [{"Key": "amiable:consistency", "Value": "crash-consistent"}]
    later, second = (records(server, snapshot_of(again, device)) for device in ("/dev/sdf", "/dev/sdg"))
    assert later > first and later - second in (0, 1), (first, later, second)


@pytest.mark.slow
@pytest.mark.boot
def test_an_image_with_a_reboot_has_its_files_whole_and_launches_as_another_instance(
    stage: tuple[Server, str, Path], tmp_path: Path
) -> None:
    server, instance, key = stage
    ec2, marker = server.client("ec2"), uuid.uuid4().hex
    boot = journey.facts(server, instance, key)["boot-id"]
    journey.ssh(server, instance, key, f"i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo {marker} > /file-$i; done")
    clean = made(
        server, InstanceId=instance, Name="clean", BlockDeviceMappings=[{"DeviceName": "/dev/sdg", "NoDevice": ""}]
    )
    assert [each["DeviceName"] for each in clean["BlockDeviceMappings"]] == ["/dev/sda1", "/dev/sdf"]
    assert "Tags" not in clean, "nothing is to be said of it"
    facts = journey.facts(server, instance, key)
    assert facts["boot-id"] != boot and facts["instance-id"] == instance, "shut down, and started again in its place"

    ec2.stop_instances(InstanceIds=[instance])
    journey.wait_for_state(server, instance, "stopped")
    still = made(server, InstanceId=instance, Name="still")
    nothing_is_left(server.data / "instances" / instance)
    assert len(still["BlockDeviceMappings"]) == 3

    again = launch(ec2, clean["ImageId"])
    journey.wait_for_state(server, again, "running")
    count = journey.ssh(server, again, key, f"grep -lx {marker} /file-* | wc -l").strip()
    assert count == "40", "files that nobody synced are whole"
    assert journey.facts(server, again, key)["instance-id"] == again
    journey.terminate(server, again)


@pytest.mark.slow
@pytest.mark.boot
def test_a_root_is_replaced_by_what_it_was_at_launch_and_the_old_one_is_kept(stage: tuple[Server, str, Path]) -> None:
    server, instance, key = stage
    ec2 = server.client("ec2")
    with contextlib.suppress(ec2.exceptions.ClientError):
        ec2.start_instances(InstanceIds=[instance])
    journey.wait_for_state(server, instance, "running")
    journey.ssh(server, instance, key, "echo here > /only-in-the-old-root; sync")
    old = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    task = ec2.create_replace_root_volume_task(InstanceId=instance)["ReplaceRootVolumeTask"]["ReplaceRootVolumeTaskId"]

    def look() -> str | None:
        (found,) = ec2.describe_replace_root_volume_tasks(ReplaceRootVolumeTaskIds=[task])["ReplaceRootVolumeTasks"]
        return None if found["TaskState"] in ("pending", "in-progress") else str(found["TaskState"])

    assert journey.wait_until("the root to be replaced", look) == "succeeded", server.log_text()[-3000:]
    assert journey.ssh(server, instance, key, "ls /only-in-the-old-root 2>/dev/null || echo gone").strip() == "gone"
    new = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    root, kept = (
        next(each["Ebs"]["VolumeId"] for each in of if each["DeviceName"] == "/dev/sda1") for of in (new, old)
    )
    assert root != kept
    (volume,) = ec2.describe_volumes(VolumeIds=[kept])["Volumes"]
    assert volume["State"] == "available" and (server.data / "volumes" / f"{kept}.qcow2").exists()
    ec2.delete_volume(VolumeId=kept)
