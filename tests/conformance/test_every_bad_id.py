"""Every id of a list that is refused stands in our own element, ``Ids``; EC2's text names what EC2 names."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.server.edge import Edge
from tests.support.publisher import bad_ids, new_snapshot, publishing_edge

TAGS = [{"Key": "a", "Value": "b"}]

CALLS: dict[str, tuple[str, Callable[[Any, list[str]], Any]]] = {
    "DescribeImages": ("ami", lambda ec2, ids: ec2.describe_images(ImageIds=ids)),
    "ListImagesInRecycleBin": ("ami", lambda ec2, ids: ec2.list_images_in_recycle_bin(ImageIds=ids)),
    "DescribeSnapshots": ("snap", lambda ec2, ids: ec2.describe_snapshots(SnapshotIds=ids)),
    "ListSnapshotsInRecycleBin": ("snap", lambda ec2, ids: ec2.list_snapshots_in_recycle_bin(SnapshotIds=ids)),
    "DescribeLockedSnapshots": ("snap", lambda ec2, ids: ec2.describe_locked_snapshots(SnapshotIds=ids)),
    "DescribeInstances": ("i", lambda ec2, ids: ec2.describe_instances(InstanceIds=ids)),
    "DescribeInstanceStatus": ("i", lambda ec2, ids: ec2.describe_instance_status(InstanceIds=ids)),
    "StopInstances": ("i", lambda ec2, ids: ec2.stop_instances(InstanceIds=ids)),
    "StartInstances": ("i", lambda ec2, ids: ec2.start_instances(InstanceIds=ids)),
    "TerminateInstances": ("i", lambda ec2, ids: ec2.terminate_instances(InstanceIds=ids)),
    "RebootInstances": ("i", lambda ec2, ids: ec2.reboot_instances(InstanceIds=ids)),
    "CreateTags": ("ami", lambda ec2, ids: ec2.create_tags(Resources=ids, Tags=TAGS)),
    "DeleteTags": ("ami", lambda ec2, ids: ec2.delete_tags(Resources=ids, Tags=TAGS)),
    "DescribeVpcs": ("vpc", lambda ec2, ids: ec2.describe_vpcs(VpcIds=ids)),
    "DescribeSubnets": ("subnet", lambda ec2, ids: ec2.describe_subnets(SubnetIds=ids)),
    "DescribeSecurityGroups": ("sg", lambda ec2, ids: ec2.describe_security_groups(GroupIds=ids)),
    "DescribeImportSnapshotTasks": (
        "import-snap",
        lambda ec2, ids: ec2.describe_import_snapshot_tasks(ImportTaskIds=ids),
    ),
}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(Path(tmp_path_factory.mktemp("ids"))) as running:
        yield running


@pytest.mark.parametrize("name", CALLS)
def test_every_id_of_the_wrong_form_is_named(ec2: Any, name: str) -> None:
    prefix, call = CALLS[name]
    bad = [f"{prefix}-xyz", f"{prefix}-12"]
    with pytest.raises(ClientError, match=f"{prefix}-xyz") as refused:
        call(ec2, [bad[0], f"{prefix}-{7:017x}", bad[1]])
    assert refused.value.response["Error"]["Code"].endswith("Malformed") and bad_ids(refused) == ", ".join(bad)


@pytest.mark.parametrize("name", CALLS)
def test_every_id_that_names_nothing_is_named(ec2: Any, name: str) -> None:
    prefix, call = CALLS[name]
    missing = [f"{prefix}-{number:017x}" for number in (1, 2, 3)]
    with pytest.raises(ClientError, match=missing[0]) as refused:
        call(ec2, missing)
    assert bad_ids(refused) == ", ".join(missing)


def test_of_a_map_every_snapshot_that_is_not_there_is_named(edge: Edge, ec2: Any) -> None:
    there = new_snapshot(edge)
    missing = [f"snap-{number:017x}" for number in (1, 2)]
    devices = [
        {"DeviceName": f"/dev/sd{letter}", "Ebs": {"SnapshotId": snapshot_id}}
        for letter, snapshot_id in zip("abc", [there, *missing], strict=True)
    ]
    with pytest.raises(ClientError, match=r"InvalidSnapshot\.NotFound") as refused:
        ec2.register_image(
            Name="three", RootDeviceName="/dev/sda", VirtualizationType="hvm", BlockDeviceMappings=devices
        )
    assert bad_ids(refused) == ", ".join(missing)


def test_of_tagged_resources_of_several_kinds_all_that_are_wrong_are_named(ec2: Any) -> None:
    with pytest.raises(ClientError) as refused:
        ec2.create_tags(Resources=["ami-1", "snap-2", "nothing-3"], Tags=TAGS)
    assert (refused.value.response["Error"]["Code"], bad_ids(refused)) == ("InvalidID", "nothing-3")
    with pytest.raises(ClientError, match=r"Invalid id: .ami-1.") as refused:
        ec2.create_tags(Resources=["ami-1", "snap-2"], Tags=TAGS)
    assert bad_ids(refused) == "ami-1, snap-2"
