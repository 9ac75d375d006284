"""Several regions in one installation: one endpoint, told apart by the credential's scope, and nothing of one seen in another."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

REGIONS = ("us-east-1", "eu-west-1")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    zones = ("us-east-1a", "eu-west-1a", "eu-west-1b")
    with open_services(tmp_path_factory.mktemp("regions") / "data", regions=REGIONS, zones=zones) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(scope="module")
def here(edge: Edge) -> Iterator[Any]:
    with closing(edge.client("ec2")) as client:
        yield client


@pytest.fixture(scope="module")
def there(edge: Edge) -> Iterator[Any]:
    with closing(edge.client("ec2", region_name="eu-west-1")) as client:
        yield client


def make_image(edge: Edge, region: str, name: str) -> tuple[str, str]:
    """Ids of an image and its snapshot in ``region``."""
    with (
        closing(edge.client("s3", region_name=region)) as s3,
        closing(edge.client("ec2", region_name=region)) as ec2,
    ):
        location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=f"disks-{region}", **location)
        s3.put_object(Bucket=f"disks-{region}", Key="disk.raw", Body=b"disk" * 1024)
        container = {"Format": "raw", "UserBucket": {"S3Bucket": f"disks-{region}", "S3Key": "disk.raw"}}
        task = ec2.import_snapshot(DiskContainer=container)["ImportTaskId"]
        run_jobs(edge.services)
        (done,) = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task])["ImportSnapshotTasks"]
        snapshot_id = done["SnapshotTaskDetail"]["SnapshotId"]
        devices = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id}}]
        image_id = ec2.register_image(
            Name=name, RootDeviceName="/dev/xvda", VirtualizationType="hvm", BlockDeviceMappings=devices
        )["ImageId"]
        return image_id, snapshot_id


@pytest.mark.proves("ec2", "DescribeRegions", "DescribeAvailabilityZones")
def test_regions_and_zones_are_told_as_they_are_set(edge: Edge, here: Any, there: Any) -> None:
    for client in (here, there):
        assert {region["RegionName"] for region in client.describe_regions()["Regions"]} == set(REGIONS)
    (region,) = here.describe_regions(RegionNames=["eu-west-1"])["Regions"]
    assert region["OptInStatus"] == "opt-in-not-required"
    with pytest.raises(ClientError, match=r"InvalidParameterValue.*Invalid region: \[mars-1\]"):
        here.describe_regions(RegionNames=["mars-1"])
    zones = there.describe_availability_zones()["AvailabilityZones"]
    assert [(zone["ZoneName"], zone["ZoneId"]) for zone in zones] == [
        ("eu-west-1a", "euw1-az1"),
        ("eu-west-1b", "euw1-az2"),
    ]
    assert [zone["ZoneName"] for zone in here.describe_availability_zones()["AvailabilityZones"]] == ["us-east-1a"]


@pytest.mark.proves("ec2", "RegisterImage", "DescribeImages", "DescribeSnapshots", "CreateTags", "RunInstances")
def test_what_is_in_one_region_is_not_in_another(edge: Edge, here: Any, there: Any) -> None:
    mine, my_snapshot = make_image(edge, "us-east-1", "same name")
    other, other_snapshot = make_image(edge, "eu-west-1", "same name")
    assert [image["ImageId"] for image in here.describe_images(Owners=["self"])["Images"]] == [mine]
    assert [image["ImageId"] for image in there.describe_images(Owners=["self"])["Images"]] == [other]
    assert [each["SnapshotId"] for each in there.describe_snapshots(OwnerIds=["self"])["Snapshots"]] == [other_snapshot]
    with pytest.raises(ClientError, match=r"InvalidAMIID.NotFound.*The image id"):
        there.describe_images(ImageIds=[mine])
    with pytest.raises(ClientError, match=r"InvalidAMIID.NotFound"):
        there.create_tags(Resources=[mine], Tags=[{"Key": "a", "Value": "b"}])
    with pytest.raises(ClientError, match=r"InvalidAMIID.NotFound"):
        there.run_instances(ImageId=mine, MinCount=1, MaxCount=1, InstanceType="t2.nano")
    with pytest.raises(ClientError, match=r"InvalidSnapshot.NotFound"):
        there.delete_snapshot(SnapshotId=my_snapshot)


@pytest.mark.proves("ec2", "DescribeVpcs", "DescribeSubnets")
def test_each_region_has_a_default_network_of_its_own(edge: Edge, here: Any, there: Any) -> None:
    vpcs = {client.describe_vpcs()["Vpcs"][0]["VpcId"] for client in (here, there)}
    assert len(vpcs) == 2
    subnets = there.describe_subnets()["Subnets"]
    assert sorted(subnet["AvailabilityZone"] for subnet in subnets) == ["eu-west-1a", "eu-west-1b"]


def test_a_scope_of_no_region_of_the_installation_is_refused(edge: Edge) -> None:
    with closing(edge.client("ec2", region_name="mars-1")) as lost:
        with pytest.raises(ClientError, match=r"Credential should be scoped to a valid region.*us-east-1, eu-west-1"):
            lost.describe_images()


def test_a_bucket_is_where_it_was_made_and_read_from_everywhere(edge: Edge) -> None:
    with closing(edge.client("s3")) as s3, closing(edge.client("s3", region_name="eu-west-1")) as abroad:
        configuration = {"LocationConstraint": "eu-west-1"}
        s3.create_bucket(Bucket="made-from-here", CreateBucketConfiguration=configuration)
        assert abroad.get_bucket_location(Bucket="made-from-here")["LocationConstraint"] == "eu-west-1"
        with pytest.raises(ClientError, match="IllegalLocationConstraint"):
            abroad.create_bucket(Bucket="b-4711", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
