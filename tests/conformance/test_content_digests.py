"""Content digests of images: equal in every region and installation, launched by, and told by the own API."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from amiable.model.units import BLOCK_BYTES
from tests.server.edge import Edge
from tests.support.publisher import another_client, publishing_edge, refused, register
from tests.support.work import run_jobs

REGIONS = ("us-east-1", "eu-west-1")
ZONES = ("us-east-1a", "eu-west-1a")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("edge"), regions=REGIONS, zones=ZONES) as running:
        yield running


def snapshot_of(edge: Edge, content: bytes, region: str = "us-east-1") -> str:
    """A snapshot of 1 GiB that begins with ``content``, imported from a bucket."""
    name = f"disks-{region}-{len(content)}-{content[0]}"
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with ExitStack() as stack:
        s3, ec2 = (stack.enter_context(closing(edge.client(each, region_name=region))) for each in ("s3", "ec2"))
        if name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=name, **location)
        s3.put_object(Bucket=name, Key="disk.raw", Body=content)
        task = ec2.import_snapshot(
            DiskContainer={"Format": "raw", "UserBucket": {"S3Bucket": name, "S3Key": "disk.raw"}}
        )["ImportTaskId"]
        run_jobs(edge.services)
        (done,) = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task])["ImportSnapshotTasks"]
        return str(done["SnapshotTaskDetail"]["SnapshotId"])


def call(edge: Edge, path: str, region: str = "us-east-1") -> tuple[int, Any]:
    target = f"/amiable/v1/{path}"
    answer = edge.send("GET", target, headers=edge.sign("GET", target, service="amiable", region=region))
    return answer.status, json.loads(answer.body)


def digest_of(edge: Edge, image_id: str, region: str = "us-east-1") -> str:
    status, answer = call(edge, f"images/{image_id}", region)
    assert status == 200, answer
    return str(answer["ContentDigest"])


DISK = b"\5" * (3 * BLOCK_BYTES) + b"tail" * 128


def test_equal_content_has_one_digest_in_every_region_and_installation(edge: Edge, ec2: Any, tmp_path: Path) -> None:
    here = register(ec2, snapshot_of(edge, DISK), "here", Description="one")
    with closing(edge.client("ec2", region_name="eu-west-1")) as european:
        there = register(european, snapshot_of(edge, DISK, "eu-west-1"), "there")
    found = digest_of(edge, here)
    assert found.startswith("sha256:") and len(found) == 71
    assert digest_of(edge, there, "eu-west-1") == found
    with publishing_edge(tmp_path, compression="none") as elsewhere, closing(elsewhere.client("ec2")) as client:
        assert digest_of(elsewhere, register(client, snapshot_of(elsewhere, DISK), "elsewhere")) == found


def test_another_block_or_attribute_is_another_digest(edge: Edge, ec2: Any) -> None:
    snapshot_id = snapshot_of(edge, DISK)
    other_id = snapshot_of(edge, DISK[:-1] + b"L")
    plain = digest_of(edge, register(ec2, snapshot_id, "plain"))
    others = [
        register(ec2, other_id, "another byte"),
        register(ec2, snapshot_id, "another firmware", BootMode="uefi"),
        register(ec2, snapshot_id, "another tpm", BootMode="uefi", TpmSupport="v2.0"),
        register(ec2, snapshot_id, "another architecture", Architecture="i386"),
        register(ec2, snapshot_id, "another network", EnaSupport=True),
    ]
    digests = {digest_of(edge, image_id) for image_id in others}
    assert len(digests) == len(others) and plain not in digests
    assert digest_of(edge, register(ec2, snapshot_id, "plain again", Description="same")) == plain


def test_a_changed_attribute_changes_the_digest(edge: Edge, ec2: Any) -> None:
    snapshot_id = snapshot_of(edge, DISK)
    image_id = register(ec2, snapshot_id, "changing")
    before = digest_of(edge, image_id)
    ec2.modify_image_attribute(ImageId=image_id, Description={"Value": "changed"})
    assert digest_of(edge, image_id) == before
    ec2.modify_image_attribute(ImageId=image_id, ImdsSupport={"Value": "v2.0"})
    assert (
        digest_of(edge, image_id) == digest_of(edge, register(ec2, snapshot_id, "imds", ImdsSupport="v2.0")) != before
    )


def test_registering_equal_content_says_which_image_it_equals(edge: Edge, ec2: Any) -> None:
    snapshot_id = snapshot_of(edge, b"\6" * BLOCK_BYTES)
    first, second = register(ec2, snapshot_id, "equal 1"), register(ec2, snapshot_id, "equal 2")
    assert call(edge, f"images/{second}")[1]["EqualTo"] == [first]
    assert call(edge, f"images/{first}")[1]["EqualTo"] == [second]
    digest = digest_of(edge, first)
    status, found = call(edge, f"content-digests/{digest}")
    assert (status, [each["ImageId"] for each in found["Images"]]) == (200, [first, second])
    assert call(edge, "content-digests/sha256:12")[1]["Code"] == "InvalidParameterValue"
    assert call(edge, "images/ami-12345678")[1]["Code"] == "InvalidAMIID.NotFound"
    assert call(edge, "images/i-12345678")[1]["Code"] == "InvalidAMIID.Malformed"


@pytest.mark.proves("ec2", "RunInstances")
def test_a_launch_takes_an_image_by_its_digest(edge: Edge, ec2: Any) -> None:
    image_id = register(ec2, snapshot_of(edge, b"\7" * BLOCK_BYTES), "by digest")
    name = f"resolve:digest:{digest_of(edge, image_id)}"
    launch = {"MinCount": 1, "MaxCount": 1, "InstanceType": "amiable.tiny"}
    (instance,) = ec2.run_instances(ImageId=name, **launch)["Instances"]
    assert instance["ImageId"] == image_id
    with another_client(edge) as stranger:
        missing = ("InvalidAMIID.NotFound", f"No image that you may launch has the content digest {name[15:]}")
        assert refused(stranger.run_instances, ImageId=name, **launch) == missing
        ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": stranger.account_id}]})
        (instance,) = stranger.run_instances(ImageId=name, **launch)["Instances"]
        assert instance["ImageId"] == image_id
    ec2.deregister_image(ImageId=image_id)
    assert refused(ec2.run_instances, ImageId=name, **launch) == missing
    assert refused(ec2.describe_images, ImageIds=[name])[0] == "InvalidAMIID.Malformed"
