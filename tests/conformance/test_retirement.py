"""How images and snapshots retire, as stock boto3 asks for it: deprecation, disabling, protection, the Recycle Bin, locks."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from amiable.api.accounts import NewAccount
from amiable.services import Services
from amiable.services.recycle_bin import end_what_is_over
from tests.server.edge import Edge, running_edge
from tests.support.clients import make_client
from tests.support.clock import Clock, sign_by
from tests.support.services import make_account, open_services

LENIENT = Config(parameter_validation=False, retries={"max_attempts": 0})
DAY = timedelta(days=1)
NUMBERS = count()


@dataclass(frozen=True)
class Registry:
    """One installation with two accounts, and the clock that it lives by."""

    services: Services
    ec2: Any
    stranger: Any
    rbin: Any
    ebs: Any
    clock: Clock
    owner_id: str
    stranger_id: str

    def snapshot(self, **words: Any) -> str:
        made = self.ebs.start_snapshot(VolumeSize=1, **words)["SnapshotId"]
        self.ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=0)
        return str(made)

    def image(self, *snapshots: str, name: str | None = None) -> str:
        disks = [
            {"DeviceName": f"/dev/sd{letter}", "Ebs": {"SnapshotId": each}}
            for letter, each in zip("abcdef", snapshots or (self.snapshot(),), strict=False)
        ]
        made = self.ec2.register_image(
            Name=name or f"image {next(NUMBERS)}", RootDeviceName="/dev/sda", BlockDeviceMappings=disks,
            Architecture="x86_64", VirtualizationType="hvm",
        )  # fmt: skip
        return str(made["ImageId"])

    def rule(self, kind: str, days: int, **words: Any) -> str:
        period = {"RetentionPeriodValue": days, "RetentionPeriodUnit": "DAYS"}
        return str(self.rbin.create_rule(ResourceType=kind, RetentionPeriod=period, **words)["Identifier"])

    def seen(self, image_id: str, **words: Any) -> dict[str, Any]:
        (image,) = self.ec2.describe_images(ImageIds=[image_id], **words)["Images"]
        return dict(image)

    def share(self, image_id: str, *accounts: str, public: bool = False) -> None:
        added = [{"UserId": account} for account in accounts] + ([{"Group": "all"}] if public else [])
        self.ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": added})

    def grants(self, image_id: str) -> list[dict[str, str]]:
        answer = self.ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
        return list(answer["LaunchPermissions"])


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, Clock]]:
    clock = Clock()
    with open_services(tmp_path_factory.mktemp("retirement") / "data", clock=clock) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as edge:
            yield edge, clock


@pytest.fixture
def registry(installation: tuple[Edge, Clock], monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Two accounts of the test's own, on the first of March."""
    edge, clock = installation
    clock.moment = Clock().moment
    sign_by(clock, monkeypatch)
    owner, _ = make_account(edge.services, "owner")
    other, _ = make_account(edge.services, "stranger")
    with ExitStack() as clients:

        def client(service: str, account: NewAccount) -> Any:
            made = make_client(
                service, region_name="us-east-1", endpoint_url=edge.endpoint, config=LENIENT,
                aws_access_key_id=account.access_key_id, aws_secret_access_key=account.secret,
            )  # fmt: skip
            return clients.enter_context(closing(made))

        ec2 = client("ec2", owner)
        ec2.disable_image_block_public_access()
        yield Registry(
            edge.services, ec2, client("ec2", other), client("rbin", owner), client("ebs", owner), clock,
            owner.account_id, other.account_id,
        )  # fmt: skip


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    """Code and text of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


OF_AN_IMAGE = (
    "enable_image_deprecation", "disable_image_deprecation", "enable_image", "disable_image",
    "enable_image_deregistration_protection", "disable_image_deregistration_protection", "restore_image_from_recycle_bin",
)  # fmt: skip


@pytest.mark.parametrize("name", OF_AN_IMAGE)
def test_ids_and_owners_are_checked_and_a_dry_run_changes_nothing(registry: Registry, name: str) -> None:
    words = {"DeprecateAt": registry.clock.moment + DAY} if name == "enable_image_deprecation" else {}
    call, image_id = getattr(registry.ec2, name), registry.image()
    assert refused(call, ImageId="ami-x", **words) == (
        "InvalidAMIID.Malformed", 'Invalid id: "ami-x" (expecting "ami-...")',
    )  # fmt: skip
    absent = "ami-0123456789abcdef0"
    assert refused(call, ImageId=absent, **words) == (
        "InvalidAMIID.NotFound", f"The image id '[{absent}]' does not exist",
    )  # fmt: skip
    if name != "restore_image_from_recycle_bin":
        registry.share(image_id, registry.stranger_id)
        before = registry.seen(image_id)
        assert refused(getattr(registry.stranger, name), ImageId=image_id, **words) == (
            "AuthFailure", f"Not authorized for image:{image_id}",
        )  # fmt: skip
        assert refused(call, ImageId=image_id, DryRun=True, **words)[0] == "DryRunOperation"
        assert registry.seen(image_id) == before and registry.grants(image_id) == [{"UserId": registry.stranger_id}]
        registry.ec2.deregister_image(ImageId=image_id)
        assert refused(call, ImageId=image_id, **words)[0] == "InvalidAMIID.Unavailable"


# ── deprecation ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "EnableImageDeprecation", "DisableImageDeprecation")
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (datetime(2026, 7, 1, 10, 0, 29, tzinfo=UTC), "2026-07-01T10:00:00.000Z"),
        (datetime(2026, 7, 1, 10, 0, 31, tzinfo=UTC), "2026-07-01T10:01:00.000Z"),
        (datetime(2026, 7, 1, 10, 0, tzinfo=timezone(timedelta(hours=2))), "2026-07-01T08:00:00.000Z"),
        ("2026-07-01T10:00:00.250Z", "2026-07-01T10:00:00.000Z"),
    ],
)
def test_a_deprecation_is_told_in_whole_minutes_of_utc(registry: Registry, asked: Any, told: str) -> None:
    image_id = registry.image()
    assert registry.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=asked)["Return"] is True
    assert registry.seen(image_id)["DeprecationTime"] == told
    assert registry.ec2.disable_image_deprecation(ImageId=image_id)["Return"] is True
    assert "DeprecationTime" not in registry.seen(image_id)


@pytest.mark.proves("ec2", "EnableImageDeprecation")
def test_the_past_and_more_than_ten_years_are_refused(registry: Registry) -> None:
    image_id, now = registry.image(), registry.clock.moment
    code, text = refused(
        registry.ec2.enable_image_deprecation, ImageId=image_id, DeprecateAt=now - timedelta(minutes=1)
    )
    assert (code, text) == (
        "InvalidParameterValue",
        "Value (2026-03-01T11:59:00.000Z) for parameter DeprecateAt is invalid. A deprecation time cannot be in the past.",
    )
    code, text = refused(registry.ec2.enable_image_deprecation, ImageId=image_id, DeprecateAt=now.replace(year=2037))
    assert (code, text) == (
        "InvalidParameterValue",
        "Value (2037-03-01T12:00:00.000Z) for parameter DeprecateAt is invalid. "
        "A deprecation time cannot be more than 10 years from now.",
    )
    asked = "9999-12-31T23:59:59.000Z"
    said = refused(registry.ec2.enable_image_deprecation, ImageId=image_id, DeprecateAt=asked)
    assert said == (code, text.replace("2037-03-01T12:00:00.000Z", asked))
    registry.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=now.replace(year=2036))


@pytest.mark.proves("ec2", "EnableImageDeprecation", "DisableImageDeprecation", "ModifyImageAttribute")
def test_a_public_image_is_deprecated_two_years_after_its_creation(registry: Registry) -> None:
    image_id, now = registry.image(), registry.clock.moment
    registry.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=now.replace(year=2031))
    registry.share(image_id, public=True)
    assert registry.seen(image_id)["DeprecationTime"] == "2028-03-01T12:00:00.000Z"
    code, text = refused(registry.ec2.enable_image_deprecation, ImageId=image_id, DeprecateAt=now.replace(year=2029))
    assert code == "InvalidParameterValue"
    assert text.endswith(
        "The deprecation time of a public image cannot be more than 2 years after its creation: 2028-03-01T12:00:00.000Z."
    )
    assert refused(registry.ec2.disable_image_deprecation, ImageId=image_id) == (
        "OperationNotPermitted",
        f"The deprecation of the public image {image_id} cannot be disabled. Make the image private first.",
    )
    registry.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=now + DAY)
    registry.share(image_id, public=True)
    assert registry.seen(image_id)["DeprecationTime"] == "2026-03-02T12:00:00.000Z"
    registry.ec2.reset_image_attribute(ImageId=image_id, Attribute="launchPermission")
    registry.ec2.disable_image_deprecation(ImageId=image_id)
    assert "DeprecationTime" not in registry.seen(image_id)


@pytest.mark.proves("ec2", "EnableImageDeprecation", "DescribeImages")
def test_a_deprecated_image_is_hidden_from_others_lists_but_known_by_id(registry: Registry) -> None:
    image_id = registry.image()
    registry.share(image_id, registry.stranger_id)
    registry.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=registry.clock.moment + DAY)

    def listed(client: Any, **words: Any) -> list[str]:
        return [image["ImageId"] for image in client.describe_images(**words)["Images"]]

    assert listed(registry.stranger) == [image_id]
    registry.clock.pass_(days=1, seconds=1)
    assert listed(registry.stranger) == []
    assert (
        listed(registry.stranger, IncludeDeprecated=True)
        == listed(registry.stranger, ImageIds=[image_id])
        == [image_id]
    )
    assert listed(registry.ec2, Owners=["self"]) == [image_id]


# ── disabling ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "DisableImage", "EnableImage")
def test_a_disabled_image_is_hidden_unlaunchable_unshared_and_keeps_its_snapshots(registry: Registry) -> None:
    snapshot = registry.snapshot()
    image_id = registry.image(snapshot)
    registry.share(image_id, registry.stranger_id, public=True)
    assert registry.ec2.disable_image(ImageId=image_id)["Return"] is True
    assert registry.ec2.describe_images(Owners=["self"])["Images"] == []
    assert registry.seen(image_id, IncludeDisabled=True)["State"] == "disabled"
    assert registry.grants(image_id) == []
    assert refused(registry.stranger.describe_images, ImageIds=[image_id], IncludeDisabled=True)[0] == (
        "InvalidAMIID.NotFound"
    )
    launch = {"ImageId": image_id, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}
    assert refused(registry.ec2.run_instances, **launch) == (
        "InvalidAMIID.Unavailable", f"The image id '[{image_id}]' is no longer available",
    )  # fmt: skip
    assert refused(registry.ec2.delete_snapshot, SnapshotId=snapshot) == (
        "InvalidSnapshot.InUse", f"The snapshot {snapshot} is currently in use by {image_id}",
    )  # fmt: skip
    code, text = refused(registry.share, image_id=image_id, public=True)
    assert (code, text) == ("IncorrectState", f"The image {image_id} is disabled: it cannot be shared.")
    assert registry.ec2.disable_image(ImageId=image_id)["Return"] is True
    assert registry.ec2.enable_image(ImageId=image_id)["Return"] is True
    assert registry.seen(image_id)["State"] == "available" and registry.grants(image_id) == []
    assert registry.ec2.enable_image(ImageId=image_id)["Return"] is True


# ── protection ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection")
def test_a_protected_image_is_not_deregistered(registry: Registry) -> None:
    image_id = registry.image()
    assert registry.seen(image_id).get("DeregistrationProtection") in (None, "disabled")
    answer = registry.ec2.enable_image_deregistration_protection(ImageId=image_id)
    assert answer["Return"] == registry.seen(image_id)["DeregistrationProtection"] == "enabled-without-cooldown"
    assert refused(registry.ec2.deregister_image, ImageId=image_id) == (
        "OperationNotPermitted",
        f"The image {image_id} cannot be deregistered because deregistration protection is enabled for it.",
    )
    assert refused(registry.ec2.deregister_image, ImageId=image_id, DryRun=True)[0] == "OperationNotPermitted"
    assert registry.ec2.disable_image_deregistration_protection(ImageId=image_id)["Return"] == "disabled"
    registry.ec2.deregister_image(ImageId=image_id)


@pytest.mark.proves(
    "ec2", "EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection", "DeregisterImage"
)
def test_a_cooldown_lasts_a_day_and_no_way_around_it_is_shorter(registry: Registry) -> None:
    image_id = registry.image()
    answer = registry.ec2.enable_image_deregistration_protection(ImageId=image_id, WithCooldown=True)
    assert answer["Return"] == "enabled-with-cooldown"
    registry.ec2.enable_image_deregistration_protection(ImageId=image_id)
    registry.ec2.disable_image_deregistration_protection(ImageId=image_id)
    assert refused(registry.ec2.deregister_image, ImageId=image_id) == (
        "OperationNotPermitted",
        f"The image {image_id} cannot be deregistered before 2026-03-02T12:00:00.000Z: "
        "the cooldown after its deregistration protection was disabled is not over.",
    )
    registry.clock.pass_(hours=23, minutes=59)
    assert refused(registry.ec2.deregister_image, ImageId=image_id)[0] == "OperationNotPermitted"
    registry.clock.pass_(minutes=1)
    registry.ec2.deregister_image(ImageId=image_id)


@pytest.mark.proves("ec2", "RunInstances", "DescribeImages")
def test_an_image_says_when_it_was_launched_last(registry: Registry) -> None:
    image_id = registry.image()
    assert "LastLaunchedTime" not in registry.seen(image_id)
    registry.ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1, InstanceType="t2.micro")
    assert registry.seen(image_id)["LastLaunchedTime"].startswith("2026-03-01T12:00:00")


# ── the Recycle Bin ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "DeregisterImage", "ListImagesInRecycleBin", "RestoreImageFromRecycleBin")
def test_a_deregistered_image_is_kept_and_comes_back_with_its_sharing_tags_and_name(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 7)
    image_id = registry.image(name="kept")
    registry.share(image_id, registry.stranger_id)
    registry.ec2.create_tags(Resources=[image_id], Tags=[{"Key": "a", "Value": "1"}])
    before = registry.seen(image_id)
    registry.ec2.deregister_image(ImageId=image_id)
    (listed,) = registry.ec2.list_images_in_recycle_bin()["Images"]
    now = registry.clock.moment
    assert listed == {
        "ImageId": image_id, "Name": "kept", "RecycleBinEnterTime": now, "RecycleBinExitTime": now + 7 * DAY,
    }  # fmt: skip
    assert registry.stranger.list_images_in_recycle_bin()["Images"] == []
    assert registry.ec2.restore_image_from_recycle_bin(ImageId=image_id)["Return"] is True
    assert registry.seen(image_id) == before
    assert registry.grants(image_id) == [{"UserId": registry.stranger_id}]
    assert registry.ec2.list_images_in_recycle_bin()["Images"] == []
    assert refused(registry.ec2.restore_image_from_recycle_bin, ImageId=image_id)[0] == "InvalidAMIID.NotFound"


@pytest.mark.proves("ec2", "ListImagesInRecycleBin", "CreateTags", "DescribeTags")
def test_in_the_bin_only_listing_restoring_and_tagging_work(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 7)
    image_id = registry.image()
    registry.share(image_id, registry.stranger_id, public=True)
    registry.ec2.deregister_image(ImageId=image_id)
    ec2, gone = registry.ec2, ("InvalidAMIID.Unavailable", f"The image id '[{image_id}]' is no longer available")
    launch = {"ImageId": image_id, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}
    for client in (ec2, registry.stranger):
        assert client.describe_images(IncludeDeprecated=True, IncludeDisabled=True)["Images"] == []
        assert refused(client.run_instances, **launch) == gone
    assert ec2.describe_images(ImageIds=[image_id])["Images"] == []
    assert refused(registry.stranger.describe_images, ImageIds=[image_id])[0] == "InvalidAMIID.NotFound"
    for call, words in (
        (ec2.deregister_image, {}),
        (ec2.modify_image_attribute, {"Description": {"Value": "x"}}),
        (ec2.describe_image_attribute, {"Attribute": "description"}),
        (ec2.reset_image_attribute, {"Attribute": "launchPermission"}),
        (ec2.enable_image_deprecation, {"DeprecateAt": registry.clock.moment + DAY}),
        (ec2.disable_image, {}),
        (ec2.enable_image_deregistration_protection, {}),
    ):
        assert refused(call, ImageId=image_id, **words) == gone
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": "why", "Value": "kept"}])
    (tag,) = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [image_id]}])["Tags"]
    assert tag["Value"] == "kept"
    stranger_tags = {"Resources": [image_id], "Tags": [{"Key": "a", "Value": ""}]}
    assert refused(registry.stranger.create_tags, **stranger_tags)[0] == "InvalidAMIID.NotFound"


@pytest.mark.proves("ec2", "ListImagesInRecycleBin")
def test_binned_images_are_listed_by_id_and_page_by_page(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 7)
    snapshot = registry.snapshot()
    made = {registry.image(snapshot) for _ in range(3)}
    for image_id in made:
        registry.ec2.deregister_image(ImageId=image_id)
    one = sorted(made)[0]
    call = registry.ec2.list_images_in_recycle_bin
    assert [image["ImageId"] for image in call(ImageIds=[one])["Images"]] == [one]
    pages = list(registry.ec2.get_paginator("list_images_in_recycle_bin").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Images"]) for page in pages] == [2, 1]
    assert {image["ImageId"] for page in pages for image in page["Images"]} == made
    absent = "ami-0123456789abcdef0"
    assert refused(call, ImageIds=[one, absent]) == (
        "InvalidAMIID.NotFound", f"The image id '[{absent}]' does not exist",
    )  # fmt: skip
    assert refused(call, ImageIds=["x"])[0] == "InvalidAMIID.Malformed"
    assert refused(call, ImageIds=[one] * 21) == (
        "InvalidParameterValue", "A request may name 20 images at most; this one names 21.",
    )  # fmt: skip
    assert refused(call, MaxResults=0)[0] == "InvalidParameterValue"
    assert refused(call, MaxResults=5, NextToken="x")[0] == "InvalidNextToken"
    assert refused(call, ImageIds=[one], MaxResults=5)[0] == "InvalidParameterCombination"
    assert refused(call, DryRun=True)[0] == "DryRunOperation"


@pytest.mark.proves("ec2", "RestoreImageFromRecycleBin", "RestoreSnapshotFromRecycleBin", "DeregisterImage")
def test_an_image_is_restored_only_after_all_its_snapshots(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 10)
    registry.rule("EBS_SNAPSHOT", 10)
    first, second = registry.snapshot(), registry.snapshot()
    image_id = registry.image(first, second)
    results = registry.ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)["DeleteSnapshotResults"]
    assert {result["SnapshotId"]: result["ReturnCode"] for result in results} == {first: "success", second: "success"}
    restore = registry.ec2.restore_image_from_recycle_bin
    assert refused(restore, ImageId=image_id) == (
        "IncorrectState",
        f"The image {image_id} cannot be restored while the snapshots {first}, {second} that it needs are in the "
        "Recycle Bin. Restore them first.",
    )
    registry.ec2.restore_snapshot_from_recycle_bin(SnapshotId=first)
    assert refused(restore, ImageId=image_id) == (
        "IncorrectState",
        f"The image {image_id} cannot be restored while the snapshot {second} that it needs is in the "
        "Recycle Bin. Restore it first.",
    )
    registry.ec2.restore_snapshot_from_recycle_bin(SnapshotId=second)
    assert refused(restore, ImageId=image_id, DryRun=True)[0] == "DryRunOperation"
    restore(ImageId=image_id)
    assert registry.seen(image_id)["State"] == "available"


@pytest.mark.proves("ec2", "RestoreImageFromRecycleBin")
def test_a_name_that_was_taken_meanwhile_stands_against_a_restore(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 7)
    first = registry.image(name="popular")
    registry.ec2.deregister_image(ImageId=first)
    second = registry.image(name="popular")
    assert refused(registry.ec2.restore_image_from_recycle_bin, ImageId=first) == (
        "InvalidAMIName.Duplicate", f"AMI name popular is already in use by AMI {second}",
    )  # fmt: skip
    registry.ec2.deregister_image(ImageId=second)
    registry.ec2.restore_image_from_recycle_bin(ImageId=first)


@pytest.mark.proves("ec2", "RestoreImageFromRecycleBin", "EnableImageBlockPublicAccess")
def test_a_restore_makes_nothing_public_where_the_account_blocks_that(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 7)
    image_id = registry.image()
    registry.share(image_id, registry.stranger_id, public=True)
    registry.ec2.deregister_image(ImageId=image_id)
    registry.ec2.enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
    registry.ec2.restore_image_from_recycle_bin(ImageId=image_id)
    assert registry.grants(image_id) == [{"UserId": registry.stranger_id}]


@pytest.mark.proves("ec2", "RestoreImageFromRecycleBin", "DisableImage")
def test_a_disabled_image_comes_back_disabled(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 7)
    image_id = registry.image()
    registry.ec2.disable_image(ImageId=image_id)
    registry.ec2.deregister_image(ImageId=image_id)
    registry.ec2.restore_image_from_recycle_bin(ImageId=image_id)
    assert registry.seen(image_id, IncludeDisabled=True)["State"] == "disabled"


@pytest.mark.proves("ec2", "DeleteSnapshot", "ListSnapshotsInRecycleBin", "RestoreSnapshotFromRecycleBin")
def test_a_deleted_snapshot_is_kept_and_comes_back_as_it_was(registry: Registry) -> None:
    registry.rule("EBS_SNAPSHOT", 3)
    snapshot = registry.snapshot(Description="a disk")
    registry.ec2.modify_snapshot_attribute(
        SnapshotId=snapshot, CreateVolumePermission={"Add": [{"UserId": registry.stranger_id}]}
    )
    (before,) = registry.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    registry.ec2.delete_snapshot(SnapshotId=snapshot)
    now = registry.clock.moment
    assert registry.ec2.list_snapshots_in_recycle_bin()["Snapshots"] == [
        {
            "SnapshotId": snapshot, "Description": "a disk", "VolumeId": "vol-ffffffff",
            "RecycleBinEnterTime": now, "RecycleBinExitTime": now + 3 * DAY,
        }
    ]  # fmt: skip
    gone = ("InvalidSnapshot.NotFound", f"The snapshot '{snapshot}' does not exist.")
    ec2 = registry.ec2
    for call, words in (
        (ec2.delete_snapshot, {}),
        (ec2.lock_snapshot, {"LockMode": "governance", "LockDuration": 1}),
        (ec2.describe_snapshot_attribute, {"Attribute": "createVolumePermission"}),
    ):
        assert refused(call, SnapshotId=snapshot, **words) == gone
    assert refused(ec2.describe_snapshots, SnapshotIds=[snapshot])[0] == "InvalidSnapshot.NotFound"
    assert registry.stranger.describe_snapshots(RestorableByUserIds=["self"])["Snapshots"] == []
    assert refused(lambda: registry.image(snapshot))[0] == "InvalidSnapshot.NotFound"
    assert refused(registry.ebs.list_snapshot_blocks, SnapshotId=snapshot)[0] == "ResourceNotFoundException"
    ec2.create_tags(Resources=[snapshot], Tags=[{"Key": "kept", "Value": "yes"}])
    answer = ec2.restore_snapshot_from_recycle_bin(SnapshotId=snapshot)
    assert (answer["SnapshotId"], answer["State"], answer["VolumeSize"]) == (snapshot, "completed", 1)
    (after,) = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert after == before | {"Tags": [{"Key": "kept", "Value": "yes"}]}
    (seen,) = registry.stranger.describe_snapshots(RestorableByUserIds=["self"])["Snapshots"]
    assert seen["SnapshotId"] == snapshot
    assert refused(ec2.restore_snapshot_from_recycle_bin, SnapshotId=snapshot) == gone
    assert refused(ec2.restore_snapshot_from_recycle_bin, SnapshotId="snap-x")[0] == "InvalidSnapshotID.Malformed"


@pytest.mark.proves("ec2", "RestoreSnapshotFromRecycleBin", "EnableSnapshotBlockPublicAccess")
def test_a_restored_snapshot_is_not_public_where_the_account_blocks_that(registry: Registry) -> None:
    registry.rule("EBS_SNAPSHOT", 3)
    snapshot, ec2 = registry.snapshot(), registry.ec2
    both = [{"UserId": registry.stranger_id}, {"Group": "all"}]
    ec2.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": both})
    ec2.delete_snapshot(SnapshotId=snapshot)
    ec2.enable_snapshot_block_public_access(State="block-new-sharing")
    assert refused(ec2.restore_snapshot_from_recycle_bin, SnapshotId=snapshot, DryRun=True)[0] == "DryRunOperation"
    ec2.restore_snapshot_from_recycle_bin(SnapshotId=snapshot)
    answer = ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    assert answer["CreateVolumePermissions"] == [{"UserId": registry.stranger_id}]


@pytest.mark.proves("ec2", "ListSnapshotsInRecycleBin")
def test_binned_snapshots_are_listed_by_id_and_in_pages_of_five_and_more(registry: Registry) -> None:
    registry.rule("EBS_SNAPSHOT", 3)
    made = {registry.snapshot() for _ in range(6)}
    for snapshot in made:
        registry.ec2.delete_snapshot(SnapshotId=snapshot)
    call, one = registry.ec2.list_snapshots_in_recycle_bin, sorted(made)[0]
    pages = list(registry.ec2.get_paginator("list_snapshots_in_recycle_bin").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Snapshots"]) for page in pages] == [5, 1]
    assert {each["SnapshotId"] for page in pages for each in page["Snapshots"]} == made
    assert [each["SnapshotId"] for each in call(SnapshotIds=[one])["Snapshots"]] == [one]
    code, text = refused(call, MaxResults=4)
    assert code == "InvalidParameterValue" and "Expecting a value greater than or equal to 5." in text
    assert refused(call, SnapshotIds=["snap-0123456789abcdef0"])[0] == "InvalidSnapshot.NotFound"
    assert refused(call, SnapshotIds=["x"])[0] == "InvalidSnapshotID.Malformed"
    assert registry.stranger.list_snapshots_in_recycle_bin()["Snapshots"] == []


@pytest.mark.proves("ec2", "ListImagesInRecycleBin", "DeregisterImage")
def test_the_longest_of_the_rules_that_match_wins_and_tags_decide(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 2, ExcludeResourceTags=[{"ResourceTagKey": "scratch"}])
    registry.rule("EC2_IMAGE", 30, ResourceTags=[{"ResourceTagKey": "env", "ResourceTagValue": "prod"}])
    long = registry.rule("EC2_IMAGE", 90, ResourceTags=[{"ResourceTagKey": "keep"}])
    snapshot = registry.snapshot()
    kept: dict[str, int] = {}
    for tags, days in (
        ({}, 2), ({"env": "prod"}, 30), ({"env": "test"}, 2), ({"env": "prod", "keep": "x"}, 90), ({"scratch": ""}, 0),
        ({"scratch": "", "env": "prod"}, 30),
    ):  # fmt: skip
        image_id = registry.image(snapshot)
        if tags:
            pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
            registry.ec2.create_tags(Resources=[image_id], Tags=pairs)
        registry.ec2.deregister_image(ImageId=image_id)
        kept[image_id] = days
    registry.rbin.delete_rule(Identifier=long)  # what it put into the bin stays for its time
    listed = registry.ec2.list_images_in_recycle_bin()["Images"]
    lengths = {each["ImageId"]: (each["RecycleBinExitTime"] - each["RecycleBinEnterTime"]).days for each in listed}
    assert lengths == {image_id: number for image_id, number in kept.items() if number}


@pytest.mark.proves("ec2", "DeleteSnapshot", "DeregisterImage")
def test_a_binned_image_holds_its_snapshots_unless_a_rule_keeps_them_too(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 7)
    snapshot = registry.snapshot()
    image_id = registry.image(snapshot)
    answer = registry.ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    assert answer["DeleteSnapshotResults"] == [{"SnapshotId": snapshot, "ReturnCode": "skipped"}]
    assert refused(registry.ec2.delete_snapshot, SnapshotId=snapshot) == (
        "InvalidSnapshot.InUse", f"The snapshot {snapshot} is currently in use by {image_id}",
    )  # fmt: skip
    registry.rule("EBS_SNAPSHOT", 1)
    registry.ec2.delete_snapshot(SnapshotId=snapshot)
    registry.clock.pass_(days=1)
    assert registry.ec2.list_snapshots_in_recycle_bin()["Snapshots"] == []
    code, text = refused(registry.ec2.restore_image_from_recycle_bin, ImageId=image_id)
    assert (code, text) == (
        "IncorrectState",
        f"The image {image_id} cannot be restored: the snapshot {snapshot} that it needs left the Recycle Bin for good.",
    )


@pytest.mark.proves("ec2", "ListImagesInRecycleBin", "RestoreImageFromRecycleBin")
def test_what_is_over_is_gone_before_and_after_the_sweep(registry: Registry) -> None:
    registry.rule("EC2_IMAGE", 1)
    registry.rule("EBS_SNAPSHOT", 1)
    snapshot = registry.snapshot()
    image_id = registry.image(snapshot)
    registry.ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    registry.clock.pass_(days=1)
    for ended in (0, 2):
        assert registry.ec2.list_images_in_recycle_bin()["Images"] == []
        assert registry.ec2.list_snapshots_in_recycle_bin()["Snapshots"] == []
        restore = registry.ec2.restore_image_from_recycle_bin
        assert refused(restore, ImageId=image_id)[0] == "InvalidAMIID.NotFound"
        restore = registry.ec2.restore_snapshot_from_recycle_bin
        assert refused(restore, SnapshotId=snapshot)[0] == "InvalidSnapshot.NotFound"
        if ended == 0:
            assert end_what_is_over(registry.services) >= 2  # other tests' accounts have things there too
    assert end_what_is_over(registry.services) == 0


@pytest.mark.proves("ec2", "DeregisterImage", "DeleteSnapshot")
def test_a_snapshot_can_be_deleted_as_soon_as_its_image_is_deregistered(registry: Registry) -> None:
    for _ in range(40):  # the case's thousand: each is one transaction after another, none is luck
        snapshot = registry.snapshot()
        image_id = registry.image(snapshot)
        registry.ec2.deregister_image(ImageId=image_id)
        registry.ec2.delete_snapshot(SnapshotId=snapshot)
    assert registry.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


# ── locks ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "LockSnapshot", "UnlockSnapshot", "DescribeLockedSnapshots", "DeleteSnapshot")
def test_governance_locks_until_it_is_taken_away_or_expires(registry: Registry) -> None:
    snapshot, now, ec2 = registry.snapshot(), registry.clock.moment, registry.ec2
    answer = ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance", LockDuration=10)
    assert (answer["LockState"], answer["LockDuration"]) == ("governance", 10)
    assert (answer["LockCreatedOn"], answer["LockDurationStartTime"]) == (now, now)
    assert answer["LockExpiresOn"] == now + 10 * DAY and "CoolOffPeriod" not in answer
    assert refused(ec2.delete_snapshot, SnapshotId=snapshot) == (
        "OperationNotPermitted",
        f"The snapshot {snapshot} is locked in governance mode until 2026-03-11T12:00:00Z: it cannot be deleted.",
    )
    image_id = registry.image(snapshot)
    answer = ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    assert answer["DeleteSnapshotResults"] == [{"SnapshotId": snapshot, "ReturnCode": "client-error"}]
    assert ec2.unlock_snapshot(SnapshotId=snapshot)["SnapshotId"] == snapshot
    assert refused(ec2.unlock_snapshot, SnapshotId=snapshot) == (
        "InvalidParameterValue", f"The snapshot {snapshot} is not locked.",
    )  # fmt: skip
    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance", ExpirationDate=now + timedelta(days=2, hours=1))
    (row,) = ec2.describe_locked_snapshots()["Snapshots"]
    assert (row["LockState"], row["LockDuration"]) == ("governance", 3)
    registry.clock.pass_(days=3)
    (row,) = ec2.describe_locked_snapshots(Filters=[{"Name": "lock-state", "Values": ["expired"]}])["Snapshots"]
    assert (row["SnapshotId"], row["OwnerId"]) == (snapshot, registry.owner_id)
    assert ec2.describe_locked_snapshots(Filters=[{"Name": "lock-state", "Values": ["governance"]}])["Snapshots"] == []
    ec2.delete_snapshot(SnapshotId=snapshot)
    assert ec2.describe_locked_snapshots()["Snapshots"] == []


@pytest.mark.proves("ec2", "LockSnapshot", "UnlockSnapshot")
def test_compliance_past_its_cooling_off_can_only_be_extended(registry: Registry) -> None:
    snapshot, ec2 = registry.snapshot(), registry.ec2
    answer = ec2.lock_snapshot(SnapshotId=snapshot, LockMode="compliance", LockDuration=5, CoolOffPeriod=2)
    assert (answer["LockState"], answer["CoolOffPeriod"]) == ("compliance-cooloff", 2)
    assert answer["CoolOffPeriodExpiresOn"] == registry.clock.moment + timedelta(hours=2)
    ec2.unlock_snapshot(SnapshotId=snapshot)
    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="compliance", LockDuration=9, CoolOffPeriod=2)
    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="compliance", LockDuration=5, CoolOffPeriod=1)
    registry.clock.pass_(hours=1)
    assert ec2.describe_locked_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["LockState"] == "compliance"
    assert refused(ec2.unlock_snapshot, SnapshotId=snapshot) == (
        "IncorrectState",
        f"The snapshot {snapshot} is locked in compliance mode and its cooling-off period is over: it cannot be unlocked.",
    )
    assert refused(ec2.lock_snapshot, SnapshotId=snapshot, LockMode="governance", LockDuration=9) == (
        "IncorrectState",
        f"The snapshot {snapshot} is locked in compliance mode and its cooling-off period is over: "
        "its lock mode cannot be changed.",
    )
    longer = {"SnapshotId": snapshot, "LockMode": "compliance", "LockDuration": 9}
    assert refused(ec2.lock_snapshot, **longer, CoolOffPeriod=1) == (
        "InvalidParameterCombination", f"The cooling-off period of the lock on {snapshot} is over: omit CoolOffPeriod.",
    )  # fmt: skip
    assert refused(ec2.lock_snapshot, **{**longer, "LockDuration": 1}) == (
        "InvalidParameterValue",
        f"The snapshot {snapshot} is locked in compliance mode until 2026-03-06T12:00:00Z: its lock can only be extended.",
    )
    assert ec2.lock_snapshot(**longer)["LockExpiresOn"] == registry.clock.moment + 9 * DAY
    code, text = refused(ec2.delete_snapshot, SnapshotId=snapshot)
    assert code == "OperationNotPermitted" and "compliance mode" in text


@pytest.mark.proves("ec2", "LockSnapshot")
@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ({}, "InvalidParameterCombination", "Specify either LockDuration or ExpirationDate, and not both."),
        ({"LockDuration": 1, "ExpirationDate": "2026-04-01T00:00:00Z"}, "InvalidParameterCombination", "not both"),
        ({"LockDuration": 0}, "InvalidParameterValue", "LockDuration"),
        ({"LockDuration": 36501}, "InvalidParameterValue", "LockDuration"),
        ({"ExpirationDate": "2026-03-01T12:00:00Z"}, "InvalidParameterValue", "It must be in the future."),
        ({"ExpirationDate": "2126-03-01T12:00:00Z"}, "InvalidParameterValue", "36500 days at most"),
        ({"LockDuration": 1, "CoolOffPeriod": 1}, "InvalidParameterCombination", "CoolOffPeriod is for compliance mode"),
        ({"LockDuration": 1, "LockMode": "compliance", "CoolOffPeriod": 0}, "InvalidParameterValue", "CoolOffPeriod"),
        ({"LockDuration": 1, "LockMode": "compliance", "CoolOffPeriod": 73}, "InvalidParameterValue", "CoolOffPeriod"),
        ({"LockDuration": 1, "LockMode": "strict"}, "InvalidParameterValue", "LockMode"),
        ({"LockDuration": 1, "SnapshotId": "snap-x"}, "InvalidSnapshotID.Malformed", "snap-x"),
        ({"LockDuration": 1, "SnapshotId": "snap-0123456789abcdef0"}, "InvalidSnapshot.NotFound", "does not exist"),
        ({"LockDuration": 1, "DryRun": True}, "DryRunOperation", "DryRun flag is set"),
    ],
)  # fmt: skip
def test_a_lock_that_cannot_be_is_refused(registry: Registry, words: dict[str, Any], code: str, text: str) -> None:
    asked = {"SnapshotId": registry.snapshot(), "LockMode": "governance"} | words
    told = refused(registry.ec2.lock_snapshot, **asked)
    assert told[0] == code and text in told[1]
    assert registry.ec2.describe_locked_snapshots()["Snapshots"] == []


@pytest.mark.proves("ec2", "DescribeLockedSnapshots", "UnlockSnapshot")
def test_locks_are_listed_for_their_owner_and_ids_are_checked(registry: Registry) -> None:
    made = [registry.snapshot() for _ in range(6)]
    for snapshot in made:
        registry.ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance", LockDuration=1)
    call = registry.ec2.describe_locked_snapshots
    page = call(MaxResults=5)
    assert len(page["Snapshots"]) == 5
    assert len(call(MaxResults=5, NextToken=page["NextToken"])["Snapshots"]) == 1
    assert [row["SnapshotId"] for row in call(SnapshotIds=[made[0]])["Snapshots"]] == [made[0]]
    assert registry.stranger.describe_locked_snapshots()["Snapshots"] == []
    assert refused(registry.stranger.describe_locked_snapshots, SnapshotIds=[made[0]])[0] == "InvalidSnapshot.NotFound"
    assert refused(registry.stranger.unlock_snapshot, SnapshotId=made[0])[0] == "InvalidSnapshot.NotFound"
    assert refused(call, SnapshotIds=["x"])[0] == "InvalidSnapshotID.Malformed"
    assert refused(call, MaxResults=4)[0] == "InvalidParameterValue"
    assert refused(call, Filters=[{"Name": "colour", "Values": ["red"]}])[0] == "InvalidParameterValue"


@pytest.mark.proves("ec2", "LockSnapshot")
def test_the_duration_of_a_pending_snapshots_lock_begins_with_its_completion(registry: Registry) -> None:
    snapshot = registry.ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    answer = registry.ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance", LockDuration=1)
    assert "LockExpiresOn" not in answer and "LockDurationStartTime" not in answer
    completed = registry.clock.pass_(minutes=30)
    registry.ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0)
    (row,) = registry.ec2.describe_locked_snapshots()["Snapshots"]
    assert (row["LockDurationStartTime"], row["LockExpiresOn"]) == (completed, completed + DAY)
