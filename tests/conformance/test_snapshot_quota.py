"""Every way to make a snapshot is bounded by the account's quota, with the service's own word for it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import TINY, make_image, make_snapshot
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

STOPPED = (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED)
SNAPSHOTS = 2


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge whose accounts may have two snapshots; its own has them: an image's, and a binned one would count too."""
    with open_services(tmp_path_factory.mktemp("edge") / "data", snapshots_max=SNAPSHOTS) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


def test_one_snapshot_more_is_refused_whichever_way_it_is_made(edge: Edge, ec2: Any) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    image = make_image(edge.services, owner)
    launched = ec2.run_instances(ImageId=image.id, InstanceType=TINY, MinCount=1, MaxCount=1)["Instances"][0]
    with edge.services.database.write() as c:
        for event in STOPPED:
            instances.set_state(c, launched["InstanceId"], event, now=edge.services.now())
    snapshot = image.devices[0].snapshot_id
    (volume,) = ec2.describe_volumes()["Volumes"]
    make_snapshot(edge.services, owner, is_internal=True)  # the converted root of a bundle: never counted
    make_snapshot(edge.services, owner)

    copy = {"SourceRegion": "us-east-1"}
    ways = [
        (ec2.create_snapshot, {"VolumeId": volume["VolumeId"]}),
        (ec2.create_snapshots, {"InstanceSpecification": {"InstanceId": launched["InstanceId"]}}),
        (ec2.create_image, {"InstanceId": launched["InstanceId"], "Name": "one more"}),
        (ec2.copy_snapshot, {"SourceSnapshotId": snapshot, **copy}),
        (ec2.copy_image, {"SourceImageId": image.id, "Name": "one more", **copy}),
    ]
    for call, parameters in ways:
        for is_dry in (False, True):
            with pytest.raises(ClientError) as caught:
                call(**parameters, DryRun=is_dry)
            error = caught.value.response["Error"]
            assert error["Code"] == "SnapshotLimitExceeded", parameters
            assert error["Message"] == "The account has 2 snapshots in this region and may have 2."
    with closing(edge.client("ebs")) as ebs, pytest.raises(ClientError) as caught:
        ebs.start_snapshot(VolumeSize=1)
    assert caught.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    assert dict(caught.value.response)["Reason"] == "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"
    assert len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]) == SNAPSHOTS

    (other,) = [
        each for each in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] if each["SnapshotId"] != snapshot
    ]
    ec2.delete_snapshot(SnapshotId=other["SnapshotId"])
    assert ec2.copy_snapshot(SourceSnapshotId=snapshot, **copy)["SnapshotId"]
