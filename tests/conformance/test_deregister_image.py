"""DeregisterImage as stock boto3 asks for it: what ends, what stays, and what becomes of the snapshots."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.server.edge import Edge
from tests.support.publisher import (
    ROOT,
    another_client,
    described,
    new_snapshot,
    publishing_edge,
    refused,
    register,
)

pytestmark = pytest.mark.proves("ec2", "DeregisterImage", "DeleteSnapshot")

AT_ONCE = 20


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("deregister")) as running:
        yield running


def volumes(*snapshot_ids: str) -> list[dict[str, Any]]:
    """A map of one volume of each."""
    names = [ROOT, "/dev/sdf", "/dev/sdg", "/dev/sdh"]
    return [
        {"DeviceName": name, "Ebs": {"SnapshotId": snapshot_id}}
        for name, snapshot_id in zip(names, snapshot_ids, strict=False)
    ]


def there(ec2: Any, snapshot_id: str) -> bool:
    return bool(ec2.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": [snapshot_id]}])["Snapshots"])


def test_the_first_call_ends_the_image_and_the_second_says_so(edge: Edge, ec2: Any) -> None:
    image_id = register(ec2, new_snapshot(edge), "once")
    assert refused(ec2.deregister_image, ImageId=image_id, DryRun=True)[0] == "DryRunOperation"
    assert described(ec2, image_id)["State"] == "available"
    answer = ec2.deregister_image(ImageId=image_id)
    assert answer["Return"] is True and not answer.get("DeleteSnapshotResults")
    gone = ("InvalidAMIID.Unavailable", f"The image id '[{image_id}]' is no longer available")
    assert refused(ec2.deregister_image, ImageId=image_id) == gone
    assert refused(ec2.run_instances, ImageId=image_id, MinCount=1, MaxCount=1) == gone
    assert ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": ["once"]}])["Images"] == []


@pytest.mark.parametrize(
    ("image_id", "code", "text"),
    [
        ("foo", "InvalidAMIID.Malformed", 'Invalid id: "foo" (expecting "ami-...")'),
        ("snap-12345678", "InvalidAMIID.Malformed", 'Invalid id: "snap-12345678" (expecting "ami-...")'),
        ("ami-12345678", "InvalidAMIID.NotFound", "The image id '[ami-12345678]' does not exist"),
        ("ami-0123456789abcdef0", "InvalidAMIID.NotFound", "The image id '[ami-0123456789abcdef0]' does not exist"),
    ],
)
def test_an_id_that_is_none_has_its_code_and_text(ec2: Any, image_id: str, code: str, text: str) -> None:
    assert refused(ec2.deregister_image, ImageId=image_id) == (code, text)


def test_only_the_owner_deregisters_and_sharers_lose_the_image(edge: Edge, ec2: Any) -> None:
    image_id = register(ec2, new_snapshot(edge), "shared")
    with another_client(edge) as stranger:
        denied = ("AuthFailure", f"Not authorized for image:{image_id}")
        assert refused(stranger.deregister_image, ImageId=image_id) == denied
        ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": stranger.account_id}]})
        assert refused(stranger.deregister_image, ImageId=image_id) == denied
        assert described(stranger, image_id)["State"] == "available"
        ec2.deregister_image(ImageId=image_id)
        assert stranger.describe_images()["Images"] == []
        assert refused(stranger.run_instances, ImageId=image_id, MinCount=1, MaxCount=1)[0] in (
            "AuthFailure",
            "InvalidAMIID.Unavailable",
        )


def test_snapshots_stay_unless_the_call_wants_them_deleted(edge: Edge, ec2: Any) -> None:
    for wanted in (None, False):
        snapshot_id = new_snapshot(edge)
        image_id = register(ec2, snapshot_id, f"kept {wanted}")
        words = {} if wanted is None else {"DeleteAssociatedSnapshots": wanted}
        assert not ec2.deregister_image(ImageId=image_id, **words).get("DeleteSnapshotResults")
        assert there(ec2, snapshot_id)
        ec2.delete_snapshot(SnapshotId=snapshot_id)


def test_each_snapshot_has_its_return_code(edge: Edge, ec2: Any) -> None:
    alone, shared, attached = (new_snapshot(edge) for _ in range(3))
    register(ec2, shared, "other")
    image_id = register(ec2, alone, "many", BlockDeviceMappings=volumes(alone, shared, attached, alone))
    holder = register(ec2, attached, "holder")
    run = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
    ec2.run_instances(ImageId=holder, **run)
    ec2.deregister_image(ImageId=holder)
    answer = ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    assert answer["Return"] is True
    assert answer["DeleteSnapshotResults"] == [
        {"SnapshotId": alone, "ReturnCode": "success"},
        {"SnapshotId": shared, "ReturnCode": "skipped"},
        {"SnapshotId": attached, "ReturnCode": "client-error"},
    ]
    assert [there(ec2, snapshot_id) for snapshot_id in (alone, shared, attached)] == [False, True, True]
    code, text = refused(ec2.delete_snapshot, SnapshotId=attached)
    assert code == "InvalidSnapshot.InUse" and f"The snapshot {attached} is currently in use by vol-" in text


def test_instances_do_not_notice(edge: Edge, ec2: Any) -> None:
    image_id = register(ec2, new_snapshot(edge), "launched")
    (made,) = ec2.run_instances(ImageId=image_id, InstanceType="amiable.tiny", MinCount=1, MaxCount=1)["Instances"]
    ec2.deregister_image(ImageId=image_id)
    (reservation,) = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"]
    (instance,) = reservation["Instances"]
    assert (instance["ImageId"], instance["State"]["Name"]) == (image_id, "pending")


def test_once_deregistered_the_snapshot_goes_every_time(edge: Edge, ec2: Any) -> None:
    with closing(edge.client("ebs")) as ebs:
        snapshots = [new_snapshot(edge, ebs) for _ in range(AT_ONCE)]
    for number, snapshot_id in enumerate(snapshots):
        image_id = register(ec2, snapshot_id, f"short-lived {number}")
        code, text = refused(ec2.delete_snapshot, SnapshotId=snapshot_id)
        assert (code, text) == (
            "InvalidSnapshot.InUse",
            f"The snapshot {snapshot_id} is currently in use by {image_id}",
        )
        ec2.deregister_image(ImageId=image_id)
        ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert not any(there(ec2, snapshot_id) for snapshot_id in snapshots)
