"""The guards against public images and snapshots as stock boto3 sets and reads them, and what they bind."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.server.edge import Edge
from tests.support.publisher import another_client, new_snapshot, publishing_edge, refused, register

pytestmark = pytest.mark.proves(
    "ec2",
    "EnableImageBlockPublicAccess",
    "DisableImageBlockPublicAccess",
    "GetImageBlockPublicAccessState",
    "EnableSnapshotBlockPublicAccess",
    "DisableSnapshotBlockPublicAccess",
    "GetSnapshotBlockPublicAccessState",
)
ALL = {"Group": "all"}
IMAGES_GUARDED = (
    "OperationNotPermitted",
    "You can't publicly share this image because block public access for AMIs is enabled for this account. "
    "To publicly share the image, you must call the DisableImageBlockPublicAccess API.",
)
SNAPSHOTS_GUARDED = (
    "OperationNotPermitted",
    "You can't publicly share this snapshot because block public access for snapshots is enabled for this account. "
    "To publicly share the snapshot, you must call the DisableSnapshotBlockPublicAccess API.",
)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("guard"), regions=("us-east-1", "eu-west-1")) as running:
        yield running


@pytest.fixture(scope="module")
def stranger(edge: Edge) -> Iterator[Any]:
    with another_client(edge) as client:
        yield client


@pytest.fixture
def ec2(edge: Edge) -> Iterator[Any]:
    """A client of the account, whose guards stand as a new account's after the test."""
    with closing(edge.client("ec2")) as client:
        yield client
        client.enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
        client.disable_snapshot_block_public_access()


@pytest.fixture(scope="module")
def snapshot_id(edge: Edge) -> str:
    return new_snapshot(edge)


def images_state(client: Any) -> tuple[str, str]:
    answer = client.get_image_block_public_access_state()
    return answer["ImageBlockPublicAccessState"], answer["ManagedBy"]


def snapshots_state(client: Any) -> tuple[str, str]:
    answer = client.get_snapshot_block_public_access_state()
    return answer["State"], answer["ManagedBy"]


def test_a_new_account_has_its_images_guarded_and_its_snapshots_not(ec2: Any, stranger: Any) -> None:
    for client in (ec2, stranger):
        assert images_state(client) == ("block-new-sharing", "account")
        assert snapshots_state(client) == ("unblocked", "account")


def test_a_change_holds_at_once_and_for_one_account_in_one_region(edge: Edge, ec2: Any, stranger: Any) -> None:
    with closing(edge.client("ec2", region_name="eu-west-1")) as elsewhere:
        assert ec2.disable_image_block_public_access()["ImageBlockPublicAccessState"] == "unblocked"
        assert ec2.enable_snapshot_block_public_access(State="block-all-sharing")["State"] == "block-all-sharing"
        assert (images_state(ec2)[0], snapshots_state(ec2)[0]) == ("unblocked", "block-all-sharing")
        for other in (elsewhere, stranger):
            assert (images_state(other)[0], snapshots_state(other)[0]) == ("block-new-sharing", "unblocked")
    answer = ec2.enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
    assert answer["ImageBlockPublicAccessState"] == "block-new-sharing"
    assert (images_state(ec2)[0], snapshots_state(ec2)[0]) == ("block-new-sharing", "block-all-sharing")
    assert ec2.enable_snapshot_block_public_access(State="block-new-sharing")["State"] == "block-new-sharing"
    assert ec2.disable_snapshot_block_public_access()["State"] == "unblocked"
    assert snapshots_state(ec2)[0] == "unblocked"


def test_a_dry_run_changes_no_guard(ec2: Any) -> None:
    for call, words in (
        (ec2.disable_image_block_public_access, {}),
        (ec2.enable_snapshot_block_public_access, {"State": "block-all-sharing"}),
        (ec2.get_image_block_public_access_state, {}),
        (ec2.get_snapshot_block_public_access_state, {}),
    ):
        assert refused(call, **words, DryRun=True)[0] == "DryRunOperation"
    assert (images_state(ec2)[0], snapshots_state(ec2)[0]) == ("block-new-sharing", "unblocked")


def test_a_guard_is_enabled_only_with_a_state_that_guards(ec2: Any) -> None:
    code, text = refused(ec2.enable_image_block_public_access, ImageBlockPublicAccessState="unblocked")
    assert code == "InvalidParameterValue"
    assert text.startswith("Value (unblocked) for parameter ImageBlockPublicAccessState is invalid.")
    code, text = refused(ec2.enable_snapshot_block_public_access, State="unblocked")
    assert code == "InvalidParameterValue"
    assert text == (
        "Value (unblocked) for parameter State is invalid. Expecting block-all-sharing or block-new-sharing; "
        "DisableSnapshotBlockPublicAccess lifts the guard."
    )
    assert (images_state(ec2)[0], snapshots_state(ec2)[0]) == ("block-new-sharing", "unblocked")


@pytest.mark.parametrize("style", ["structured", "flat"])
def test_no_image_becomes_public_under_the_guard_and_those_that_are_stay_so(
    ec2: Any, stranger: Any, snapshot_id: str, style: str
) -> None:
    image_id = register(ec2, snapshot_id, f"guarded {style}")
    users = {"UserId": stranger.account_id}

    def publish() -> dict[str, Any]:
        if style == "structured":
            return {"ImageId": image_id, "LaunchPermission": {"Add": [ALL, users]}}
        flat = {"Attribute": "launchPermission", "OperationType": "add", "UserGroups": ["all"]}
        return {"ImageId": image_id, **flat, "UserIds": [stranger.account_id]}

    def shared_with() -> list[dict[str, str]]:
        answer = ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
        return sorted(answer["LaunchPermissions"], key=str)

    assert refused(ec2.modify_image_attribute, **publish()) == IMAGES_GUARDED
    assert refused(ec2.modify_image_attribute, **publish(), DryRun=True) == IMAGES_GUARDED
    assert shared_with() == []
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [users]})  # the guard is not about accounts
    ec2.disable_image_block_public_access()
    ec2.modify_image_attribute(**publish())
    ec2.enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
    assert shared_with() == [ALL, users]
    (seen,) = stranger.describe_images(ImageIds=[image_id])["Images"]
    assert seen["Public"] is True
    ec2.modify_image_attribute(**publish())  # public already: nothing becomes so
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Remove": [ALL]})
    assert refused(ec2.modify_image_attribute, **publish()) == IMAGES_GUARDED
    ec2.deregister_image(ImageId=image_id)


@pytest.mark.parametrize("state", ["block-new-sharing", "block-all-sharing"])
def test_no_snapshot_becomes_public_under_either_guard(edge: Edge, ec2: Any, stranger: Any, state: str) -> None:
    made = new_snapshot(edge)
    publish = {"SnapshotId": made, "CreateVolumePermission": {"Add": [ALL, {"UserId": stranger.account_id}]}}
    ec2.enable_snapshot_block_public_access(State=state)
    assert refused(ec2.modify_snapshot_attribute, **publish) == SNAPSHOTS_GUARDED
    answer = ec2.describe_snapshot_attribute(SnapshotId=made, Attribute="createVolumePermission")
    assert answer["CreateVolumePermissions"] == []
    ec2.disable_snapshot_block_public_access()
    ec2.modify_snapshot_attribute(**publish)
    ec2.delete_snapshot(SnapshotId=made)


def test_what_is_public_is_hidden_by_the_guard_against_all_sharing_and_by_no_other(
    edge: Edge, ec2: Any, stranger: Any
) -> None:
    made = new_snapshot(edge)
    publish = {"SnapshotId": made, "CreateVolumePermission": {"Add": [ALL]}}
    ec2.modify_snapshot_attribute(**publish)

    def seen() -> list[str]:
        every, named = stranger.describe_snapshots(), stranger.describe_snapshots(SnapshotIds=[made])
        public = stranger.describe_snapshots(RestorableByUserIds=["all"])
        assert every["Snapshots"] == named["Snapshots"] == public["Snapshots"]
        return [snapshot["SnapshotId"] for snapshot in every["Snapshots"]]

    assert seen() == [made]
    ec2.enable_snapshot_block_public_access(State="block-new-sharing")
    assert seen() == [made]
    ec2.enable_snapshot_block_public_access(State="block-all-sharing")
    assert seen() == []
    answer = ec2.describe_snapshot_attribute(SnapshotId=made, Attribute="createVolumePermission")
    assert answer["CreateVolumePermissions"] == [ALL], "the attribute says public while it is hidden"
    ec2.modify_snapshot_attribute(SnapshotId=made, CreateVolumePermission={"Add": [{"UserId": stranger.account_id}]})
    assert [each["SnapshotId"] for each in stranger.describe_snapshots()["Snapshots"]] == [made], "it is named itself"
    ec2.modify_snapshot_attribute(SnapshotId=made, CreateVolumePermission={"Remove": [{"UserId": stranger.account_id}]})
    ec2.disable_snapshot_block_public_access()
    assert seen() == [made]
    ec2.delete_snapshot(SnapshotId=made)
