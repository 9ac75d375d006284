"""Images, snapshots and tags as stock boto3 asks for them: its serialiser, its parsers, its waiters, and paginators."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from amiable.model.units import BLOCK_BYTES
from tests.server.edge import Edge
from tests.support.services import make_account
from tests.support.work import run_jobs

SOON = {"Delay": 0, "MaxAttempts": 2}


@pytest.fixture(scope="module")
def stranger(edge: Edge) -> Iterator[Any]:
    """A second account's client."""
    account, _ = make_account(edge.services, "stranger")
    keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
    with closing(edge.client("ec2", **keys)) as client:
        client.account_id = account.account_id
        yield client


@pytest.fixture(scope="module")
def snapshot_id(edge: Edge, ec2: Any) -> str:
    """A disk that was put into a bucket and imported."""
    with closing(edge.client("s3")) as s3:
        s3.create_bucket(Bucket="disks")
        s3.put_object(Bucket="disks", Key="disk.raw", Body=b"\x07" * BLOCK_BYTES * 3)
    container = {"Format": "raw", "UserBucket": {"S3Bucket": "disks", "S3Key": "disk.raw"}}
    task = ec2.import_snapshot(DiskContainer=container, Description="the disk")
    assert task["SnapshotTaskDetail"]["Status"] == "active"
    run_jobs(edge.services)
    ec2.get_waiter("snapshot_imported").wait(ImportTaskIds=[task["ImportTaskId"]], WaiterConfig=SOON)
    (done,) = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task["ImportTaskId"]])["ImportSnapshotTasks"]
    found = str(done["SnapshotTaskDetail"]["SnapshotId"])
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[found], WaiterConfig=SOON)
    return found


def register(ec2: Any, snapshot_id: str, name: str, **words: Any) -> str:
    root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id, "VolumeType": "gp3"}}
    known = {"Architecture": "x86_64", "VirtualizationType": "hvm", "RootDeviceName": "/dev/xvda", "EnaSupport": True}
    return str(ec2.register_image(Name=name, BlockDeviceMappings=[root], **{**known, **words})["ImageId"])


def refused(call: Any, **parameters: Any) -> tuple[str, int]:
    """Code and status of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.proves(
    "ec2", "RegisterImage", "DescribeImages", "ImportSnapshot", "DescribeImportSnapshotTasks", "DescribeSnapshots"
)
def test_an_image_is_available_and_described_in_boto3s_words(ec2: Any, snapshot_id: str) -> None:
    tags = [{"ResourceType": "image", "Tags": [{"Key": "Name", "Value": "web"}]}]
    image_id = register(ec2, snapshot_id, "described", Description="<&> é", BootMode="uefi", TagSpecifications=tags)
    ec2.get_waiter("image_available").wait(ImageIds=[image_id], WaiterConfig=SOON)
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    assert image["BlockDeviceMappings"] == [
        {
            "DeviceName": "/dev/xvda",
            "Ebs": {
                "DeleteOnTermination": True,
                "SnapshotId": snapshot_id,
                "VolumeSize": 1,
                "VolumeType": "gp3",
                "Encrypted": False,
            },
        }
    ]
    assert (image["State"], image["Public"], image["ImageType"]) == ("available", False, "machine")
    assert (image["Description"], image["BootMode"], image["EnaSupport"]) == ("<&> é", "uefi", True)
    assert image["Tags"] == [{"Key": "Name", "Value": "web"}]
    assert image["CreationDate"].endswith("Z") and len(image["CreationDate"]) == 24
    assert "StateReason" not in image and "KernelId" not in image


@pytest.mark.proves("ec2", "ModifyImageAttribute", "DescribeImageAttribute")
def test_sharing_in_both_styles(edge: Edge, ec2: Any, stranger: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "shared")
    assert refused(stranger.describe_images, ImageIds=[image_id]) == ("InvalidAMIID.NotFound", 400)
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": stranger.account_id}]})
    assert [i["ImageId"] for i in stranger.describe_images(ExecutableUsers=["self"])["Images"]] == [image_id]
    ec2.modify_image_attribute(
        ImageId=image_id, Attribute="launchPermission", OperationType="remove", UserIds=[stranger.account_id]
    )
    assert stranger.describe_images()["Images"] == []
    ec2.disable_image_block_public_access()
    ec2.modify_image_attribute(ImageId=image_id, Attribute="launchPermission", OperationType="add", UserGroups=["all"])
    answer = ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert answer["LaunchPermissions"] == [{"Group": "all"}]
    (seen,) = stranger.describe_images(Filters=[{"Name": "is-public", "Values": ["true"]}])["Images"]
    assert seen["ImageId"] == image_id and seen["Public"] is True
    assert refused(stranger.deregister_image, ImageId=image_id) == ("AuthFailure", 401)
    assert refused(stranger.modify_image_attribute, ImageId=image_id, Description={"Value": "mine"})[0] == "AuthFailure"
    ec2.modify_image_attribute(ImageId=image_id, Description={"Value": "ours"})
    assert ec2.describe_image_attribute(ImageId=image_id, Attribute="description")["Description"] == {"Value": "ours"}


@pytest.mark.proves("ec2", "DescribeImages")
def test_the_paginator_walks_every_image(ec2: Any, snapshot_id: str) -> None:
    made = {register(ec2, snapshot_id, f"page {number}") for number in range(7)}
    pages = list(
        ec2.get_paginator("describe_images").paginate(
            Owners=["self"], Filters=[{"Name": "name", "Values": ["page ?"]}], PaginationConfig={"PageSize": 3}
        )
    )
    assert [len(page["Images"]) for page in pages] == [3, 3, 1]
    assert {image["ImageId"] for page in pages for image in page["Images"]} == made
    assert refused(ec2.describe_images, MaxResults=3, NextToken="nonsense")[0] == "InvalidNextToken"


@pytest.mark.proves("ec2", "DeregisterImage", "DeleteSnapshot", "DescribeSnapshots")
def test_an_image_ends_and_its_snapshot_may_go(edge: Edge, ec2: Any) -> None:
    with closing(edge.client("ebs")) as ebs:
        fresh = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
        ebs.complete_snapshot(SnapshotId=fresh, ChangedBlocksCount=0)
    run_jobs(edge.services)
    image_id = register(ec2, fresh, "short-lived")
    with pytest.raises(ClientError, match=f"{fresh} is currently in use by {image_id}"):
        ec2.delete_snapshot(SnapshotId=fresh)
    assert ec2.deregister_image(ImageId=image_id)["Return"] is True
    ec2.delete_snapshot(SnapshotId=fresh)
    assert refused(ec2.deregister_image, ImageId=image_id) == ("InvalidAMIID.Unavailable", 400)
    assert refused(ec2.describe_snapshots, SnapshotIds=[fresh]) == ("InvalidSnapshot.NotFound", 400)
    with pytest.raises(WaiterError):
        ec2.get_waiter("image_available").wait(ImageIds=[image_id], WaiterConfig=SOON)


@pytest.mark.proves("ec2", "ImportSnapshot", "DescribeImportSnapshotTasks")
def test_the_waiter_of_a_bad_import_ends_at_once_and_the_message_names_the_disk(edge: Edge, ec2: Any) -> None:
    with closing(edge.client("s3")) as s3:
        s3.create_bucket(Bucket="bad-disks")
        s3.put_object(Bucket="bad-disks", Key="disk.qcow2", Body=b"QFI\xfb\0\0\0\x03" + bytes(4088))
    container = {"Format": "RAW", "Url": "s3://bad-disks/disk.qcow2"}
    task = ec2.import_snapshot(DiskContainer=container)["ImportTaskId"]
    run_jobs(edge.services)
    with pytest.raises(WaiterError, match="terminal failure"):
        ec2.get_waiter("snapshot_imported").wait(ImportTaskIds=[task], WaiterConfig=SOON)
    (ended,) = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task])["ImportSnapshotTasks"]
    assert "qcow2" in ended["SnapshotTaskDetail"]["StatusMessage"]
    assert ec2.describe_snapshots(Filters=[{"Name": "status", "Values": ["pending", "error"]}])["Snapshots"] == []


@pytest.mark.proves("ec2", "CreateTags", "DeleteTags", "DescribeTags")
def test_tags_through_boto3(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "tagged")
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    ec2.delete_tags(Resources=[image_id], Tags=[{"Key": "a", "Value": ""}])
    rows = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [image_id]}])["Tags"]
    assert sorted((row["Key"], row["Value"], row["ResourceType"]) for row in rows) == [
        ("a", "1", "image"),
        ("b", "", "image"),
    ]
    assert ec2.describe_images(Filters=[{"Name": "tag:a", "Values": ["1"]}])["Images"][0]["ImageId"] == image_id
    ec2.delete_tags(Resources=[image_id])
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [image_id]}])["Tags"] == []


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"),
    [
        ("describe_images", {"ImageIds": ["ami-nonsense"]}, ("InvalidAMIID.Malformed", 400)),
        ("describe_images", {"ImageIds": ["ami-12345678"]}, ("InvalidAMIID.NotFound", 400)),
        ("describe_images", {"Owners": ["nobody"]}, ("InvalidUserID.Malformed", 400)),
        ("describe_images", {"Filters": [{"Name": "x", "Values": ["y"]}]}, ("InvalidParameterValue", 400)),
        ("describe_images", {"DryRun": True}, ("DryRunOperation", 412)),
        ("deregister_image", {"ImageId": "ami-12345678"}, ("InvalidAMIID.NotFound", 400)),
        ("register_image", {"Name": "a+b"}, ("InvalidAMIName.Malformed", 400)),
        ("register_image", {"Name": "nothing"}, ("MissingParameter", 400)),
        ("register_image", {"Name": "none", "ImageLocation": "no-bucket/x.xml"}, ("InvalidManifest", 400)),
        ("describe_image_attribute", {"ImageId": "ami-12345678", "Attribute": "description"}, ("InvalidAMIID.NotFound", 400)),
        ("delete_snapshot", {"SnapshotId": "snap-12345678"}, ("InvalidSnapshot.NotFound", 400)),
        ("describe_snapshots", {"SnapshotIds": ["vol-12345678"]}, ("InvalidSnapshotID.Malformed", 400)),
        ("describe_import_snapshot_tasks", {"ImportTaskIds": ["import-snap-12345678"]}, ("InvalidConversionTaskId", 400)),
        ("import_snapshot", {"DiskContainer": {"Format": "VMDK", "Url": "s3://a/b"}}, ("UnsupportedOperation", 400)),
        ("create_tags", {"Resources": ["i-12345678"], "Tags": [{"Key": "a"}]}, ("InvalidInstanceID.NotFound", 400)),
        ("create_tags", {"Resources": ["x"], "Tags": [{"Key": "a"}]}, ("InvalidID", 400)),
        ("describe_tags", {"MaxResults": 3}, ("InvalidParameterValue", 400)),
    ],
)  # fmt: skip
def test_codes_and_statuses_are_ec2s(
    ec2: Any, operation: str, parameters: dict[str, Any], expected: tuple[str, int]
) -> None:
    assert refused(getattr(ec2, operation), **parameters) == expected
