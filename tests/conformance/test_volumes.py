"""Volumes as stock boto3 makes, moves and changes them; every machine of these tests is a row, and its volumes' files are bytes."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.api.products import Asked, NewProduct, create_product
from amiable.database import instances, product_codes, snapshots
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, ProductCodeType
from amiable.rules import volume as volume_rules
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image, make_snapshot, run_one
from tests.server.edge import Edge, running_edge
from tests.support.clock import Clock, sign_by
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

ZONE = "us-east-1a"
ABSENT = "vol-0123456789abcdef0"


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _signed_by_the_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_by(clock, monkeypatch)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("edge") / "data", clock=clock, zones=(ZONE, "us-east-1b")) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(scope="module")
def owner(edge: Edge) -> Principal:
    return Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")


@pytest.fixture
def stopped(edge: Edge, owner: Principal) -> Iterator[str]:
    yield from an_instance(edge, owner, Event.BOOTED, Event.STOP_ASKED, Event.STOPPED)


@pytest.fixture
def running(edge: Edge, owner: Principal) -> Iterator[str]:
    yield from an_instance(edge, owner, Event.BOOTED)


def an_instance(edge: Edge, owner: Principal, *events: Event) -> Iterator[str]:
    """An instance that the events happened to, over at the end."""
    instance_id = run_one(edge.services, owner, make_image(edge.services, owner))
    happen(edge, instance_id, *events)
    yield instance_id
    happen(edge, instance_id, Event.TERMINATE_ASKED, Event.TERMINATED)


def happen(edge: Edge, instance_id: str, *events: Event) -> None:
    for event in events:
        with edge.services.database.write() as c:
            instances.set_state(c, instance_id, event, now=edge.services.now())


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    """Code and message of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def make(ec2: Any, **parameters: Any) -> str:
    return str(ec2.create_volume(**{"AvailabilityZone": ZONE, "Size": 1, **parameters})["VolumeId"])


def one(ec2: Any, volume_id: str) -> dict[str, Any]:
    (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    return dict(found)


# ── made ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "CreateVolume", "DescribeVolumes")
def test_an_empty_volume_is_creating_then_available_with_the_tags_of_its_birth(ec2: Any) -> None:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}]
    made = ec2.create_volume(AvailabilityZone=ZONE, Size=3, TagSpecifications=tags)
    del made["ResponseMetadata"]
    assert made.pop("State") == "creating"
    found = one(ec2, made["VolumeId"])
    assert found.pop("State") == "available"
    assert found.pop("Attachments") == made.pop("Attachments", []) == []
    assert found == made
    assert (found["VolumeType"], found["Iops"], found["Size"]) == ("gp2", 100, 3)
    assert found["SnapshotId"] == "" and found["Encrypted"] is False and found["MultiAttachEnabled"] is False
    assert found["Tags"] == [{"Key": "Name", "Value": "data"}]
    ec2.get_waiter("volume_available").wait(VolumeIds=[made["VolumeId"]])


def test_a_volume_of_a_snapshot_is_as_long_as_that_or_longer(edge: Edge, ec2: Any, owner: Principal) -> None:
    snapshot_id = make_snapshot(edge.services, owner, size_gib=8)
    made = ec2.create_volume(AvailabilityZoneId="use1-az2", SnapshotId=snapshot_id)
    assert (made["Size"], made["SnapshotId"], made["AvailabilityZone"]) == (8, snapshot_id, "us-east-1b")
    assert ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot_id, Size=20)["Size"] == 20
    assert refused(ec2.create_volume, AvailabilityZone=ZONE, SnapshotId=snapshot_id, Size=7) == (
        "InvalidParameterValue",
        f"Volume of size 7GB is smaller than snapshot '{snapshot_id}', expect size >= 8GB",
    )
    code, message = refused(ec2.delete_snapshot, SnapshotId=snapshot_id)
    assert code == "InvalidSnapshot.InUse" and made["VolumeId"] in message


def test_a_volume_of_gp3_has_its_types_rates_unless_it_asks_for_others(ec2: Any) -> None:
    plain = ec2.create_volume(AvailabilityZone=ZONE, Size=8, VolumeType="gp3")
    assert (plain["Iops"], plain["Throughput"]) == (3000, 125)
    fast = ec2.create_volume(AvailabilityZone=ZONE, Size=8, VolumeType="gp3", Iops=4000, Throughput=1000)
    assert (fast["Iops"], fast["Throughput"]) == (4000, 1000)
    assert ec2.create_volume(AvailabilityZone=ZONE, Size=4, VolumeType="io2", Iops=4000)["Iops"] == 4000


def test_the_same_token_makes_the_same_volume(ec2: Any) -> None:
    asked = {"AvailabilityZone": ZONE, "Size": 2, "ClientToken": "once"}
    first, again = ec2.create_volume(**asked), ec2.create_volume(**asked)
    assert first["VolumeId"] == again["VolumeId"] and again["State"] == "available"
    code, _ = refused(ec2.create_volume, **{**asked, "Size": 3})
    assert code == "IdempotentParameterMismatch"


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({"Size": None}, "MissingParameter", "The request must contain the parameter size/snapshot"),
        ({"AvailabilityZone": None}, "MissingParameter", "The request must contain the parameter AvailabilityZone"),
        ({"AvailabilityZone": "us-east-1z"}, "InvalidZone.NotFound", "The zone 'us-east-1z' does not exist."),
        ({"AvailabilityZoneId": "use1-az1"}, "InvalidParameterCombination", "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together."),
        ({"SnapshotId": "snap-0123456789abcdef0"}, "InvalidSnapshot.NotFound", "The snapshot 'snap-0123456789abcdef0' does not exist."),
        ({"SnapshotId": "snap-x"}, "InvalidSnapshotID.Malformed", 'Invalid id: "snap-x" (expecting "snap-...")'),
        ({"VolumeType": "gp9"}, "UnknownVolumeType", "Unsupported volume type 'gp9' for volume creation."),
        ({"VolumeType": "io1", "Size": 4}, "MissingParameter", "The parameter iops must be specified for io1 volumes."),
        ({"VolumeType": "io1", "Size": 4, "Iops": 99}, "InvalidParameterValue", "Value (99) for parameter Iops is invalid. A volume of type io1 has 100 to 64000."),
        ({"VolumeType": "io1", "Size": 4, "Iops": 201}, "InvalidParameterValue", "Iops to volume size ratio of 50.250000 is too high; maximum is 50"),
        ({"VolumeType": "io2", "Size": 4, "Iops": 4001}, "InvalidParameterValue", "Iops to volume size ratio of 1000.250000 is too high; maximum is 1000"),
        ({"VolumeType": "gp3", "Iops": 3001}, "InvalidParameterValue", "Iops to volume size ratio of 3001.000000 is too high; maximum is 500"),
        ({"VolumeType": "gp3", "Throughput": 751}, "InvalidParameterValue", "Throughput (MiBps) to iops ratio of 0.250333 is too high; maximum is 0.250000 MiBps per iops"),
        ({"VolumeType": "gp3", "Throughput": 2001}, "InvalidParameterValue", "Value (2001) for parameter Throughput is invalid. A volume of type gp3 has 125 to 2000."),
        ({"VolumeType": "gp2", "Iops": 100}, "InvalidParameterCombination", "The parameter iops is not supported for gp2 volumes."),
        ({"VolumeType": "st1", "Size": 124}, "InvalidParameterValue", "Value (124) for parameter VolumeSize is invalid. A volume of type st1 has 125 to 16384 GiB."),
        ({"VolumeType": "standard", "Size": 1025}, "InvalidParameterValue", "Value (1025) for parameter VolumeSize is invalid. A volume of type standard has 1 to 1024 GiB."),
        ({"Size": 0}, "InvalidParameterValue", "Value (0) for parameter VolumeSize is invalid. A volume of type gp2 has 1 to 16384 GiB."),
        ({"Encrypted": True}, "UnsupportedOperation", "Encrypted volumes are not supported by Amiable."),
        ({"KmsKeyId": "alias/x"}, "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set."),
        ({"MultiAttachEnabled": True}, "UnsupportedOperation", "Volumes that several instances use at once are not supported by Amiable."),
        ({"OutpostArn": "arn:x"}, "UnsupportedOperation", "The parameter OutpostArn is not supported by Amiable."),
        ({"VolumeInitializationRate": 200}, "UnsupportedOperation", "The parameter VolumeInitializationRate is not supported by Amiable."),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]}, "InvalidParameterValue", "'instance' is not a valid taggable resource type for this operation."),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(ec2: Any, parameters: dict[str, Any], code: str, message: str) -> None:
    asked = {"AvailabilityZone": ZONE, "Size": 1, **parameters}
    found = refused(ec2.create_volume, **{name: value for name, value in asked.items() if value is not None})
    assert found[0] == code and found[1].startswith(message), found


def test_a_snapshot_that_is_not_completed_makes_no_volume(edge: Edge, ec2: Any, owner: Principal) -> None:
    snapshot_id = make_snapshot(edge.services, owner, state="pending")
    assert refused(ec2.create_volume, AvailabilityZone=ZONE, SnapshotId=snapshot_id) == (
        "IncorrectState",
        f"Snapshot '{snapshot_id}' is not in the 'completed' state: it is pending.",
    )


def test_an_account_has_so_many_volumes_and_no_more(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = len(ec2.describe_volumes()["Volumes"])
    monkeypatch.setattr(volume_rules, "VOLUMES_MAX", there + 1)
    kept = ec2.create_volume(AvailabilityZone=ZONE, Size=1, ClientToken="the last")["VolumeId"]
    wanted = f"You have reached the maximum number of volumes in this region: {there + 1}."
    assert refused(ec2.create_volume, AvailabilityZone=ZONE, Size=1) == ("VolumeLimitExceeded", wanted)
    assert ec2.create_volume(AvailabilityZone=ZONE, Size=1, ClientToken="the last")["VolumeId"] == kept


def test_a_dry_run_makes_nothing(ec2: Any) -> None:
    before = len(ec2.describe_volumes()["Volumes"])
    assert refused(ec2.create_volume, AvailabilityZone=ZONE, Size=1, DryRun=True)[0] == "DryRunOperation"
    assert len(ec2.describe_volumes()["Volumes"]) == before


# ── told ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "DescribeVolumes")
def test_volumes_are_found_by_every_filter_and_told_in_pages(ec2: Any, stopped: str) -> None:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "set", "Value": "paged"}]}]
    made = [make(ec2, VolumeType="gp3", Size=size, TagSpecifications=tags) for size in range(11, 17)]
    (root,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [stopped]}])["Volumes"]

    def ids(name: str, *values: str) -> set[str]:
        filters = [{"Name": name, "Values": list(values)}]
        return {each["VolumeId"] for each in ec2.describe_volumes(Filters=filters)["Volumes"]}

    assert ids("tag:set", "paged") == set(made)
    assert ids("size", "11", "12") == set(made[:2])
    assert set(made) <= ids("volume-type", "gp3") and root["VolumeId"] not in ids("volume-type", "gp3")
    assert set(made) <= ids("status", "available") and root["VolumeId"] in ids("status", "in-use")
    assert root["VolumeId"] in ids("attachment.device", "/dev/sda1")
    assert root["VolumeId"] in ids("attachment.status", "attached")
    assert root["VolumeId"] in ids("attachment.delete-on-termination", "true")
    assert ids("snapshot-id", root["SnapshotId"]) == {root["VolumeId"]}
    assert ids("availability-zone-id", "use1-az1") >= {*made, root["VolumeId"]}
    assert ids("encrypted", "true") == set()
    paged = ec2.get_paginator("describe_volumes").paginate(
        Filters=[{"Name": "tag:set", "Values": ["paged"]}], PaginationConfig={"PageSize": 5}
    )
    pages = [[each["VolumeId"] for each in page["Volumes"]] for page in paged]
    assert [len(page) for page in pages] == [5, 1] and {each for page in pages for each in page} == set(made)
    assert refused(ec2.describe_volumes, VolumeIds=made, MaxResults=5)[0] == "InvalidParameterCombination"
    assert refused(ec2.describe_volumes, Filters=[{"Name": "colour", "Values": ["red"]}]) == (
        "InvalidParameterValue",
        "The filter 'colour' is invalid",
    )


@pytest.mark.parametrize(
    "verb",
    ["describe_volumes", "describe_volume_status", "describe_volumes_modifications"],
)
def test_ids_that_are_not_there_are_refused(ec2: Any, verb: str) -> None:
    found = refused(getattr(ec2, verb), VolumeIds=[ABSENT])
    assert found == ("InvalidVolume.NotFound", f"The volume '{ABSENT}' does not exist.")
    found = refused(getattr(ec2, verb), VolumeIds=["vol-x"])
    assert found == ("InvalidVolumeID.Malformed", 'Invalid id: "vol-x" (expecting "vol-...")')


# ── deleted ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "DeleteVolume")
def test_a_deleted_volume_is_gone_with_its_file(edge: Edge, ec2: Any) -> None:
    volume_id = make(ec2)
    folder = edge.services.data / "volumes"
    folder.mkdir(exist_ok=True)
    (folder / f"{volume_id}.qcow2").write_bytes(b"bytes")
    ec2.delete_volume(VolumeId=volume_id)
    assert one(ec2, volume_id)["State"] == "deleting"
    assert refused(ec2.delete_volume, VolumeId=volume_id) == (
        "IncorrectState",
        f"The volume '{volume_id}' is not 'available': it is deleting.",
    )
    run_jobs(edge.services)
    assert refused(ec2.describe_volumes, VolumeIds=[volume_id])[0] == "InvalidVolume.NotFound"
    assert not (folder / f"{volume_id}.qcow2").exists()


def test_a_volume_that_a_snapshot_is_being_made_of_is_deleted_after_that(
    edge: Edge, ec2: Any, owner: Principal
) -> None:
    volume_id = make(ec2)
    snapshot_id = make_snapshot(edge.services, owner, state="pending", volume_id=volume_id)
    ec2.delete_volume(VolumeId=volume_id)
    run_jobs(edge.services)
    assert one(ec2, volume_id)["State"] == "deleting"
    with edge.services.database.write() as c:
        snapshots.fail(c, snapshot_id, "over")


def test_a_volume_in_use_is_not_deleted(ec2: Any, stopped: str) -> None:
    (root,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [stopped]}])["Volumes"]
    assert refused(ec2.delete_volume, VolumeId=root["VolumeId"]) == (
        "VolumeInUse",
        f"Volume {root['VolumeId']} is currently attached to {stopped}",
    )
    assert refused(ec2.delete_volume, VolumeId=ABSENT)[0] == "InvalidVolume.NotFound"


# ── attached, detached ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "AttachVolume", "DetachVolume")
def test_a_volume_goes_to_a_stopped_instance_and_comes_back_with_its_bytes(edge: Edge, ec2: Any, stopped: str) -> None:
    volume_id = make(ec2)
    inside = edge.services.data / "instances" / stopped
    outside = edge.services.data / "volumes"
    inside.mkdir(exist_ok=True)
    outside.mkdir(exist_ok=True)
    (outside / f"{volume_id}.qcow2").write_bytes(b"bytes")
    answer = ec2.attach_volume(VolumeId=volume_id, InstanceId=stopped, Device="/dev/sdf")
    assert (answer["State"], answer["Device"], answer["InstanceId"]) == ("attaching", "/dev/sdf", stopped)
    assert answer["DeleteOnTermination"] is False
    run_jobs(edge.services)
    found = one(ec2, volume_id)
    assert found["State"] == "in-use" and found["Attachments"][0]["State"] == "attached"
    assert found["Attachments"][0]["AttachTime"] == answer["AttachTime"]
    assert (inside / f"{volume_id}.qcow2").read_bytes() == b"bytes" and list(outside.glob(f"{volume_id}*")) == []
    mapped = ec2.describe_instances(InstanceIds=[stopped])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    assert [(each["DeviceName"], each["Ebs"]["VolumeId"]) for each in mapped][1:] == [("/dev/sdf", volume_id)]
    assert refused(ec2.attach_volume, VolumeId=volume_id, InstanceId=stopped, Device="/dev/sdg") == (
        "VolumeInUse",
        f"{volume_id} is already attached to an instance",
    )
    answer = ec2.detach_volume(VolumeId=volume_id)
    assert (answer["State"], answer["Device"]) == ("detaching", "/dev/sdf")
    run_jobs(edge.services)
    assert one(ec2, volume_id)["State"] == "available" and one(ec2, volume_id)["Attachments"] == []
    assert (outside / f"{volume_id}.qcow2").read_bytes() == b"bytes" and list(inside.glob(f"{volume_id}*")) == []
    assert refused(ec2.detach_volume, VolumeId=volume_id) == (
        "IncorrectState",
        f"Volume '{volume_id}' is in the 'available' state.",
    )


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("/dev/nvme1n1", "Value (/dev/nvme1n1) for parameter device is invalid. /dev/nvme1n1 is not a valid EBS device name."),
        ("/dev/sdf1", "Value (/dev/sdf1) for parameter device is invalid. /dev/sdf1 is not a valid EBS device name."),
        ("/dev/sda1", "Invalid value '/dev/sda1' for unixDevice. Attachment point /dev/sda1 is already in use"),
        ("sda1", "Invalid value 'sda1' for unixDevice. Attachment point sda1 is already in use"),
        ("/dev/sda", "Invalid value '/dev/sda' for unixDevice. Attachment point /dev/sda is already in use"),
    ],
)  # fmt: skip
def test_a_device_name_that_is_none_or_is_taken_is_refused(ec2: Any, stopped: str, device: str, message: str) -> None:
    found = refused(ec2.attach_volume, VolumeId=make(ec2), InstanceId=stopped, Device=device)
    assert found[0] == "InvalidParameterValue" and found[1].startswith(message), found


def test_a_volume_of_another_zone_or_for_an_instance_that_passes_is_refused(
    edge: Edge, ec2: Any, owner: Principal, stopped: str
) -> None:
    far = make(ec2, AvailabilityZone="us-east-1b")
    assert refused(ec2.attach_volume, VolumeId=far, InstanceId=stopped, Device="/dev/sdf") == (
        "InvalidVolume.ZoneMismatch",
        f"The volume '{far}' is not in the same availability zone as instance '{stopped}'",
    )
    near = make(ec2)
    happen(edge, stopped, Event.START_ASKED)
    assert refused(ec2.attach_volume, VolumeId=near, InstanceId=stopped, Device="/dev/sdf") == (
        "IncorrectState",
        f"Instance '{stopped}' is not 'running'.",
    )
    assert refused(ec2.attach_volume, VolumeId=ABSENT, InstanceId=stopped, Device="/dev/sdf")[0] == (
        "InvalidVolume.NotFound"
    )
    absent = "i-0123456789abcdef0"
    assert refused(ec2.attach_volume, VolumeId=near, InstanceId=absent, Device="/dev/sdf")[0] == (
        "InvalidInstanceID.NotFound"
    )


def test_an_instance_takes_so_many_disks_and_no_more(ec2: Any, stopped: str) -> None:
    for letter in "bcdefghijklmnop":
        ec2.attach_volume(VolumeId=make(ec2), InstanceId=stopped, Device=f"/dev/sd{letter}")
    assert refused(ec2.attach_volume, VolumeId=make(ec2), InstanceId=stopped, Device="/dev/sdq") == (
        "AttachmentLimitExceeded",
        f"The instance '{stopped}' has 16 disks already, which is as many as there may be.",
    )


def test_the_root_comes_off_a_stopped_instance_only_and_without_it_nothing_starts(
    edge: Edge, ec2: Any, stopped: str
) -> None:
    (root,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [stopped]}])["Volumes"]
    root_id = root["VolumeId"]
    happen(edge, stopped, Event.START_ASKED, Event.BOOTED)
    assert refused(ec2.detach_volume, VolumeId=root_id) == (
        "OperationNotPermitted",
        f"Unable to detach root volume '{root_id}' from instance '{stopped}'",
    )
    happen(edge, stopped, Event.STOP_ASKED, Event.STOPPED)
    other, absent = "/dev/sdz", "i-0123456789abcdef0"
    assert refused(ec2.detach_volume, VolumeId=root_id, InstanceId=absent)[0] == "InvalidAttachment.NotFound"
    assert refused(ec2.detach_volume, VolumeId=root_id, Device=other)[0] == "InvalidAttachment.NotFound"
    ec2.detach_volume(VolumeId=root_id, InstanceId=stopped, Device="/dev/sda1")
    assert refused(ec2.start_instances, InstanceIds=[stopped]) == (
        "IncorrectInstanceState",
        f"Invalid value '{stopped}' for instanceId. Instance does not have a volume attached at root (/dev/sda1)",
    )
    run_jobs(edge.services)
    assert one(ec2, root_id)["State"] == "available"
    ec2.attach_volume(VolumeId=root_id, InstanceId=stopped, Device="/dev/sda1")
    run_jobs(edge.services)
    assert ec2.start_instances(InstanceIds=[stopped])["StartingInstances"][0]["CurrentState"]["Name"] == "pending"


def test_a_dry_run_moves_nothing(ec2: Any, stopped: str) -> None:
    volume_id = make(ec2)
    asked = {"VolumeId": volume_id, "InstanceId": stopped, "Device": "/dev/sdf", "DryRun": True}
    assert refused(ec2.attach_volume, **asked)[0] == "DryRunOperation"
    assert refused(ec2.delete_volume, VolumeId=volume_id, DryRun=True)[0] == "DryRunOperation"
    assert refused(ec2.modify_volume, VolumeId=volume_id, Size=2, DryRun=True)[0] == "DryRunOperation"
    assert one(ec2, volume_id)["State"] == "available"


def test_product_codes_follow_a_volume_to_a_stopped_instance(
    edge: Edge, ec2: Any, owner: Principal, stopped: str, running: str
) -> None:
    snapshot_id = make_snapshot(edge.services, owner)
    with edge.services.database.write() as c:
        product_codes.put_codes(c, snapshot_id, [ProductCode("coded", ProductCodeType.MARKETPLACE)])
    volume_id = make(ec2, SnapshotId=snapshot_id, Size=2)
    codes = ec2.describe_volume_attribute(VolumeId=volume_id, Attribute="productCodes")["ProductCodes"]
    assert codes == [{"ProductCodeId": "coded", "ProductCodeType": "marketplace"}]
    code, message = refused(ec2.attach_volume, VolumeId=volume_id, InstanceId=running, Device="/dev/sdf")
    assert code == "IncorrectState" and "has product codes: it can be attached to a stopped instance only" in message
    ec2.attach_volume(VolumeId=volume_id, InstanceId=stopped, Device="/dev/sdf")
    run_jobs(edge.services)
    found = ec2.describe_instances(InstanceIds=[stopped])["Reservations"][0]["Instances"][0]
    assert found["ProductCodes"] == codes
    ec2.detach_volume(VolumeId=volume_id)
    run_jobs(edge.services)
    assert one(ec2, volume_id)["State"] == "available"


def test_a_lapsed_subscription_keeps_nobody_from_reading_a_volume(
    edge: Edge, ec2: Any, owner: Principal, stopped: str
) -> None:
    _, seller = make_account(edge.services, "seller")
    code = create_product(edge.services, seller, NewProduct("Sold", "USD", Asked("0.10"))).product.code
    volume_id = make(ec2)
    (root,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [stopped]}])["Volumes"]
    with edge.services.database.write() as c:
        product_codes.put_codes(c, volume_id, [ProductCode(code, ProductCodeType.MARKETPLACE)])
    ec2.attach_volume(VolumeId=volume_id, InstanceId=stopped, Device="/dev/sdf")
    run_jobs(edge.services)
    assert ec2.start_instances(InstanceIds=[stopped])["StartingInstances"][0]["CurrentState"]["Name"] == "pending"
    happen(edge, stopped, Event.BOOTED, Event.STOP_ASKED, Event.STOPPED)
    with edge.services.database.write() as c:
        product_codes.put_codes(c, root["VolumeId"], [ProductCode(code, ProductCodeType.MARKETPLACE)])
    assert refused(ec2.start_instances, InstanceIds=[stopped])[0] == "OptInRequired"
    ec2.detach_volume(VolumeId=volume_id)
    run_jobs(edge.services)
    assert one(ec2, volume_id)["State"] == "available"


# ── changed ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "ModifyVolume", "DescribeVolumesModifications")
def test_a_volume_grows_and_changes_its_type(edge: Edge, ec2: Any) -> None:
    volume_id = make(ec2)
    change = ec2.modify_volume(VolumeId=volume_id, Size=5, VolumeType="gp3", Throughput=200)["VolumeModification"]
    assert (change["ModificationState"], change["Progress"]) == ("modifying", 0)
    assert (change["OriginalSize"], change["OriginalVolumeType"], change["OriginalIops"]) == (1, "gp2", 100)
    assert (change["TargetSize"], change["TargetVolumeType"], change["TargetIops"]) == (5, "gp3", 3000)
    assert change["TargetThroughput"] == 200 and one(ec2, volume_id)["Size"] == 1
    assert refused(ec2.modify_volume, VolumeId=volume_id, Size=6) == (
        "IncorrectModificationState",
        f"Volume {volume_id} is in state 'modifying'. Volume must be in state 'completed' or 'failed' to be modified.",
    )
    run_jobs(edge.services)
    (ended,) = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
    assert (ended["ModificationState"], ended["Progress"]) == ("completed", 100) and "EndTime" in ended
    found = one(ec2, volume_id)
    assert (found["Size"], found["VolumeType"], found["Throughput"]) == (5, "gp3", 200)
    by_state = [{"Name": "modification-state", "Values": ["completed"]}, {"Name": "target-size", "Values": ["5"]}]
    assert len(ec2.describe_volumes_modifications(Filters=by_state)["VolumesModifications"]) == 1


def test_a_volume_is_changed_four_times_a_day_at_most(edge: Edge, ec2: Any, clock: Clock) -> None:
    volume_id = make(ec2)
    for size in (2, 3, 4, 5):
        ec2.modify_volume(VolumeId=volume_id, Size=size)
        run_jobs(edge.services)
    code, message = refused(ec2.modify_volume, VolumeId=volume_id, Size=6)
    assert code == "VolumeModificationRateExceeded"
    assert message.startswith("You've reached the maximum modification rate per volume limit: 4 in 24 hours. ")
    clock.pass_(hours=24)
    assert ec2.modify_volume(VolumeId=volume_id, Size=6)["VolumeModification"]["TargetSize"] == 6
    run_jobs(edge.services)


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({}, "MissingParameter", "The request must contain the parameter size, volumeType, iops or throughput"),
        ({"Size": 1}, "InvalidParameterValue", "New size cannot be smaller than existing size"),
        ({"Size": 20000}, "InvalidParameterValue", "Value (20000) for parameter VolumeSize is invalid."),
        ({"Iops": 3000}, "InvalidParameterCombination", "The parameter iops is not supported for gp2 volumes."),
        ({"VolumeType": "io1"}, "InvalidParameterValue", "Value (2) for parameter VolumeSize is invalid. A volume of type io1 has 4"),
        ({"VolumeType": "io1", "Size": 4}, "MissingParameter", "The parameter iops must be specified for io1 volumes."),
        ({"VolumeType": "gp9"}, "UnknownVolumeType", "Unsupported volume type 'gp9'"),
        ({"MultiAttachEnabled": True}, "UnsupportedOperation", "Volumes that several instances use at once are not"),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused(ec2: Any, parameters: dict[str, Any], code: str, message: str) -> None:
    found = refused(ec2.modify_volume, VolumeId=make(ec2, Size=2), **parameters)
    assert found[0] == code and found[1].startswith(message), found


def test_a_volume_that_was_never_changed_has_no_modification_to_tell(ec2: Any) -> None:
    volume_id = make(ec2)
    assert refused(ec2.describe_volumes_modifications, VolumeIds=[volume_id]) == (
        "InvalidVolumeModification.NotFound",
        f"Modification for volume '{volume_id}' does not exist.",
    )


def test_a_root_does_not_become_of_a_type_that_cannot_boot(ec2: Any, stopped: str) -> None:
    (root,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [stopped]}])["Volumes"]
    assert refused(ec2.modify_volume, VolumeId=root["VolumeId"], VolumeType="st1", Size=125) == (
        "BootForVolumeTypeUnsupported",
        "A root volume cannot be of type st1.",
    )


# ── status, attributes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "DescribeVolumeStatus")
def test_a_volume_is_as_well_as_the_machine_that_has_it(ec2: Any, running: str) -> None:
    """No QEMU lives behind the row: nothing can be said of its disk."""
    (volume,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [running]}])["Volumes"]
    at_rest = make(ec2)
    found = ec2.describe_volume_status(VolumeIds=[volume["VolumeId"], at_rest])["VolumeStatuses"]
    told = {each["VolumeId"]: each["VolumeStatus"] for each in found}
    assert told[at_rest]["Status"] == "ok"
    assert told[volume["VolumeId"]]["Status"] == "insufficient-data"
    assert told[volume["VolumeId"]]["Details"][0] == {"Name": "io-enabled", "Status": "insufficient-data"}
    unknown = [{"Name": "volume-status.status", "Values": ["insufficient-data", "impaired"]}]
    (one_,) = ec2.describe_volume_status(Filters=unknown)["VolumeStatuses"]
    assert one_["VolumeId"] == volume["VolumeId"]


@pytest.mark.proves("ec2", "DescribeVolumeStatus", "DescribeVolumeAttribute", "ModifyVolumeAttribute", "EnableVolumeIO")
def test_a_volume_tells_its_health_and_keeps_its_attribute(ec2: Any) -> None:
    volume_id = make(ec2)
    (status,) = ec2.describe_volume_status(VolumeIds=[volume_id])["VolumeStatuses"]
    assert status["VolumeStatus"]["Status"] == "ok" and status["AvailabilityZone"] == ZONE
    assert {each["Name"]: each["Status"] for each in status["VolumeStatus"]["Details"]} == {
        "io-enabled": "passed",
        "io-performance": "not-applicable",
    }
    impaired = [{"Name": "volume-status.status", "Values": ["impaired"]}]
    assert ec2.describe_volume_status(Filters=impaired)["VolumeStatuses"] == []

    def auto() -> Any:
        return ec2.describe_volume_attribute(VolumeId=volume_id, Attribute="autoEnableIO")["AutoEnableIO"]["Value"]

    assert auto() is False
    ec2.modify_volume_attribute(VolumeId=volume_id, AutoEnableIO={"Value": True})
    assert auto() is True
    assert ec2.describe_volume_attribute(VolumeId=volume_id, Attribute="productCodes")["ProductCodes"] == []
    ec2.enable_volume_io(VolumeId=volume_id)
    assert refused(ec2.enable_volume_io, VolumeId=ABSENT)[0] == "InvalidVolume.NotFound"
    assert refused(ec2.modify_volume_attribute, VolumeId=volume_id)[0] == "MissingParameter"
    assert refused(ec2.describe_volume_attribute, VolumeId=volume_id, Attribute="size")[0] == "InvalidParameterValue"
