"""An image's attributes as stock boto3 reads, changes and resets them, in both request styles."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.server.edge import Edge
from tests.support.publisher import another_client, described, new_snapshot, publishing_edge, refused, register

pytestmark = pytest.mark.proves("ec2", "DescribeImageAttribute", "ModifyImageAttribute", "ResetImageAttribute")

ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-a1b2c3d4e5"
UNIT = "arn:aws:organizations::123456789012:ou/o-a1b2c3d4e5/ou-ab12-cdefgh34"
OWNERS_ONLY = (
    "description", "kernel", "ramdisk", "launchPermission", "sriovNetSupport", "bootMode", "tpmSupport", "uefiData",
    "lastLaunchedTime", "imdsSupport", "deregistrationProtection",
)  # fmt: skip


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("attributes")) as running:
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


def read(ec2: Any, image_id: str, attribute: str) -> dict[str, Any]:
    """The attribute's part of the answer."""
    answer = ec2.describe_image_attribute(ImageId=image_id, Attribute=attribute)
    assert answer["ImageId"] == image_id
    return {word: value for word, value in answer.items() if word not in ("ImageId", "ResponseMetadata")}


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_attribute_is_read_by_itself(ec2: Any, snapshot_id: str) -> None:
    image_id = register(
        ec2, snapshot_id, "read", Description="old", BootMode="uefi", TpmSupport="v2.0", SriovNetSupport="simple"
    )
    assert read(ec2, image_id, "description") == {"Description": {"Value": "old"}}
    assert read(ec2, image_id, "bootMode") == {"BootMode": {"Value": "uefi"}}
    assert read(ec2, image_id, "tpmSupport") == {"TpmSupport": {"Value": "v2.0"}}
    assert read(ec2, image_id, "sriovNetSupport") == {"SriovNetSupport": {"Value": "simple"}}
    assert read(ec2, image_id, "deregistrationProtection") == {"DeregistrationProtection": {"Value": "disabled"}}
    assert read(ec2, image_id, "launchPermission") == {"LaunchPermissions": []}
    assert read(ec2, image_id, "productCodes") == {"ProductCodes": []}
    for attribute, word in (
        ("kernel", "KernelId"),
        ("ramdisk", "RamdiskId"),
        ("imdsSupport", "ImdsSupport"),
        ("uefiData", "UefiData"),
        ("lastLaunchedTime", "LastLaunchedTime"),
    ):
        assert read(ec2, image_id, attribute) in ({word: {}}, {})


def test_launches_and_protection_are_read_as_describe_images_shows_them(ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "lively")
    ec2.run_instances(ImageId=image_id, InstanceType="amiable.tiny", MinCount=1, MaxCount=1)
    ec2.enable_image_deregistration_protection(ImageId=image_id, WithCooldown=True)
    image = described(ec2, image_id)
    assert read(ec2, image_id, "lastLaunchedTime") == {"LastLaunchedTime": {"Value": image["LastLaunchedTime"]}}
    assert read(ec2, image_id, "deregistrationProtection") == {
        "DeregistrationProtection": {"Value": "enabled-with-cooldown"}
    }


def test_the_map_is_for_describe_images_and_other_words_are_none(ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "unreadable")
    code, text = refused(ec2.describe_image_attribute, ImageId=image_id, Attribute="blockDeviceMapping")
    assert code == "AuthFailure"
    assert text.startswith("Unauthorized attempt to access restricted resource: blockDeviceMapping.")
    for word in ("colour", "Description", "platform"):
        code, text = refused(ec2.describe_image_attribute, ImageId=image_id, Attribute=word)
        assert code == "InvalidParameterValue" and word in text


def test_a_sharer_reads_product_codes_and_nothing_else(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "shared")
    denied = ("AuthFailure", f"Not authorized for image:{image_id}")
    for attribute in (*OWNERS_ONLY, "productCodes"):
        assert refused(stranger.describe_image_attribute, ImageId=image_id, Attribute=attribute) == denied
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": stranger.account_id}]})
    for attribute in OWNERS_ONLY:
        assert refused(stranger.describe_image_attribute, ImageId=image_id, Attribute=attribute) == denied
    assert read(stranger, image_id, "productCodes") == {"ProductCodes": []}


# ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_description_is_changed_in_both_styles(ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "renamed", Description="old")
    for words, expected in (
        ({"Description": {"Value": "new"}}, "new"),
        ({"Attribute": "description", "Value": "newer"}, "newer"),
    ):
        ec2.modify_image_attribute(ImageId=image_id, **words)
        assert described(ec2, image_id)["Description"] == expected
    ec2.modify_image_attribute(ImageId=image_id, Description={"Value": ""})
    assert described(ec2, image_id).get("Description", "") == ""


def test_launch_permissions_are_changed_in_both_styles(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "permitted")
    items = [
        {"UserId": stranger.account_id},
        {"Group": "all"},
        {"OrganizationArn": ORGANIZATION},
        {"OrganizationalUnitArn": UNIT},
    ]
    flat = {
        "UserIds": [stranger.account_id],
        "UserGroups": ["all"],
        "OrganizationArns": [ORGANIZATION],
        "OrganizationalUnitArns": [UNIT],
    }
    old = {"ImageId": image_id, "Attribute": "launchPermission", **flat}

    def granted() -> set[tuple[str, str]]:
        return {tuple(*item.items()) for item in read(ec2, image_id, "launchPermission")["LaunchPermissions"]}

    everything = {tuple(*item.items()) for item in items}
    for _ in range(2):
        ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": items})
        assert granted() == everything
    for _ in range(2):
        ec2.modify_image_attribute(OperationType="remove", **old)
        assert granted() == set()
    ec2.modify_image_attribute(OperationType="add", **old)
    assert granted() == everything
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Remove": items})
    assert granted() == set()


def test_imds_support_is_set_in_both_styles_and_never_unset(ec2: Any, snapshot_id: str) -> None:
    run = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
    styles: tuple[dict[str, Any], ...] = (
        {"ImdsSupport": {"Value": "v2.0"}},
        {"Attribute": "imdsSupport", "Value": "v2.0"},
    )
    for number, words in enumerate(styles):
        image_id = register(ec2, snapshot_id, f"metadata {number}")
        for _ in range(2):
            ec2.modify_image_attribute(ImageId=image_id, **words)
            assert described(ec2, image_id)["ImdsSupport"] == "v2.0"
            assert read(ec2, image_id, "imdsSupport") == {"ImdsSupport": {"Value": "v2.0"}}
        for value in ("", "v1.0", "optional"):
            assert refused(ec2.modify_image_attribute, ImageId=image_id, ImdsSupport={"Value": value}) == (
                "InvalidParameterValue",
                f"Value ({value}) for parameter imdsSupport is invalid. "
                "It can be set to v2.0 only, and never be undone.",
            )
        assert described(ec2, image_id)["ImdsSupport"] == "v2.0"
    (made,) = ec2.run_instances(ImageId=image_id, **run)["Instances"]
    options = made["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ({}, "MissingParameter", "The request must contain the parameter attribute"),
        ({"Attribute": "description"}, "MissingParameter", "The request must contain the parameter description"),
        ({"Attribute": "imdsSupport"}, "MissingParameter", "The request must contain the parameter imdsSupport"),
        ({"Attribute": "launchPermission"}, "MissingParameter", "The request must contain the parameter operationType"),
        ({"Attribute": "launchPermission", "OperationType": "add"}, "MissingParameter", "The request must contain the parameter userId"),
        ({"Value": "x"}, "MissingParameter", "The request must contain the parameter attribute"),
        ({"Attribute": "colour", "Value": "x"}, "InvalidParameterValue", "Value ( colour ) for parameter attribute is invalid. Unknown attribute."),
        ({"Attribute": "bootMode", "Value": "uefi"}, "InvalidParameterValue", "Value ( bootMode ) for parameter attribute is invalid. Only description, launchPermission, imdsSupport can be changed."),
        ({"Attribute": "kernel", "Value": "aki-12345678"}, "InvalidParameterValue", "Value ( kernel ) for parameter attribute is invalid."),
        ({"ProductCodes": ["774F4FF8"]}, "UnsupportedOperation", "ProductCodes are not supported by ModifyImageAttribute"),
        ({"Attribute": "productCodes", "ProductCodes": ["774F4FF8"]}, "UnsupportedOperation", "ProductCodes are not supported by ModifyImageAttribute"),
        ({"Description": {"Value": "x"}, "ImdsSupport": {"Value": "v2.0"}}, "InvalidParameterCombination", "Only one attribute can be changed in a request"),
        ({"Description": {"Value": "x"}, "LaunchPermission": {"Add": [{"Group": "all"}]}}, "InvalidParameterCombination", "Only one attribute can be changed in a request"),
        ({"Attribute": "description", "Value": "x", "UserGroups": ["all"]}, "InvalidParameterCombination", "Only one attribute can be changed in a request"),
        ({"Attribute": "launchPermission", "OperationType": "add", "UserGroups": ["all"], "Value": "x"}, "InvalidParameterCombination", "Value can be used only when Attribute is description or imdsSupport."),
        ({"LaunchPermission": {"Add": [{"Group": "all"}]}, "UserIds": ["123456789012"]}, "InvalidParameterCombination", ""),
        ({"LaunchPermission": {"Add": [{"Group": "all"}], "Remove": [{"Group": "all"}]}}, "InvalidParameterCombination", "The same launch permission cannot be added and removed: all."),
        ({"LaunchPermission": {"Add": [{"Group": "all"}, {"UserId": "me"}]}}, "InvalidAMIAttributeItemValue", 'Invalid attribute item value "me" for userId item type.'),
        ({"LaunchPermission": {"Add": [{"Group": "all"}, {"Group": "everyone"}]}}, "InvalidAMIAttributeItemValue", 'Invalid attribute item value "everyone" for UserGroup item type.'),
        ({"LaunchPermission": {"Add": [{"Group": "all"}, {"UserId": "000000000001"}]}}, "InvalidAMIAttributeItemValue", 'Invalid attribute item value "000000000001" for userId item type.'),
        ({"LaunchPermission": {"Add": [{"Group": "all"}, {"OrganizationArn": "o-a1b2c3d4e5"}]}}, "InvalidAMIAttributeItemValue", 'Invalid attribute item value "o-a1b2c3d4e5" for organizationArn item type.'),
    ],
)  # fmt: skip
def test_a_change_that_is_refused_changes_nothing(
    ec2: Any, snapshot_id: str, words: dict[str, Any], code: str, text: str
) -> None:
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["unchanged"]}])["Images"] or [None]
    image_id = image["ImageId"] if image else register(ec2, snapshot_id, "unchanged", Description="old")
    before = described(ec2, image_id)
    seen = refused(ec2.modify_image_attribute, ImageId=image_id, **words)
    assert seen[0] == code and seen[1].startswith(text), seen
    assert described(ec2, image_id) == before and before["Public"] is False


def test_only_the_owner_changes_and_resets_and_a_dry_run_does_neither(
    ec2: Any, stranger: Any, snapshot_id: str
) -> None:
    image_id = register(ec2, snapshot_id, "guarded", Description="old")
    public = {"LaunchPermission": {"Add": [{"Group": "all"}]}}
    assert refused(ec2.modify_image_attribute, ImageId=image_id, **public, DryRun=True)[0] == "DryRunOperation"
    assert described(ec2, image_id)["Public"] is False
    ec2.modify_image_attribute(ImageId=image_id, **public)
    denied = ("AuthFailure", f"Not authorized for image:{image_id}")
    reset = {"ImageId": image_id, "Attribute": "launchPermission"}
    assert refused(stranger.modify_image_attribute, ImageId=image_id, Description={"Value": "mine"}) == denied
    assert refused(stranger.reset_image_attribute, **reset) == denied
    assert refused(ec2.reset_image_attribute, **reset, DryRun=True)[0] == "DryRunOperation"
    assert described(stranger, image_id)["Description"] == "old"


# ── resetting ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reset_makes_an_image_private_again(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "reset")
    items = [
        {"UserId": stranger.account_id},
        {"Group": "all"},
        {"OrganizationArn": ORGANIZATION},
        {"OrganizationalUnitArn": UNIT},
    ]
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": items})
    assert described(stranger, image_id)["Public"] is True
    for _ in range(2):
        ec2.reset_image_attribute(ImageId=image_id, Attribute="launchPermission")
        assert read(ec2, image_id, "launchPermission") == {"LaunchPermissions": []}
    assert described(ec2, image_id)["Public"] is False
    assert refused(stranger.describe_images, ImageIds=[image_id])[0] == "InvalidAMIID.NotFound"


@pytest.mark.parametrize("attribute", ["description", "imdsSupport", "kernel", "colour"])
def test_only_launch_permission_is_reset(edge: Edge, ec2: Any, snapshot_id: str, attribute: str) -> None:
    code, text = refused(ec2.reset_image_attribute, ImageId="ami-12345678", Attribute=attribute)
    assert code == "InvalidParameterValue" and attribute in text


# ── ids ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("describe_image_attribute", {"Attribute": "description"}),
        ("modify_image_attribute", {"Description": {"Value": "x"}}),
        ("reset_image_attribute", {"Attribute": "launchPermission"}),
    ],
)
def test_an_id_is_malformed_unknown_or_no_longer_available(
    ec2: Any, snapshot_id: str, call: str, words: dict[str, Any]
) -> None:
    gone = register(ec2, snapshot_id, f"gone {call}")
    ec2.deregister_image(ImageId=gone)
    for image_id, code, text in (
        ("foo", "InvalidAMIID.Malformed", 'Invalid id: "foo" (expecting "ami-...")'),
        ("i-12345678", "InvalidAMIID.Malformed", 'Invalid id: "i-12345678" (expecting "ami-...")'),
        ("ami-xyzxyzxy", "InvalidAMIID.Malformed", 'Invalid id: "ami-xyzxyzxy" (expecting "ami-...")'),
        ("ami-12345678", "InvalidAMIID.NotFound", "The image id '[ami-12345678]' does not exist"),
        (gone, "InvalidAMIID.Unavailable", f"The image id '[{gone}]' is no longer available"),
    ):
        assert refused(getattr(ec2, call), ImageId=image_id, **words) == (code, text)
