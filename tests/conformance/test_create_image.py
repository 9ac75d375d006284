"""Images and snapshots of instances and volumes, and copies of them, as stock boto3 asks for them.

No machine runs: the instances are rows, stopped before they ever started, so their volumes hold what their snapshots hold.
Source: EC2 API reference, the calls named in the marks.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import update

from amiable.api.accounts import NewAccount
from amiable.database import images, instances, jobs, product_codes, schema, snapshots, volumes, watermarks
from amiable.model.image import ImageDevice
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.units import BLOCK_BYTES
from amiable.model.volume import Volume
from amiable.model.watermark import Watermark
from amiable.rules.lifecycle import Event
from amiable.services import Services
from tests.api.ec2.launching import TINY, make_image, make_snapshot
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

HERE, THERE = "us-east-1", "eu-west-1"
BOOTED = (Event.BOOTED,)
STOPPED = (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED)
ONE, TWO = bytes([1]) * BLOCK_BYTES, bytes([2]) * BLOCK_BYTES


class Hand:
    """One account at the edge."""

    def __init__(self, edge: Edge, account: NewAccount, stack: ExitStack) -> None:
        self.services: Services = edge.services
        self.account_id = account.account_id
        self.principal = Principal(account.account_id, account.access_key_id, HERE)
        keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
        self.ec2 = stack.enter_context(closing(edge.client("ec2", **keys)))
        self.there = stack.enter_context(closing(edge.client("ec2", region_name=THERE, **keys)))
        self.ebs = stack.enter_context(closing(edge.client("ebs", **keys)))

    def disk(self, *blocks: tuple[int, bytes], **facts: Any) -> str:
        """A completed snapshot that holds the blocks."""
        snapshot_id = make_snapshot(self.services, self.principal, state="pending", completed_at=None, **facts)
        if blocks:
            self.services.blocks.write(snapshot_id, list(blocks))
        self.services.blocks.complete(snapshot_id)
        return snapshot_id

    def image(self, **facts: Any) -> str:
        """An image with a root of 2 GiB and a volume of data."""
        devices = (
            ImageDevice("/dev/sda1", snapshot_id=self.disk((0, ONE), (4095, TWO)), size_gib=2),
            ImageDevice("/dev/sdf", snapshot_id=self.disk((7, TWO), size_gib=1), size_gib=1),
        )
        return make_image(self.services, self.principal, **{"devices": devices, **facts}).id

    def instance(self, image_id: str | None = None, *, events: tuple[Event, ...] = STOPPED) -> str:
        """An instance in the state after the events."""
        self.end_all()
        made = self.ec2.run_instances(ImageId=image_id or self.image(), InstanceType=TINY, MinCount=1, MaxCount=1)
        instance_id = str(made["Instances"][0]["InstanceId"])
        with self.services.database.write() as c:
            for event in events:
                instances.set_state(c, instance_id, event, now=self.services.now())
        return instance_id

    def end_all(self) -> None:
        """Leaves room on the host."""
        with self.services.database.write() as c:
            c.execute(update(schema.instance).values(state="terminated", terminated_at=self.services.now()))

    def volumes(self, instance_id: str) -> dict[str | None, Volume]:
        with self.services.database.read() as c:
            return {each.device_name: each for each in volumes.volumes_of(c, instance_id)}

    def make(self, instance_id: str, name: str, **more: Any) -> dict[str, Any]:
        """CreateImage of a stopped instance, once it is made."""
        image_id = self.ec2.create_image(InstanceId=instance_id, Name=name, **more)["ImageId"]
        run_jobs(self.services)
        found: dict[str, Any] = self.ec2.describe_images(ImageIds=[image_id])["Images"][0]
        return found

    def snapshot(self, snapshot_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
        return found

    def digest(self, snapshot_id: str) -> bytes | None:
        with self.services.database.read() as c:
            found = snapshots.get(c, snapshot_id)
        assert found is not None
        return found.content_digest


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hand, Hand]]:
    """Two accounts of an installation with two regions."""
    more: dict[str, Any] = {"regions": (HERE, THERE), "zones": ("us-east-1a", "eu-west-1a"), "instances_max": 1000}
    with open_services(tmp_path_factory.mktemp("images") / "data", **more) as services, ExitStack() as stack:
        accounts = [make_account(services, name)[0] for name in ("owner", "other")]
        edge = stack.enter_context(running_edge(services, accounts[0]))
        yield Hand(edge, accounts[0], stack), Hand(edge, accounts[1], stack)


@pytest.fixture(scope="module")
def owner(hands: tuple[Hand, Hand]) -> Hand:
    return hands[0]


def refused(code: str, text: str) -> Any:
    """A refusal of this code, whose message has the text."""
    return pytest.raises(ClientError, match=rf"\({code.replace('.', '[.]')}\).*{text}")


# ── CreateImage ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "CreateImage")
def test_an_image_has_all_volumes_of_its_instance_and_what_the_instance_is(owner: Hand) -> None:
    facts = {"ena_support": True, "sriov_net_support": "simple", "boot_mode": "legacy-bios", "imds_support": "v2.0"}
    source = owner.image(**facts)
    instance = owner.instance(source)
    specifications = [
        {"ResourceType": "image", "Tags": [{"Key": "of", "Value": "image"}]},
        {"ResourceType": "snapshot", "Tags": [{"Key": "of", "Value": "snapshot"}]},
    ]
    pending = owner.ec2.create_image(
        InstanceId=instance, Name="whole", Description="all", TagSpecifications=specifications
    )
    image = owner.ec2.describe_images(ImageIds=[pending["ImageId"]])["Images"][0]
    assert image["State"] == "pending" and image["Tags"] == [{"Key": "of", "Value": "image"}]
    parts = {each["DeviceName"]: each["Ebs"] for each in image["BlockDeviceMappings"]}
    began = {device: owner.snapshot(ebs["SnapshotId"]) for device, ebs in parts.items()}
    assert {each["State"] for each in began.values()} == {"pending"}
    assert {each["Description"] for each in began.values()} == {
        f"Created by CreateImage({instance}) for {image['ImageId']}"
    }
    assert all(each["Tags"] == [{"Key": "of", "Value": "snapshot"}] for each in began.values())
    held = owner.volumes(instance)
    assert {device: each["VolumeId"] for device, each in began.items()} == {
        device: volume.id for device, volume in held.items()
    }

    run_jobs(owner.services)
    image = owner.ec2.describe_images(ImageIds=[pending["ImageId"]])["Images"][0]
    assert (image["State"], image["Description"]) == ("available", "all")
    assert (image["SourceInstanceId"], image["SourceImageId"], image["SourceImageRegion"]) == (instance, source, HERE)
    assert (image["EnaSupport"], image["SriovNetSupport"], image["BootMode"]) == (True, "simple", "legacy-bios")
    assert (image["ImdsSupport"], image["RootDeviceType"], image["RootDeviceName"]) == ("v2.0", "ebs", "/dev/sda1")
    assert [(device, ebs["DeleteOnTermination"]) for device, ebs in parts.items()] == [
        ("/dev/sda1", True),
        ("/dev/sdf", False),
    ]
    for device, volume in held.items():
        made = owner.snapshot(parts[str(device)]["SnapshotId"])
        assert (made["State"], made["Progress"]) == ("completed", "100%")
        assert owner.digest(made["SnapshotId"]) == owner.digest(str(volume.snapshot_id))


@pytest.mark.proves("ec2", "CreateImage")
def test_a_device_is_left_out_another_added_and_only_deletion_changed(owner: Hand) -> None:
    instance, extra = owner.instance(), owner.disk((3, ONE), size_gib=3)
    mapping = [
        {"DeviceName": "/dev/sdf", "NoDevice": ""},
        {"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": False, "VolumeSize": 2}},
        {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 5}},
        {"DeviceName": "/dev/sdh", "Ebs": {"SnapshotId": extra, "DeleteOnTermination": True}},
        {"DeviceName": "/dev/sdi", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/sdz", "NoDevice": ""},
    ]
    image = owner.make(instance, "other map", BlockDeviceMappings=mapping)
    found = {each["DeviceName"]: each for each in image["BlockDeviceMappings"]}
    assert set(found) == {"/dev/sda1", "/dev/sdg", "/dev/sdh", "/dev/sdi"}
    assert found["/dev/sda1"]["Ebs"]["DeleteOnTermination"] is False
    assert "SnapshotId" not in found["/dev/sdg"]["Ebs"] and found["/dev/sdg"]["Ebs"]["VolumeSize"] == 5
    assert (found["/dev/sdh"]["Ebs"]["SnapshotId"], found["/dev/sdh"]["Ebs"]["DeleteOnTermination"]) == (extra, True)
    assert found["/dev/sdi"]["VirtualName"] == "ephemeral0"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"DeviceName": "/dev/sda1", "NoDevice": ""}, "root device /dev/sda1 cannot be left out"),
        (
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 9}},
            "VolumeSize of the existing volume vol-.* cannot be changed",
        ),
        ({"DeviceName": "/dev/sdf", "Ebs": {"Encrypted": True}}, "Encrypted of the existing volume"),
        ({"DeviceName": "/dev/sdf", "Ebs": {"VolumeType": "io1", "Iops": 100}}, "VolumeType of the existing volume"),
        ({"DeviceName": "/dev/sdf", "VirtualName": "ephemeral0"}, "its entry may have Ebs or NoDevice only"),
    ],
    ids=["no root", "size", "encrypted", "type", "ephemeral"],
)
@pytest.mark.proves("ec2", "CreateImage")
def test_an_existing_volume_is_imaged_as_it_is(owner: Hand, entry: dict[str, Any], text: str) -> None:
    instance = owner.instance()
    with refused("InvalidBlockDeviceMapping", text):
        owner.ec2.create_image(InstanceId=instance, Name="changed", BlockDeviceMappings=[entry])


@pytest.mark.proves("ec2", "CreateImage")
def test_refusals_name_what_is_wrong_and_make_nothing(hands: tuple[Hand, Hand]) -> None:
    owner, other = hands
    instance = owner.instance()
    with refused("InvalidInstanceID.NotFound", instance):
        other.ec2.create_image(InstanceId=instance, Name="of another")
    with refused("InvalidInstanceID.Malformed", "i-zz"):
        owner.ec2.create_image(InstanceId="i-zz", Name="malformed")
    with refused("InvalidAMIName.Malformed", "AMI names must be"):
        owner.ec2.create_image(InstanceId=instance, Name="a*b*c")
    first = owner.make(instance, "twice")
    with refused("InvalidAMIName.Duplicate", f"AMI name twice is already in use by AMI {first['ImageId']}"):
        owner.ec2.create_image(InstanceId=instance, Name="twice")
    with refused("InvalidParameterValue", "'volume' is not a valid taggable resource type"):
        wrong = [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}]
        owner.ec2.create_image(InstanceId=instance, Name="tags", TagSpecifications=wrong)
    with refused("UnsupportedOperation", "Local Zones are not supported"):
        owner.ec2.create_image(InstanceId=instance, Name="local", SnapshotLocation="local")
    with refused("DryRunOperation", "Request would have succeeded"):
        owner.ec2.create_image(InstanceId=instance, Name="dry", DryRun=True)
    assert (
        owner.ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": ["dry", "tags"]}])["Images"]
        == []
    )
    pending = owner.instance(events=())
    with refused("IncorrectInstanceState", "is not in a state from which it can be imaged"):
        owner.ec2.create_image(InstanceId=pending, Name="too soon")


@pytest.mark.proves("ec2", "CreateImage")
def test_an_instance_store_root_is_not_imaged_and_a_root_that_is_gone_is_said(owner: Hand) -> None:
    instance = owner.instance()
    root = owner.volumes(instance)["/dev/sda1"]
    with owner.services.database.write() as c:
        volumes.detach_volume(c, root.id)
    with refused("InvalidParameterValue", r"does not have a volume attached at root \(/dev/sda1\)"):
        owner.ec2.create_image(InstanceId=instance, Name="no root")
    with owner.services.database.write() as c:
        here = schema.instance.c.id == instance
        c.execute(update(schema.instance).where(here).values(root_device_type="instance-store"))
    with refused("NonEBSInstance", "does not have an 'ebs' root device type"):
        owner.ec2.create_image(InstanceId=instance, Name="no volume")


@pytest.mark.proves("ec2", "CreateImage")
def test_images_without_a_reboot_are_bounded_and_a_reboot_excludes_another(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    for number in range(4):
        owner.ec2.create_image(InstanceId=instance, Name=f"live {number}", NoReboot=True)
    with refused("ConcurrentCreateImageNoRebootLimitExceeded", f"{instance}' has 4 images being made"):
        owner.ec2.create_image(InstanceId=instance, Name="live 4", NoReboot=True)
    owner.ec2.create_image(InstanceId=instance, Name="clean")
    with refused("IncorrectInstanceState", "is being rebooted, or shut down for another image"):
        owner.ec2.create_image(InstanceId=instance, Name="clean too")
    with owner.services.database.write() as c:
        assert jobs.is_live(c, f"{instance}:reboot")
        c.execute(update(schema.job).values(state="cancelled"))
        c.execute(update(schema.image).where(schema.image.c.state == "pending").values(state="failed"))
        c.execute(update(schema.snapshot).where(schema.snapshot.c.state == "pending").values(state="error"))


@pytest.mark.proves("ec2", "CreateImage")
def test_an_image_whose_disks_cannot_be_read_fails_with_the_reason(owner: Hand) -> None:
    instance = owner.instance(events=STOPPED)
    image = owner.ec2.create_image(InstanceId=instance, Name="unread")["ImageId"]
    with owner.services.database.write() as c:  # terminated before the job began, with a disk in its directory
        instances.set_state(c, instance, Event.TERMINATE_ASKED, now=owner.services.now())
        instances.set_state(c, instance, Event.TERMINATED, now=owner.services.now())
    folder = owner.services.data / "instances" / instance
    folder.mkdir()
    for volume in owner.volumes(instance).values():
        (folder / f"{volume.id}.qcow2").write_bytes(b"")
    run_jobs(owner.services)
    found = owner.ec2.describe_images(ImageIds=[image])["Images"][0]
    assert found["State"] == "failed" and f"the instance {instance} was terminated" in found["StateReason"]["Message"]
    made = owner.snapshot(found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])
    assert made["State"] == "error" and "was terminated" in made["StateMessage"]


@pytest.mark.proves("ec2", "CreateImage")
def test_an_image_inherits_product_codes_and_watermarks(owner: Hand) -> None:
    code = ProductCode("abcdefghijklmnopqrstuvwxy", ProductCodeType.DEVPAY)
    source = owner.image(product_codes=(code,))
    now = owner.services.now()
    with owner.services.database.write() as c:
        watermarks.attach(c, source, Watermark("looked at", owner.account_id, source, HERE, now, now))
    instance = owner.instance(source)
    root = owner.volumes(instance)["/dev/sda1"]
    with owner.services.database.write() as c:
        product_codes.put_codes(c, root.id, [code])
    image = owner.make(instance, "coded")
    assert [each["ProductCodeId"] for each in image["ProductCodes"]] == [code.code]
    with owner.services.database.read() as c:
        found = images.get(c, HERE, image["ImageId"], viewer=owner.account_id)
        assert product_codes.codes_of(c, image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]) == (code,)
    assert found is not None and [each.name for each in found.watermarks] == ["looked at"]


# ── CreateSnapshot, CreateSnapshots ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "CreateSnapshot")
def test_a_snapshot_of_a_volume_begins_pending_and_holds_what_the_volume_holds(owner: Hand) -> None:
    volume = owner.volumes(owner.instance())["/dev/sdf"]
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "k", "Value": "v"}]}]
    made = owner.ec2.create_snapshot(VolumeId=volume.id, Description="one", TagSpecifications=tags)
    assert (made["State"], made["VolumeId"], made["VolumeSize"]) == ("pending", volume.id, 1)
    assert (made["Description"], made["Tags"], made["OwnerId"]) == ("one", tags[0]["Tags"], owner.account_id)
    with pytest.raises(ClientError, match="is made of the volume"):
        owner.ebs.complete_snapshot(SnapshotId=made["SnapshotId"], ChangedBlocksCount=0)
    run_jobs(owner.services)
    assert owner.snapshot(made["SnapshotId"])["State"] == "completed"
    assert owner.digest(made["SnapshotId"]) == owner.digest(str(volume.snapshot_id))


@pytest.mark.proves("ec2", "CreateSnapshot")
def test_a_snapshot_that_is_deleted_while_it_is_pending_is_gone(owner: Hand) -> None:
    volume = owner.volumes(owner.instance())["/dev/sdf"]
    made = owner.ec2.create_snapshot(VolumeId=volume.id)["SnapshotId"]
    owner.ec2.delete_snapshot(SnapshotId=made)
    run_jobs(owner.services)
    with refused("InvalidSnapshot.NotFound", made):
        owner.ec2.describe_snapshots(SnapshotIds=[made])


@pytest.mark.proves("ec2", "CreateSnapshot")
def test_snapshots_of_volumes_are_refused_by_name(hands: tuple[Hand, Hand]) -> None:
    owner, other = hands
    volume = owner.volumes(owner.instance())["/dev/sdf"]
    with refused("InvalidVolume.NotFound", volume.id):
        other.ec2.create_snapshot(VolumeId=volume.id)
    with refused("InvalidVolumeID.Malformed", "vol-zz"):
        owner.ec2.create_snapshot(VolumeId="vol-zz")
    with refused("UnsupportedOperation", "Outposts"):
        owner.ec2.create_snapshot(VolumeId=volume.id, OutpostArn="arn:aws:outposts:us-east-1:1:outpost/op-1")
    with refused("DryRunOperation", "would have succeeded"):
        owner.ec2.create_snapshot(VolumeId=volume.id, DryRun=True)
    for _ in range(5):
        owner.ec2.create_snapshot(VolumeId=volume.id)
    with refused("ConcurrentSnapshotLimitExceeded", f"{volume.id}' has 5 pending snapshots"):
        owner.ec2.create_snapshot(VolumeId=volume.id)
    run_jobs(owner.services)


@pytest.mark.proves("ec2", "CreateSnapshots")
def test_snapshots_of_an_instance_leave_out_what_is_excluded_and_take_over_tags(owner: Hand) -> None:
    instance = owner.instance()
    held = owner.volumes(instance)
    data = held["/dev/sdf"]
    owner.ec2.create_tags(Resources=[data.id], Tags=[{"Key": "from", "Value": "volume"}])
    both = owner.ec2.create_snapshots(
        InstanceSpecification={"InstanceId": instance}, Description="set", CopyTagsFromSource="volume"
    )["Snapshots"]
    assert [each["VolumeId"] for each in both] == [held["/dev/sda1"].id, data.id]
    assert {each["State"] for each in both} == {"pending"}
    assert both[1]["Tags"] == [{"Key": "from", "Value": "volume"}] and not both[0].get("Tags")
    wanted = {"InstanceId": instance, "ExcludeBootVolume": True}
    (one,) = owner.ec2.create_snapshots(InstanceSpecification=wanted)["Snapshots"]
    assert one["VolumeId"] == data.id
    wanted = {"InstanceId": instance, "ExcludeDataVolumeIds": [data.id]}
    (root,) = owner.ec2.create_snapshots(InstanceSpecification=wanted)["Snapshots"]
    assert root["VolumeId"] == held["/dev/sda1"].id
    run_jobs(owner.services)
    assert {owner.snapshot(each["SnapshotId"])["State"] for each in (*both, one, root)} == {"completed"}


def test_what_is_copied_and_given_is_fifty_tags_at_most(owner: Hand) -> None:
    instance = owner.instance()
    data = owner.volumes(instance)["/dev/sdf"]
    thirty = [{"Key": str(number), "Value": "v"} for number in range(30)]
    others = [{"Key": f"other {number}", "Value": "v"} for number in range(21)]
    owner.ec2.create_tags(Resources=[data.id], Tags=thirty)
    image = owner.image()
    owner.ec2.create_tags(Resources=[image], Tags=thirty)
    wanted = {"InstanceSpecification": {"InstanceId": instance}, "CopyTagsFromSource": "volume"}
    given = [{"ResourceType": "snapshot", "Tags": others}]
    copy = {"SourceImageId": image, "SourceRegion": HERE, "Name": "many tags", "CopyImageTags": True}
    named = [{"ResourceType": "image", "Tags": others}]
    for is_dry in (False, True):
        with refused("TagLimitExceeded", "maximum number of Tags"):
            owner.ec2.create_snapshots(**wanted, TagSpecifications=given, DryRun=is_dry)
        with refused("TagLimitExceeded", "maximum number of Tags"):
            owner.ec2.copy_image(**copy, TagSpecifications=named, DryRun=is_dry)
    given[0]["Tags"] = named[0]["Tags"] = others[:20]
    made = owner.ec2.create_snapshots(**wanted, TagSpecifications=given)["Snapshots"]
    assert len({each["VolumeId"]: each for each in made}[data.id]["Tags"]) == 50
    owner.ec2.copy_image(**copy, TagSpecifications=named)
    run_jobs(owner.services)


@pytest.mark.proves("ec2", "CreateSnapshots")
def test_the_root_is_excluded_by_its_own_parameter_and_something_must_be_left(owner: Hand) -> None:
    instance = owner.instance()
    held = owner.volumes(instance)
    root, data = held["/dev/sda1"].id, held["/dev/sdf"].id
    with refused("InvalidParameterValue", "It is the root volume: use ExcludeBootVolume"):
        wanted: dict[str, Any] = {"InstanceId": instance, "ExcludeDataVolumeIds": [root]}
        owner.ec2.create_snapshots(InstanceSpecification=wanted)
    with refused("InvalidParameterValue", "No volume of"):
        wanted = {"InstanceId": instance, "ExcludeBootVolume": True, "ExcludeDataVolumeIds": [data]}
        owner.ec2.create_snapshots(InstanceSpecification=wanted)
    with refused("InvalidParameterValue", f"It is not attached to {instance}"):
        wanted = {"InstanceId": instance, "ExcludeDataVolumeIds": ["vol-00000000000000001"]}
        owner.ec2.create_snapshots(InstanceSpecification=wanted)


# ── copies ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "CopySnapshot")
def test_a_snapshot_is_copied_to_another_region_and_outlives_its_source(owner: Hand) -> None:
    source = owner.disk((0, ONE), (9, TWO))
    digest = owner.digest(source)
    made = owner.there.copy_snapshot(SourceRegion=HERE, SourceSnapshotId=source, Description="there", Encrypted=False)
    owner.ec2.delete_snapshot(SnapshotId=source)
    found = owner.there.describe_snapshots(SnapshotIds=[made["SnapshotId"]])["Snapshots"][0]
    assert (found["State"], found["VolumeId"], found["Description"]) == ("completed", "vol-ffffffff", "there")
    assert owner.digest(made["SnapshotId"]) == digest
    assert owner.services.blocks.read(made["SnapshotId"], 9) == TWO
    with refused("InvalidSnapshot.NotFound", made["SnapshotId"]):
        owner.ec2.describe_snapshots(SnapshotIds=[made["SnapshotId"]])


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"SourceRegion": "mars-1"}, "InvalidRegion", "mars-1 is not found"),
        ({"Encrypted": True}, "UnsupportedOperation", "Encrypted copies are not supported"),
        ({"KmsKeyId": "alias/x"}, "InvalidParameterDependency", "KmsKeyId requires the parameter Encrypted"),
        ({"CompletionDurationMinutes": 20}, "InvalidParameterValue", "15 to 2880 in steps of 15"),
        ({"SourceSnapshotId": "snap-00000000000000001"}, "InvalidSnapshot.NotFound", "snap-00000000000000001"),
        ({"DryRun": True}, "DryRunOperation", "would have succeeded"),
    ],
    ids=["region", "encrypted", "key", "minutes", "unknown", "dry"],
)
@pytest.mark.proves("ec2", "CopySnapshot")
def test_copies_of_snapshots_are_refused_by_name(owner: Hand, more: dict[str, Any], code: str, text: str) -> None:
    request = {"SourceRegion": HERE, "SourceSnapshotId": owner.disk((0, ONE)), **more}
    with refused(code, text):
        if request["SourceRegion"] == HERE:
            owner.there.copy_snapshot(**request)
        else:
            owner.there.meta.events.unregister("before-call.ec2.CopySnapshot")
            owner.there.copy_snapshot(**request)


@pytest.mark.proves("ec2", "CopySnapshot")
def test_another_copies_a_snapshot_once_it_is_shared_and_whole(hands: tuple[Hand, Hand]) -> None:
    owner, other = hands
    source = owner.disk((0, ONE))
    with refused("InvalidSnapshot.NotFound", source):
        other.ec2.copy_snapshot(SourceRegion=HERE, SourceSnapshotId=source)
    share = {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": [other.account_id]}
    owner.ec2.modify_snapshot_attribute(SnapshotId=source, **share)
    made = other.ec2.copy_snapshot(SourceRegion=HERE, SourceSnapshotId=source)["SnapshotId"]
    assert other.snapshot(made)["OwnerId"] == other.account_id
    pending = make_snapshot(owner.services, owner.principal, state="pending")
    with refused("IncorrectState", "only a completed one can be copied"):
        owner.ec2.copy_snapshot(SourceRegion=HERE, SourceSnapshotId=pending)


@pytest.mark.proves("ec2", "CopyImage")
def test_an_image_is_copied_to_another_region_with_its_attributes_and_own_tags(owner: Hand) -> None:
    source = owner.image(description="as it was", ena_support=True)
    owner.ec2.create_tags(Resources=[source], Tags=[{"Key": "of", "Value": "source"}])
    request = {"SourceRegion": HERE, "SourceImageId": source, "Name": "copied", "ClientToken": "once"}
    made = owner.there.copy_image(CopyImageTags=True, **request)["ImageId"]
    assert owner.there.copy_image(CopyImageTags=True, **request)["ImageId"] == made
    with refused("IdempotentParameterMismatch", ""):
        owner.there.copy_image(**request)
    owner.ec2.deregister_image(ImageId=source, DeleteAssociatedSnapshots=True)
    image = owner.there.describe_images(ImageIds=[made])["Images"][0]
    assert (image["State"], image["Description"], image["EnaSupport"]) == ("available", "as it was", True)
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (source, HERE)
    assert image["Tags"] == [{"Key": "of", "Value": "source"}] and image["Public"] is False
    root = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert owner.services.blocks.read(root, 4095) == TWO
    copied = owner.there.describe_snapshots(SnapshotIds=[root])["Snapshots"][0]
    assert copied["Description"].startswith(
        f"Copied for DestinationAmi {made} from SourceAmi {source} for SourceSnapshot snap-"
    )
    plain = owner.there.copy_image(SourceRegion=THERE, SourceImageId=made, Name="copied again", Description="new")[
        "ImageId"
    ]
    again = owner.there.describe_images(ImageIds=[plain])["Images"][0]
    assert (again["Description"], again.get("Tags")) == ("new", None)


@pytest.mark.proves("ec2", "CopyImage")
def test_a_shared_image_is_copied_only_with_its_snapshots(hands: tuple[Hand, Hand]) -> None:
    owner, other = hands
    source = owner.image()
    request = {"SourceRegion": HERE, "SourceImageId": source, "Name": "of another"}
    with refused("AuthFailure", source):
        other.ec2.copy_image(**request)
    owner.ec2.modify_image_attribute(ImageId=source, LaunchPermission={"Add": [{"UserId": other.account_id}]})
    with refused("InvalidRequest", "You do not have permission to access the storage of this ami"):
        other.ec2.copy_image(**request)
    for mapping in owner.ec2.describe_images(ImageIds=[source])["Images"][0]["BlockDeviceMappings"]:
        share = {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": [other.account_id]}
        owner.ec2.modify_snapshot_attribute(SnapshotId=mapping["Ebs"]["SnapshotId"], **share)
    made = other.ec2.copy_image(**request)["ImageId"]
    assert other.ec2.describe_images(ImageIds=[made])["Images"][0]["OwnerId"] == other.account_id
    with refused("InvalidAMIName.Duplicate", made):
        other.ec2.copy_image(**request)


@pytest.mark.proves("ec2", "CopyImage")
def test_copies_of_images_are_refused_by_name_and_a_dry_run_makes_nothing(owner: Hand) -> None:
    source = owner.image()
    request = {"SourceRegion": HERE, "SourceImageId": source, "Name": "not made"}
    with refused("InvalidAMIID.NotFound", "ami-00000000000000001"):
        owner.ec2.copy_image(**{**request, "SourceImageId": "ami-00000000000000001"})
    with refused("InvalidRegion", "mars-1"):
        owner.ec2.copy_image(**{**request, "SourceRegion": "mars-1"})
    with refused("UnsupportedOperation", "Encrypted copies"):
        owner.ec2.copy_image(Encrypted=True, **request)
    with refused("UnsupportedOperation", "DestinationAvailabilityZone"):
        owner.ec2.copy_image(DestinationAvailabilityZone="us-east-1a", **request)
    with refused("DryRunOperation", "would have succeeded"):
        owner.ec2.copy_image(DryRun=True, **request)
    assert owner.ec2.describe_images(Filters=[{"Name": "name", "Values": ["not made"]}])["Images"] == []
    owner.ec2.deregister_image(ImageId=source)
    with refused("InvalidAMIID.Unavailable", source):
        owner.ec2.copy_image(**request)
