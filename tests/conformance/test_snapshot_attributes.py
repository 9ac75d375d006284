"""createVolumePermission as stock boto3 gives and reads it: who sees a snapshot, reads its blocks, and makes volumes of it."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.database import accounts, product_codes, snapshot_selection
from amiable.database import images as image_rows
from amiable.model.errors import InvalidRequest
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.units import BLOCK_BYTES
from amiable.rules.permission import check_copy
from tests.server.edge import Edge
from tests.support.publisher import another_client, new_snapshot, publishing_edge, refused, register, registration
from tests.support.services import make_account

pytestmark = pytest.mark.proves(
    "ec2", "DescribeSnapshots", "DescribeSnapshotAttribute", "ModifySnapshotAttribute", "ResetSnapshotAttribute"
)
ALL = {"Group": "all"}
CREATE = "createVolumePermission"
TINY: dict[str, Any] = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, "DryRun": True}
BLOCK = b"\x05" * BLOCK_BYTES


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("snapshots")) as running:
        yield running


@pytest.fixture(scope="module")
def stranger(edge: Edge) -> Iterator[Any]:
    """A second account's clients: EC2, with EBS direct as ``client.ebs``."""
    account, _ = make_account(edge.services, "sharee")
    keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
    with closing(edge.client("ec2", **keys)) as client, closing(edge.client("ebs", **keys)) as ebs:
        client.account_id, client.ebs = account.account_id, ebs
        yield client


@pytest.fixture
def snapshot_id(edge: Edge, ec2: Any) -> Iterator[str]:
    """A snapshot of one block."""
    with closing(edge.client("ebs")) as ebs:
        made = str(ebs.start_snapshot(VolumeSize=1)["SnapshotId"])
        digest = b64encode(hashlib.sha256(BLOCK).digest()).decode()
        facts = {"DataLength": BLOCK_BYTES, "Checksum": digest, "ChecksumAlgorithm": "SHA256"}
        ebs.put_snapshot_block(SnapshotId=made, BlockIndex=0, BlockData=BLOCK, **facts)
        ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=1)
    yield made
    ec2.reset_snapshot_attribute(SnapshotId=made, Attribute=CREATE)
    ec2.delete_snapshot(SnapshotId=made)


def share(ec2: Any, snapshot_id: str, *permissions: dict[str, str]) -> None:
    ec2.modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission={"Add": list(permissions)})


def shared_with(ec2: Any, snapshot_id: str) -> list[dict[str, str]]:
    answer = ec2.describe_snapshot_attribute(SnapshotId=snapshot_id, Attribute=CREATE)
    assert answer.pop("ResponseMetadata") and answer.pop("SnapshotId") == snapshot_id
    assert list(answer) == ["CreateVolumePermissions"], "one attribute was asked for"
    return list(answer["CreateVolumePermissions"])


def seen(client: Any, **words: Any) -> set[str]:
    return {snapshot["SnapshotId"] for snapshot in client.describe_snapshots(**words)["Snapshots"]}


# ── both styles, read back ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_snapshot_is_shared_in_both_styles_and_reset(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    user = {"UserId": stranger.account_id}
    assert shared_with(ec2, snapshot_id) == []
    share(ec2, snapshot_id, user, ALL)
    share(ec2, snapshot_id, user)  # there already
    assert shared_with(ec2, snapshot_id) == sorted([user, ALL], key=lambda each: next(iter(each.values())))
    flat = {"SnapshotId": snapshot_id, "Attribute": CREATE}
    ec2.modify_snapshot_attribute(**flat, OperationType="remove", GroupNames=["all"])
    assert shared_with(ec2, snapshot_id) == [user]
    ec2.modify_snapshot_attribute(**flat, OperationType="remove", UserIds=["999999999999"])  # absent already
    ec2.modify_snapshot_attribute(**flat, OperationType="add", GroupNames=["all"])
    ec2.modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission={"Remove": [user]})
    assert shared_with(ec2, snapshot_id) == [ALL]
    assert refused(ec2.reset_snapshot_attribute, **flat, DryRun=True)[0] == "DryRunOperation"
    assert shared_with(ec2, snapshot_id) == [ALL]
    ec2.reset_snapshot_attribute(**flat)
    assert shared_with(ec2, snapshot_id) == []


def test_packer_says_everything_in_both_styles_at_once(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    users = [stranger.account_id]
    structured = {"Add": [{"UserId": user} for user in users]}
    ec2.modify_snapshot_attribute(SnapshotId=snapshot_id, UserIds=users, CreateVolumePermission=structured)
    ec2.modify_snapshot_attribute(SnapshotId=snapshot_id, GroupNames=["all"], CreateVolumePermission={"Add": [ALL]})
    assert sorted(shared_with(ec2, snapshot_id), key=str) == [ALL, *structured["Add"]]


def test_five_hundred_changes_go_in_one_call_and_no_more(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    users = [f"{number:012d}" for number in range(1, 502)]
    with edge.services.database.write() as c:
        for user in users:
            accounts.insert_account(c, accounts.Account(user, user, False, edge.services.now()))
    flat = {"SnapshotId": snapshot_id, "Attribute": CREATE, "OperationType": "add"}
    text = "A request may change 500 permissions of a snapshot at most; this one names 501."
    assert refused(ec2.modify_snapshot_attribute, **flat, UserIds=users) == ("InvalidParameterValue", text)
    assert shared_with(ec2, snapshot_id) == []
    ec2.modify_snapshot_attribute(**flat, UserIds=users[:500])
    assert shared_with(ec2, snapshot_id) == [{"UserId": user} for user in users[:500]]


# ── nothing on an error ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ({"CreateVolumePermission": {"Add": [ALL, {"UserId": "12"}]}}, "InvalidAMIAttributeItemValue",
         'Invalid attribute item value "12" for userId item type.'),
        ({"CreateVolumePermission": {"Add": [ALL, {"UserId": "999999999999"}]}}, "InvalidAMIAttributeItemValue",
         'Invalid attribute item value "999999999999" for userId item type.'),
        ({"CreateVolumePermission": {"Add": [ALL, {"Group": "all "}]}}, "InvalidAMIAttributeItemValue",
         'Invalid attribute item value "all " for UserGroup item type.'),
        ({"OperationType": "add", "GroupNames": ["all", "everyone"]}, "InvalidAMIAttributeItemValue",
         'Invalid attribute item value "everyone" for UserGroup item type.'),
        ({"CreateVolumePermission": {"Add": [ALL], "Remove": [{"UserId": "999999999999"}]}}, "InvalidParameterCombination",
         "CreateVolumePermission.Add and CreateVolumePermission.Remove cannot be used in one request."),
        ({"CreateVolumePermission": {"Add": [ALL]}, "OperationType": "remove", "GroupNames": ["all"]}, "InvalidParameterCombination",
         "UserId, UserGroup, OrganizationArn and OperationType say something else than Add and Remove do."),
        ({"CreateVolumePermission": {"Add": [ALL]}, "UserIds": ["999999999999"]}, "InvalidParameterCombination",
         "UserId, UserGroup, OrganizationArn and OperationType say something else than Add and Remove do."),
        ({"OperationType": "toggle", "GroupNames": ["all"]}, "InvalidParameterValue",
         "Value (toggle) for parameter OperationType is invalid. Valid values: add, remove."),
        ({"GroupNames": ["all"]}, "MissingParameter", "The request must contain the parameter operationType"),
        ({"OperationType": "add"}, "MissingParameter", "The request must contain the parameter userId"),
        ({"Attribute": CREATE}, "MissingParameter", "The request must contain the parameter createVolumePermission"),
        ({"Attribute": "productCodes", "OperationType": "add", "GroupNames": ["all"]}, "InvalidParameterValue",
         "Value (productCodes) for parameter attribute is invalid. Only createVolumePermission can be changed."),
    ],
)  # fmt: skip
def test_what_is_wrong_changes_nothing(ec2: Any, snapshot_id: str, words: dict[str, Any], code: str, text: str) -> None:
    assert refused(ec2.modify_snapshot_attribute, SnapshotId=snapshot_id, **words) == (code, text)
    assert shared_with(ec2, snapshot_id) == []


@pytest.mark.parametrize("verb", ["describe", "modify", "reset"])
def test_only_the_owner_reads_and_changes_an_attribute(ec2: Any, stranger: Any, snapshot_id: str, verb: str) -> None:
    def call(client: Any) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(client, f"{verb}_snapshot_attribute")
        return found

    words: dict[str, Any] = {"Attribute": CREATE}
    if verb == "modify":
        words |= {"OperationType": "add", "GroupNames": ["all"]}
    missing = ("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    assert refused(call(stranger), SnapshotId=snapshot_id, **words) == missing
    share(ec2, snapshot_id, {"UserId": stranger.account_id})
    denied = ("AuthFailure", f"Not authorized for snapshot:{snapshot_id}")
    assert refused(call(stranger), SnapshotId=snapshot_id, **words) == denied
    assert refused(stranger.delete_snapshot, SnapshotId=snapshot_id) == denied
    malformed = ("InvalidSnapshotID.Malformed", 'Invalid id: "vol-1" (expecting "snap-...")')
    assert refused(call(ec2), SnapshotId="vol-1", **words) == malformed
    assert refused(call(ec2), SnapshotId="snap-00000000", **words)[0] == "InvalidSnapshot.NotFound"
    code, text = refused(call(ec2), SnapshotId=snapshot_id, **{**words, "Attribute": "colour"})
    assert code == "InvalidParameterValue" and text.startswith("Value (colour) for parameter Attribute is invalid.")


def test_a_snapshot_with_product_codes_is_shared_with_accounts_but_never_public(
    edge: Edge, ec2: Any, stranger: Any, snapshot_id: str
) -> None:
    with edge.services.database.write() as c:
        product_codes.put_codes(c, snapshot_id, [ProductCode("ABCDEF0123456789", ProductCodeType.DEVPAY)])
    code, text = refused(ec2.modify_snapshot_attribute, SnapshotId=snapshot_id, CreateVolumePermission={"Add": [ALL]})
    assert code == "OperationNotPermitted"
    assert text == f"The snapshot {snapshot_id} carries product codes and cannot be made public: ABCDEF0123456789."
    share(ec2, snapshot_id, {"UserId": stranger.account_id})
    assert shared_with(ec2, snapshot_id) == [{"UserId": stranger.account_id}]
    answer = ec2.describe_snapshot_attribute(SnapshotId=snapshot_id, Attribute="productCodes")
    assert answer["ProductCodes"] == [{"ProductCodeId": "ABCDEF0123456789", "ProductCodeType": "devpay"}]


def test_an_image_is_not_public_whose_snapshot_carries_a_code(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "coded below")
    ec2.disable_image_block_public_access()
    with edge.services.database.write() as c:
        product_codes.put_codes(c, snapshot_id, [ProductCode("ABCDEF0123456789", ProductCodeType.DEVPAY)])
    code, text = refused(ec2.modify_image_attribute, ImageId=image_id, LaunchPermission={"Add": [ALL]})
    assert code == "OperationNotPermitted"
    assert text == f"The image {image_id} carries product codes and cannot be made public: ABCDEF0123456789."
    ec2.deregister_image(ImageId=image_id)


# ── who sees what ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_owners_and_restorers_select(edge: Edge, ec2: Any, stranger: Any, snapshot_id: str) -> None:
    me, them = edge.account.account_id, stranger.account_id
    private, public = new_snapshot(edge), new_snapshot(edge)
    theirs = new_snapshot(edge, stranger.ebs)
    share(ec2, snapshot_id, {"UserId": them})
    share(ec2, public, ALL)
    assert seen(stranger) == {theirs, snapshot_id, public}
    assert seen(stranger, OwnerIds=["self"]) == {theirs}
    assert seen(stranger, OwnerIds=[me]) == {snapshot_id, public}
    assert seen(stranger, RestorableByUserIds=["self"]) == {theirs, snapshot_id}
    assert seen(stranger, RestorableByUserIds=["all"]) == {public}
    assert seen(stranger, RestorableByUserIds=["self", "all"], OwnerIds=[me]) == {snapshot_id, public}
    assert seen(stranger, RestorableByUserIds=[me]) == set(), "what another may restore is not the caller's to know"
    assert seen(ec2, RestorableByUserIds=[them]) == {snapshot_id}
    assert {private, public, snapshot_id} <= seen(ec2, RestorableByUserIds=["self"])
    assert theirs not in seen(ec2)
    assert seen(stranger, SnapshotIds=[private, public]) == {public}, "what it may not see is left out, as on EC2"
    missing = ("InvalidSnapshot.NotFound", "The snapshot 'snap-00000000' does not exist.")
    assert refused(stranger.describe_snapshots, SnapshotIds=[public, "snap-00000000"]) == missing
    for words in ({"OwnerIds": ["all"]}, {"RestorableByUserIds": ["amazon"]}, {"OwnerIds": ["12"]}):
        ((value,),) = words.values()
        assert refused(ec2.describe_snapshots, **words) == ("InvalidUserID.Malformed", f'Invalid user id: "{value}"')
    for each in (private, public):
        ec2.delete_snapshot(SnapshotId=each)
    stranger.delete_snapshot(SnapshotId=theirs)


def test_an_owners_alias_selects_and_is_shown(edge: Edge, ec2: Any, stranger: Any, snapshot_id: str) -> None:
    share(ec2, snapshot_id, ALL)
    (before,) = stranger.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
    assert "OwnerAlias" not in before and seen(stranger, OwnerIds=["amazon"]) == set()
    with edge.services.database.write() as c:
        accounts.set_owner_alias(c, edge.account.account_id, "amazon")
    (after,) = stranger.describe_snapshots(OwnerIds=["amazon"])["Snapshots"]
    assert after == before | {"OwnerAlias": "amazon"}
    named = [{"Name": "owner-alias", "Values": ["ama*"]}]
    assert seen(stranger, Filters=named) == {snapshot_id}
    with edge.services.database.write() as c:
        accounts.set_owner_alias(c, edge.account.account_id, None)
    assert seen(stranger, Filters=named) == set()


def test_every_filter_selects(ec2: Any, snapshot_id: str) -> None:
    (shown,) = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
    ec2.create_tags(Resources=[snapshot_id], Tags=[{"Key": "a", "Value": "b"}])
    started = f"{shown['StartTime']:%Y-%m-%dT%H:%M}*"
    matching = {
        "description": "",
        "encrypted": "false",
        "owner-id": shown["OwnerId"],
        "progress": "100%",
        "snapshot-id": snapshot_id,
        "start-time": started,
        "status": "completed",
        "storage-tier": "standard",
        "tag:a": "b",
        "tag-key": "a",
        "volume-id": shown["VolumeId"],
        "volume-size": "1",
    }
    for name, value in matching.items():
        assert seen(ec2, Filters=[{"Name": name, "Values": [value]}]) >= {snapshot_id}, name
        other = [{"Name": name, "Values": ["nothing like it"]}]
        assert seen(ec2, Filters=other) == set(), name
    assert seen(ec2, Filters=[{"Name": "transfer-type", "Values": ["standard"]}]) == set(), "it is no copy"


def test_pages_stay_right_while_snapshots_come_and_go(edge: Edge, ec2: Any, stranger: Any) -> None:
    made = sorted(new_snapshot(edge, completed=False) for _ in range(11))
    for each in made:
        share(ec2, each, {"UserId": stranger.account_id})
    first = stranger.describe_snapshots(MaxResults=5)
    assert [each["SnapshotId"] for each in first["Snapshots"]] == made[:5]
    ec2.reset_snapshot_attribute(SnapshotId=made[4], Attribute=CREATE)
    ec2.reset_snapshot_attribute(SnapshotId=made[5], Attribute=CREATE)
    rest = stranger.describe_snapshots(MaxResults=1000, NextToken=first["NextToken"])
    assert [each["SnapshotId"] for each in rest["Snapshots"]] == made[6:] and "NextToken" not in rest
    for each in made:
        ec2.delete_snapshot(SnapshotId=each)


# ── what the permission is for ──────────────────────────────────────────────────────────────────────────────────────────


def denied(call: Callable[..., Any], **words: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**words)
    response = caught.value.response
    return response["Error"]["Code"], str(response.get("Reason", ""))


@pytest.mark.proves("ebs", "ListSnapshotBlocks", "GetSnapshotBlock", "StartSnapshot")
def test_a_sharee_reads_blocks_and_begins_with_them_and_the_public_does_not(
    edge: Edge, ec2: Any, stranger: Any, snapshot_id: str
) -> None:
    ebs, nobody = stranger.ebs, ("AccessDeniedException", "UNAUTHORIZED_ACCOUNT")
    child = {"VolumeSize": 1, "ParentSnapshotId": snapshot_id}
    share(ec2, snapshot_id, ALL)
    assert denied(ebs.list_snapshot_blocks, SnapshotId=snapshot_id) == nobody
    assert denied(ebs.start_snapshot, **child) == nobody
    share(ec2, snapshot_id, {"UserId": stranger.account_id})
    (block,) = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"]
    token = {"BlockIndex": 0, "BlockToken": block["BlockToken"]}
    assert ebs.get_snapshot_block(SnapshotId=snapshot_id, **token)["BlockData"].read() == BLOCK
    facts = {"DataLength": BLOCK_BYTES, "Checksum": "x" * 44, "ChecksumAlgorithm": "SHA256", "BlockData": BLOCK}
    assert denied(ebs.put_snapshot_block, SnapshotId=snapshot_id, BlockIndex=1, **facts) == nobody
    assert denied(ebs.complete_snapshot, SnapshotId=snapshot_id, ChangedBlocksCount=1) == nobody
    made = ebs.start_snapshot(**child)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=0)
    ec2.reset_snapshot_attribute(SnapshotId=snapshot_id, Attribute=CREATE)
    assert denied(ebs.get_snapshot_block, SnapshotId=snapshot_id, **token) == nobody, "a token outlives no permission"
    (own,) = ebs.list_snapshot_blocks(SnapshotId=made)["Blocks"]
    data = ebs.get_snapshot_block(SnapshotId=made, BlockIndex=0, BlockToken=own["BlockToken"])["BlockData"].read()
    assert data == BLOCK, "what was begun with it is the sharee's own"
    stranger.delete_snapshot(SnapshotId=made)


def test_an_image_is_registered_of_ones_own_snapshots_only(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    share(ec2, snapshot_id, {"UserId": stranger.account_id}, ALL)
    code, _ = refused(stranger.register_image, **registration(snapshot_id, "not mine"))
    assert code == "InvalidSnapshot.NotFound"


def test_a_launch_maps_a_shared_snapshot_and_no_other(edge: Edge, ec2: Any, stranger: Any, snapshot_id: str) -> None:
    own = new_snapshot(edge, stranger.ebs)
    image_id = register(stranger, own, "mine")
    words = {
        "ImageId": image_id,
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot_id}}],
    }
    missing = ("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    assert refused(stranger.run_instances, **words, **TINY) == missing
    share(ec2, snapshot_id, {"UserId": stranger.account_id})
    assert refused(stranger.run_instances, **words, **TINY)[0] == "DryRunOperation"
    ec2.reset_snapshot_attribute(SnapshotId=snapshot_id, Attribute=CREATE)
    share(ec2, snapshot_id, ALL)
    assert refused(stranger.run_instances, **words, **TINY)[0] == "DryRunOperation"


def test_an_image_may_be_public_while_its_snapshot_is_not_and_then_it_launches_but_is_not_copied(
    edge: Edge, ec2: Any, stranger: Any, snapshot_id: str
) -> None:
    image_id = register(ec2, snapshot_id, "public but closed")
    ec2.disable_image_block_public_access()
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [ALL]})
    assert refused(stranger.run_instances, ImageId=image_id, **TINY)[0] == "DryRunOperation"
    (shown,) = stranger.describe_images(ImageIds=[image_id])["Images"]
    assert shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot_id
    assert seen(stranger, SnapshotIds=[snapshot_id]) == set()

    def copy() -> None:
        with edge.services.database.read() as c:
            image = image_rows.get(c, "us-east-1", image_id, viewer=stranger.account_id)
            assert image is not None
            closed = snapshot_selection.closed(c, stranger.account_id, "us-east-1", [snapshot_id])
            check_copy(image, stranger.account_id, closed)

    with pytest.raises(InvalidRequest) as caught:
        copy()
    text = f"{snapshot_id}: no createVolumePermission for {stranger.account_id}."
    assert caught.value.message == f"You do not have permission to access the storage of this ami. {text}"
    share(ec2, snapshot_id, {"UserId": stranger.account_id})
    copy()
    ec2.deregister_image(ImageId=image_id)


def test_tags_of_a_shared_snapshot_are_the_taggers(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    tags = {"Resources": [snapshot_id], "Tags": [{"Key": "mine", "Value": "yes"}]}
    assert refused(stranger.create_tags, **tags)[0] == "InvalidSnapshot.NotFound"
    share(ec2, snapshot_id, {"UserId": stranger.account_id})
    stranger.create_tags(**tags)
    assert seen(stranger, Filters=[{"Name": "tag:mine", "Values": ["yes"]}]) == {snapshot_id}
    assert seen(ec2, Filters=[{"Name": "tag-key", "Values": ["mine"]}]) == set()


def test_permissions_end_with_the_snapshot(edge: Edge, ec2: Any, stranger: Any) -> None:
    made = new_snapshot(edge)
    share(ec2, made, {"UserId": stranger.account_id})
    ec2.delete_snapshot(SnapshotId=made)
    assert refused(stranger.describe_snapshots, SnapshotIds=[made])[0] == "InvalidSnapshot.NotFound"
    with another_client(edge, "third") as third:
        assert seen(third) == set()
