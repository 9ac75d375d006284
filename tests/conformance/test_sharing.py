"""Launch permissions as stock boto3 gives, reads and cancels them: who sees and launches what, and how many there may be."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import update

from amiable.database import accounts, organizations, sharing
from amiable.database.schema import image
from amiable.model.image import ImageState
from amiable.model.organization import Member, Organization, OrganizationalUnit
from tests.server.edge import Edge
from tests.support.publisher import another_client, new_snapshot, publishing_edge, refused, register, registration

ALL = {"Group": "all"}
NOT_HERE = "arn:aws:organizations::999999999999:organization/o-abcdefghij"
TINY: dict[str, Any] = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("sharing"), images_public_max=60, image_grantees_max=700) as running:
        yield running


@pytest.fixture(scope="module")
def ec2(edge: Edge) -> Iterator[Any]:
    with closing(edge.client("ec2")) as client:
        client.disable_image_block_public_access()
        yield client


@pytest.fixture(scope="module")
def stranger(edge: Edge) -> Iterator[Any]:
    with another_client(edge) as client:
        yield client


@pytest.fixture(scope="module")
def snapshot_id(edge: Edge) -> str:
    return new_snapshot(edge)


@pytest.fixture
def image_id(ec2: Any, snapshot_id: str, request: pytest.FixtureRequest) -> Iterator[str]:
    made = register(ec2, snapshot_id, request.node.originalname[:128].replace("_", " "))
    yield made
    ec2.deregister_image(ImageId=made)


def share(ec2: Any, image_id: str, **permission: str) -> None:
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [permission]})


def unshare(ec2: Any, image_id: str, **permission: str) -> None:
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Remove": [permission]})


def shared_with(ec2: Any, image_id: str) -> list[dict[str, str]]:
    answer = ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    return list(answer["LaunchPermissions"])


def sees(client: Any, image_id: str, **words: Any) -> bool:
    return image_id in [image["ImageId"] for image in client.describe_images(**words)["Images"]]


def launches(client: Any, image_id: str) -> str:
    """``ok``, or code and text of the refusal."""
    code, text = refused(client.run_instances, ImageId=image_id, DryRun=True, **TINY)
    return "ok" if code == "DryRunOperation" else f"{code}: {text}"


# ── organizations ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def units(edge: Edge, stranger: Any) -> Iterator[tuple[Organization, OrganizationalUnit, OrganizationalUnit]]:
    """An organization with one unit in another; the stranger lies in the inner one."""
    organization = Organization("o-0123456789", edge.account.account_id, "works")
    outer = OrganizationalUnit("ou-root-00000001", organization, None, "outer")
    inner = OrganizationalUnit("ou-root-00000002", organization, outer.id, "inner")
    with edge.services.database.write() as c:
        organizations.insert_organization(c, organization, now=edge.services.now())
        organizations.insert_unit(c, outer)
        organizations.insert_unit(c, inner)
        organizations.put_member(c, Member(stranger.account_id, organization.id, inner.id))
    yield organization, outer, inner
    with edge.services.database.write() as c:
        organizations.delete_member(c, stranger.account_id)
        organizations.delete_unit(c, inner.id)
        organizations.delete_unit(c, outer.id)
        organizations.delete_organization(c, organization.id)


@pytest.mark.proves("ec2", "ModifyImageAttribute", "DescribeImageAttribute")
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("style", ["structured", "flat"])
def test_a_permission_by_arn_binds_for_every_account_below_it(
    ec2: Any,
    stranger: Any,
    image_id: str,
    units: tuple[Organization, OrganizationalUnit, OrganizationalUnit],
    which: int,
    style: str,
) -> None:
    arn = units[which].arn
    item = "OrganizationArn" if which == 0 else "OrganizationalUnitArn"
    assert not sees(stranger, image_id)
    assert launches(stranger, image_id) == f"AuthFailure: Not authorized for images: [{image_id}]"

    def change(verb: str) -> None:
        if style == "structured":
            ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={verb.title(): [{item: arn}]})
        else:
            words = {"Attribute": "launchPermission", "OperationType": verb, item + "s": [arn]}
            ec2.modify_image_attribute(ImageId=image_id, **words)

    change("add")
    assert shared_with(ec2, image_id) == [{item: arn}]
    assert sees(stranger, image_id) and sees(stranger, image_id, ImageIds=[image_id])
    assert sees(stranger, image_id, ExecutableUsers=["self"])
    assert not sees(ec2, image_id, ExecutableUsers=[stranger.account_id]), (
        "an organization's grant is not the account's"
    )
    assert launches(stranger, image_id) == "ok"
    stranger.create_tags(Resources=[image_id], Tags=[{"Key": "mine", "Value": "yes"}])
    assert sees(stranger, image_id, Filters=[{"Name": "tag:mine", "Values": ["yes"]}])
    change("remove")
    assert shared_with(ec2, image_id) == [] and not sees(stranger, image_id)
    assert launches(stranger, image_id) == f"AuthFailure: Not authorized for images: [{image_id}]"


def test_who_leaves_the_organization_loses_what_it_was_given_through_it(
    edge: Edge, ec2: Any, stranger: Any, image_id: str, units: tuple[Organization, OrganizationalUnit, Any]
) -> None:
    organization, outer, _ = units
    share(ec2, image_id, OrganizationalUnitArn=outer.arn)
    assert sees(stranger, image_id)
    with edge.services.database.write() as c:
        organizations.put_member(c, Member(stranger.account_id, organization.id, None))
    assert not sees(stranger, image_id), "the account lies in no unit any more"
    share(ec2, image_id, OrganizationArn=organization.arn)
    assert sees(stranger, image_id)
    share(ec2, image_id, UserId=stranger.account_id)
    unshare(ec2, image_id, UserId=stranger.account_id)
    assert sees(stranger, image_id), "its own grant is gone, the organization's stays"
    with edge.services.database.write() as c:
        organizations.delete_member(c, stranger.account_id)
    assert not sees(stranger, image_id)


def test_an_arn_is_not_resolved_and_one_of_nobody_gives_nobody_anything(ec2: Any, stranger: Any, image_id: str) -> None:
    share(ec2, image_id, OrganizationArn=NOT_HERE)
    assert shared_with(ec2, image_id) == [{"OrganizationArn": NOT_HERE}]
    assert not sees(stranger, image_id)


@pytest.mark.parametrize(
    ("item", "plural", "value"),
    [
        ("UserId", "UserIds", None),
        ("Group", "UserGroups", "all"),
        ("OrganizationArn", "OrganizationArns", NOT_HERE),
        (
            "OrganizationalUnitArn",
            "OrganizationalUnitArns",
            NOT_HERE.replace("organization/", "ou/") + "/ou-root-00000001",
        ),
    ],
)
def test_packer_says_everything_in_both_styles_at_once(
    ec2: Any, stranger: Any, image_id: str, item: str, plural: str, value: str | None
) -> None:
    named = value or stranger.account_id
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{item: named}]}, **{plural: [named]})
    assert shared_with(ec2, image_id) == [{item: named}]


def test_two_styles_that_say_different_things_change_nothing(ec2: Any, stranger: Any, image_id: str) -> None:
    structured = {"ImageId": image_id, "LaunchPermission": {"Add": [{"UserId": stranger.account_id}]}}
    text = "UserId, UserGroup, OrganizationArn and OperationType say something else than Add and Remove do."
    for words in ({"UserGroups": ["all"]}, {"OperationType": "remove", "UserIds": [stranger.account_id]}):
        said = refused(ec2.modify_image_attribute, **structured, **words)
        assert said == ("InvalidParameterCombination", text) and shared_with(ec2, image_id) == []


# ── nothing on an error ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("item", "value", "named"),
    [
        ("UserId", "12345", "userId"),
        ("UserId", "amazon", "userId"),
        ("UserId", "999999999999", "userId"),
        ("Group", "all ", "UserGroup"),
        ("Group", "arn:aws:iam::123456789012:group/x", "UserGroup"),
        ("OrganizationArn", "o-abcdefghij", "organizationArn"),
        ("OrganizationArn", NOT_HERE + "/", "organizationArn"),
        ("OrganizationArn", "arn:aws:organizations::999999999999:ou/o-abcdefghij/ou-root-00000001", "organizationArn"),
        ("OrganizationalUnitArn", "ou-root-00000001", "organizationalUnitArn"),
        ("OrganizationalUnitArn", NOT_HERE, "organizationalUnitArn"),
    ],
)
@pytest.mark.parametrize("style", ["structured", "flat"])
def test_one_wrong_item_changes_nothing(ec2: Any, image_id: str, item: str, value: str, named: str, style: str) -> None:
    if style == "structured":
        words: dict[str, Any] = {"LaunchPermission": {"Add": [ALL, {item: value}]}}
    else:
        plural = {"UserId": "UserIds", "Group": "UserGroups"}.get(item, item + "s")
        words = {"Attribute": "launchPermission", "OperationType": "add", "UserGroups": ["all"]}
        words[plural] = [*words.get(plural, []), value]
    said = refused(ec2.modify_image_attribute, ImageId=image_id, **words)
    assert said == ("InvalidAMIAttributeItemValue", f'Invalid attribute item value "{value}" for {named} item type.')
    assert shared_with(ec2, image_id) == []


def test_only_the_owner_shares(ec2: Any, stranger: Any, image_id: str) -> None:
    share(ec2, image_id, **ALL)
    words = {"ImageId": image_id, "LaunchPermission": {"Add": [{"UserId": stranger.account_id}]}}
    assert refused(stranger.modify_image_attribute, **words) == ("AuthFailure", f"Not authorized for image:{image_id}")
    assert shared_with(ec2, image_id) == [ALL]


def test_nobody_but_its_owner_changes_an_image_of_a_house(edge: Edge, ec2: Any, stranger: Any, image_id: str) -> None:
    share(ec2, image_id, **ALL)
    with edge.services.database.write() as c:
        accounts.set_owner_alias(c, edge.account.account_id, "amazon")
    assert sees(stranger, image_id, Owners=["amazon"])
    calls: list[tuple[Any, dict[str, Any]]] = [
        (stranger.modify_image_attribute, {"Description": {"Value": "mine"}}),
        (stranger.modify_image_attribute, {"LaunchPermission": {"Remove": [ALL]}}),
        (stranger.reset_image_attribute, {"Attribute": "launchPermission"}),
        (stranger.deregister_image, {}),
    ]
    for call, words in calls:
        denied = ("AuthFailure", f"Not authorized for image:{image_id}")
        assert refused(call, ImageId=image_id, **words) == denied
    with edge.services.database.write() as c:
        accounts.set_owner_alias(c, edge.account.account_id, None)
    assert shared_with(ec2, image_id) == [ALL]


# ── CancelImageLaunchPermission ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "CancelImageLaunchPermission")
def test_a_recipient_gives_back_what_names_it_and_nothing_else(
    ec2: Any, stranger: Any, image_id: str, units: tuple[Organization, Any, Any]
) -> None:
    own = f"Not authorized for image:{image_id}. None of its launch permissions names the account {{}} itself; "
    rest = "what it may through the group all or an organization only the owner takes away."
    share(ec2, image_id, OrganizationArn=units[0].arn)
    share(ec2, image_id, **ALL)
    expected = ("AuthFailure", own.format(stranger.account_id) + rest)
    assert refused(stranger.cancel_image_launch_permission, ImageId=image_id) == expected
    share(ec2, image_id, UserId=stranger.account_id)
    code, _ = refused(stranger.cancel_image_launch_permission, ImageId=image_id, DryRun=True)
    assert code == "DryRunOperation" and len(shared_with(ec2, image_id)) == 3
    assert stranger.cancel_image_launch_permission(ImageId=image_id)["Return"] is True
    assert sorted(shared_with(ec2, image_id), key=str) == [ALL, {"OrganizationArn": units[0].arn}]
    assert refused(stranger.cancel_image_launch_permission, ImageId=image_id) == expected
    owners = ("AuthFailure", own.format(units[0].account_id) + rest)
    assert refused(ec2.cancel_image_launch_permission, ImageId=image_id) == owners


@pytest.mark.parametrize(
    ("image", "code", "text"),
    [
        ("ami-00000000", "InvalidAMIID.NotFound", "The image id '[ami-00000000]' does not exist"),
        ("i-00000000", "InvalidAMIID.Malformed", 'Invalid id: "i-00000000" (expecting "ami-...")'),
    ],
)
def test_what_is_no_image_cannot_be_given_back(stranger: Any, image: str, code: str, text: str) -> None:
    assert refused(stranger.cancel_image_launch_permission, ImageId=image) == (code, text)


def test_a_deregistered_image_cannot_be_given_back(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "short lived")
    share(ec2, image_id, UserId=stranger.account_id)
    ec2.deregister_image(ImageId=image_id)
    said = refused(stranger.cancel_image_launch_permission, ImageId=image_id)
    assert said == ("InvalidAMIID.Unavailable", f"The image id '[{image_id}]' is no longer available")


# ── quotas ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_public_image_more_than_the_quota_is_refused_and_each_removal_frees_one_at_once(
    ec2: Any, snapshot_id: str
) -> None:
    made = [register(ec2, snapshot_id, f"release {number}") for number in range(61)]
    for image_id in made[:60]:
        share(ec2, image_id, **ALL)
    said = refused(ec2.modify_image_attribute, ImageId=made[60], LaunchPermission={"Add": [ALL]})
    text = "The account has 60 public images in this region and may have 60."
    assert said == ("ResourceLimitExceeded", text) and shared_with(ec2, made[60]) == []
    share(ec2, made[0], **ALL)  # public already: nothing more becomes so
    for number in range(50):
        unshare(ec2, made[number], **ALL)
        share(ec2, made[60], **ALL)
        unshare(ec2, made[60], **ALL)
    for image_id in made[:50]:
        share(ec2, image_id, **ALL)
    assert refused(ec2.modify_image_attribute, ImageId=made[60], LaunchPermission={"Add": [ALL]})[1] == text
    ec2.deregister_image(ImageId=made[59])
    share(ec2, made[60], **ALL)
    for image_id in (*made[:59], made[60]):
        ec2.deregister_image(ImageId=image_id)


def test_five_hundred_accounts_come_and_go_exactly(edge: Edge, ec2: Any, image_id: str) -> None:
    users = [f"{number:012d}" for number in range(1, 702)]
    with edge.services.database.write() as c:
        for user in users:
            accounts.insert_account(c, accounts.Account(user, user, False, edge.services.now()))
    share(ec2, image_id, **ALL)
    flat = {"ImageId": image_id, "Attribute": "launchPermission"}
    ec2.modify_image_attribute(**flat, OperationType="add", UserIds=users[:500])
    expected = [ALL, *({"UserId": user} for user in users[:500])]
    assert sorted(shared_with(ec2, image_id), key=str) == sorted(expected, key=str)
    said = refused(ec2.modify_image_attribute, **flat, OperationType="add", UserIds=users[500:701])
    text = "An image can be shared with 700 entities at most; this would make 701."
    assert said == ("ResourceLimitExceeded", text) and len(shared_with(ec2, image_id)) == 501
    ec2.modify_image_attribute(**flat, OperationType="add", UserIds=users[500:700])  # ``all`` is no entity
    ec2.modify_image_attribute(**flat, OperationType="add", UserIds=users[:10])  # there already: nothing more
    ec2.modify_image_attribute(**flat, OperationType="remove", UserIds=users[:500])
    expected = [ALL, *({"UserId": user} for user in users[500:700])]
    assert sorted(shared_with(ec2, image_id), key=str) == sorted(expected, key=str)


def test_an_image_more_than_the_quota_is_refused_binned_ones_counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with (
        publishing_edge(tmp_path_factory.mktemp("quota"), images_max=2) as edge,
        closing(edge.client("ec2")) as ec2,
        another_client(edge) as other,
    ):
        snapshot_id = new_snapshot(edge)
        first, second = (register(ec2, snapshot_id, name) for name in ("first", "second"))
        words = registration(snapshot_id, "third")
        text = "The account has 2 images in this region and may have 2."
        assert refused(ec2.register_image, **words) == ("ResourceLimitExceeded", text)
        assert refused(ec2.register_image, **words, DryRun=True)[0] == "ResourceLimitExceeded"
        assert refused(other.register_image, **words)[0] == "InvalidSnapshot.NotFound", "not the other account's quota"
        with edge.services.database.write() as c:
            binned = {"state": ImageState.BINNED.value, "deregistered_at": edge.services.now()}
            c.execute(update(image).where(image.c.id == second).values(**binned))
            assert sharing.count_images(c, edge.account.account_id, "us-east-1") == 2
        assert refused(ec2.register_image, **words) == ("ResourceLimitExceeded", text)
        ec2.deregister_image(ImageId=first)
        assert ec2.register_image(**words)["ImageId"].startswith("ami-")
