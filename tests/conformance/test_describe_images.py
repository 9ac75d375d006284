"""DescribeImages as stock boto3 asks it: every filter, owners, who may launch, what is hidden, pages, and what is refused."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import insert, update

from amiable.database import images, organizations, schema
from amiable.model.ids import mint
from amiable.model.image import ImageState
from amiable.model.organization import Member, Organization, OrganizationalUnit
from amiable.rules.deregistration import LEFT_OUT
from amiable.rules.filters import FILTERS_MAX
from amiable.rules.image_filters import FIELDS, OWNERS_FIELDS
from tests.rules.images import AN_IMAGE
from tests.server.edge import Edge
from tests.support.publisher import another_client, bad_ids, described, new_snapshot, publishing_edge, refused, register
from tests.support.sharing import allow_public_images

pytestmark = pytest.mark.proves("ec2", "DescribeImages")

FAR: Final = "eu-central-1"
LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("lists"), regions=("us-east-1", FAR)) as running:
        allow_public_images(running.services, running.account.account_id)
        yield running


@pytest.fixture(scope="module")
def stranger(edge: Edge) -> Iterator[Any]:
    with another_client(edge) as client:
        yield client


@pytest.fixture(scope="module")
def snapshot_id(edge: Edge) -> str:
    return new_snapshot(edge)


def names(client: Any, **request: Any) -> list[str]:
    """Names of what a request lists."""
    return [image["Name"] for image in client.describe_images(**request)["Images"]]


def filtered(client: Any, name: str, *values: str, **request: Any) -> list[str]:
    return names(client, Filters=[{"Name": name, "Values": list(values)}], **request)


def change(edge: Edge, image_id: str, **columns: Any) -> None:
    """Puts an image into a state that takes long to come about."""
    with edge.services.database.write() as c:
        c.execute(update(schema.image).where(schema.image.c.id == image_id).values(**columns))


def share(ec2: Any, image_id: str, **grantee: str) -> None:
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [grantee]})


# ── filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def rich(edge: Edge, ec2: Any, snapshot_id: str) -> dict[str, Any]:
    """An image that has something of everything, as DescribeImages shows it to its owner."""
    root = {"SnapshotId": snapshot_id, "VolumeSize": 9, "VolumeType": "gp3", "DeleteOnTermination": True}
    mappings = [{"DeviceName": "/dev/xvda", "Ebs": root}, {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}]
    tags = [{"ResourceType": "image", "Tags": [{"Key": "team", "Value": "web"}]}]
    image_id = register(
        *(ec2, snapshot_id, "rich 1.0"),
        Description="all of it",
        BootMode="uefi",
        EnaSupport=True,
        SriovNetSupport="simple",
        BlockDeviceMappings=mappings,
        TagSpecifications=tags,
    )
    ec2.attach_image_watermark(ImageId=image_id, WatermarkName="golden")
    ec2.replace_image_instance_type_specification(
        ImageId=image_id,
        InstanceTypeSpecification={"SupportedInstanceTypes": ["t3.*"], "UnsupportedInstanceTypes": ["t3.nano"]},
    )
    change(
        *(edge, image_id),
        kernel_id="aki-12345678",
        ramdisk_id="ari-12345678",
        platform="windows",
        state_reason_code="Client.UserInitiatedShutdown",
        state_reason_message="because",
        source_image_id="ami-87654321",
        source_image_region="eu-west-1",
        source_instance_id="i-87654321",
    )
    with edge.services.database.write() as c:
        code = {"resource_id": image_id, "code": "abc123", "position": 0, "type": "marketplace"}
        c.execute(insert(schema.resource_product_code).values(**code))
    return described(ec2, image_id)


FOUND: Final = {
    "architecture": "x86_64",
    "block-device-mapping.delete-on-termination": "true",
    "block-device-mapping.device-name": "/dev/sdb",
    "block-device-mapping.encrypted": "false",
    "block-device-mapping.volume-size": "9",
    "block-device-mapping.volume-type": "gp3",
    "boot-mode": "uefi",
    "description": "all*",
    "ena-support": "true",
    "hypervisor": "xen",
    "image-type": "machine",
    "image-watermark.source-image-creation-time": "20??-*+00:00",
    "image-watermark.source-image-region": "us-east-1",
    "image-watermark.watermark-creation-time": "20*000+00:00",
    "image-watermark.watermark-key": "*:golden",
    "instance-type-specification.supported-instance-type": "t3.\\*",
    "instance-type-specification.unsupported-instance-type": "t3.nano",
    "is-public": "false",
    "kernel-id": "aki-12345678",
    "manifest-location": "*/rich 1.0",
    "name": "rich ?.0",
    "platform": "windows",
    "product-code": "abc123",
    "product-code.type": "marketplace",
    "ramdisk-id": "ari-12345678",
    "root-device-name": "/dev/xvda",
    "root-device-type": "ebs",
    "source-image-id": "ami-87654321",
    "source-image-region": "eu-west-1",
    "source-instance-id": "i-87654321",
    "sriov-net-support": "simple",
    "state": "available",
    "state-reason-code": "Client.*",
    "state-reason-message": "because",
    "tag-key": "te*",
    "tag:team": "web",
    "virtualization-type": "hvm",
}
OF_THE_ANSWER: Final = {
    "block-device-mapping.snapshot-id": lambda image: image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"],
    "creation-date": lambda image: image["CreationDate"][:17] + "*",
    "image-id": lambda image: image["ImageId"],
    "image-watermark.source-image-id": lambda image: image["ImageId"],
    "owner-id": lambda image: image["OwnerId"],
}
NEVER: Final = {name for name in FIELDS if name.startswith("scan-result.")} | {"free-tier-eligible"}
ELSEWHERE: Final = {"owner-alias", "image-allowed", "public-ssm-parameter-name"}
"""Tested below, and with parameters."""


@pytest.mark.parametrize("name", sorted({*FOUND, *OF_THE_ANSWER}))
def test_a_filter_finds_what_has_the_value_and_nothing_else(ec2: Any, rich: dict[str, Any], name: str) -> None:
    value = FOUND[name] if name in FOUND else OF_THE_ANSWER[name](rich)
    assert "rich 1.0" in filtered(ec2, name, "x", value, Owners=["self"])
    assert filtered(ec2, name, "no such value") == []


def test_every_filter_of_the_reference_is_tested_here() -> None:
    tested = {*FOUND, *OF_THE_ANSWER, *NEVER, *ELSEWHERE} - {"tag:team"}
    assert tested == {*FIELDS, *OWNERS_FIELDS, "tag-key"}


@pytest.mark.parametrize("name", sorted(NEVER))
def test_what_no_image_has_is_a_filter_that_finds_nothing(ec2: Any, rich: dict[str, Any], name: str) -> None:
    assert filtered(ec2, name, "*") == []


def test_filters_and_values_or(ec2: Any, snapshot_id: str) -> None:
    for number in (1, 2, 3):
        register(ec2, snapshot_id, f"anded {number}", Description=f"d{number}")
    both = [{"Name": "name", "Values": ["anded 1", "anded 2"]}, {"Name": "description", "Values": ["d2", "d3"]}]
    assert names(ec2, Filters=both) == ["anded 2"]


def test_a_question_mark_is_one_character_escapes_are_literal_and_case_counts(ec2: Any, snapshot_id: str) -> None:
    for name in ("wild [1]", "wild 1", "wild 12", "Wild 1"):
        register(ec2, snapshot_id, name)
    assert filtered(ec2, "name", "wild ?") == ["wild 1"]
    assert filtered(ec2, "name", "wild [?]") == ["wild [1]"]
    assert filtered(ec2, "name", "wild *") == ["wild [1]", "wild 1", "wild 12"]
    assert filtered(ec2, "name", "wild \\*") == []
    assert filtered(ec2, "name", "?ild 1") == ["wild 1", "Wild 1"]


def test_every_legal_name_is_found_by_its_name(ec2: Any, snapshot_id: str) -> None:
    legal = "LST-04 (a) [b] ./-'@_"
    image_id = register(ec2, snapshot_id, legal)
    (found,) = ec2.describe_images(Filters=[{"Name": "name", "Values": [legal]}])["Images"]
    assert found["ImageId"] == image_id
    code, _ = refused(ec2.register_image, Name="a+b", DryRun=True)
    assert code == "InvalidAMIName.Malformed"


def test_a_filter_by_id_finds_nothing_where_naming_the_id_is_refused(ec2: Any) -> None:
    assert filtered(ec2, "image-id", "ami-12345678") == []


def test_the_allowed_images_settings_hide_or_tell(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "not allowed")
    share(ec2, image_id, UserId=stranger.account_id)
    assert filtered(stranger, "image-allowed", "true", "false") == [], "without settings an image lacks it"
    stranger.replace_image_criteria_in_allowed_images_settings(ImageCriteria=[{"ImageProviders": ["amazon"]}])
    stranger.enable_allowed_images_settings(AllowedImagesSettingsState="audit-mode")
    assert filtered(stranger, "image-allowed", "false") == ["not allowed"]
    assert described(stranger, image_id)["ImageAllowed"] is False
    stranger.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
    assert filtered(stranger, "name", "not allowed") == []
    code, text = refused(stranger.describe_images, ImageIds=[image_id])
    assert (code, text) == ("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    stranger.disable_allowed_images_settings()
    assert "ImageAllowed" not in described(stranger, image_id)


# ── who sees what ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_owners_are_accounts_self_and_aliases(edge: Edge, ec2: Any, stranger: Any, snapshot_id: str) -> None:
    with another_client(edge, "vendor") as vendor, closing(edge.client("ebs")):
        allow_public_images(edge.services, vendor.account_id)
        share(ec2, register(ec2, snapshot_id, "owned"), UserId=vendor.account_id)
        with edge.services.database.write() as c:
            account = schema.account.c.id == edge.account.account_id
            c.execute(update(schema.account).where(account).values(owner_alias="aws-marketplace"))
        assert names(vendor, Owners=["self"]) == []
        assert names(vendor, Owners=["self", edge.account.account_id]) == ["owned"]
        assert names(vendor, Owners=["aws-marketplace"]) == ["owned"]
        assert names(vendor, Owners=["amazon", "aws-backup-vault"]) == []
        assert filtered(vendor, "owner-alias", "aws-market*") == ["owned"]
        assert filtered(vendor, "owner-alias", "self") == []
        (image,) = vendor.describe_images(Owners=["aws-marketplace"])["Images"]
        assert image["ImageOwnerAlias"] == "aws-marketplace"
        with edge.services.database.write() as c:
            c.execute(update(schema.account).where(account).values(owner_alias=None))
        assert "ImageOwnerAlias" not in vendor.describe_images(ImageIds=[image["ImageId"]])["Images"][0]


def test_executable_users_go_by_explicit_grants(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    with another_client(edge, "member") as member, another_client(edge, "outsider") as outsider:
        organization = Organization("o-" + "e" * 10, edge.account.account_id, "works")
        unit = OrganizationalUnit("ou-root-0000000e", organization, None, "unit")
        with edge.services.database.write() as c:
            organizations.insert_organization(c, organization, now=edge.services.now())
            organizations.insert_unit(c, unit)
            organizations.put_member(c, Member(member.account_id, organization.id, unit.id))
        ids = {name: register(ec2, snapshot_id, name) for name in ("x direct", "x unit", "x public", "x private")}
        share(ec2, ids["x direct"], UserId=member.account_id)
        share(ec2, ids["x unit"], OrganizationalUnitArn=unit.arn)
        share(ec2, ids["x public"], Group="all")
        assert names(member, ExecutableUsers=["self"]) == ["x direct", "x unit"]
        assert names(member, ExecutableUsers=[member.account_id]) == ["x direct", "x unit"]
        assert names(member, ExecutableUsers=["self", "all"]) == ["x direct", "x unit", "x public"]
        assert names(ec2, ExecutableUsers=[member.account_id]) == ["x direct"], "an organization's grants do not count"
        assert names(ec2, ExecutableUsers=["self"]) == [], "what I merely own"
        assert "x public" in names(ec2, ExecutableUsers=["all"])
        assert names(outsider, ExecutableUsers=[member.account_id]) == []
        assert {name for name in names(member) if name.startswith("x ")} == {"x direct", "x unit", "x public"}
        ec2.reset_image_attribute(ImageId=ids["x public"], Attribute="launchPermission")
        assert names(outsider) == []


def test_deprecated_images_are_hidden_from_others_lists_only(
    edge: Edge, ec2: Any, stranger: Any, snapshot_id: str
) -> None:
    image_id = register(ec2, snapshot_id, "old")
    share(ec2, image_id, UserId=stranger.account_id)
    change(edge, image_id, deprecation_at=LONG_AGO)
    assert filtered(stranger, "name", "old") == filtered(stranger, "image-id", image_id) == []
    assert filtered(stranger, "name", "old", IncludeDeprecated=True) == ["old"]
    assert described(stranger, image_id)["DeprecationTime"] == "2020-01-01T00:00:00.000Z"
    assert filtered(ec2, "name", "old") == filtered(ec2, "name", "old", IncludeDeprecated=False) == ["old"]
    change(edge, image_id, deprecation_at=edge.services.now() + timedelta(days=1))
    assert filtered(stranger, "name", "old") == ["old"]


def test_disabled_images_are_their_owners_who_asks_for_them(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "disabled")
    share(ec2, image_id, UserId=stranger.account_id)
    ec2.disable_image(ImageId=image_id)
    assert filtered(ec2, "name", "disabled") == filtered(ec2, "state", "disabled") == []
    assert filtered(ec2, "name", "disabled", IncludeDisabled=True) == ["disabled"]
    assert described(ec2, image_id)["State"] == "disabled"
    assert filtered(stranger, "name", "disabled", IncludeDisabled=True) == []
    assert refused(stranger.describe_images, ImageIds=[image_id])[0] == "InvalidAMIID.NotFound"


def test_images_in_the_bin_and_gone_ones_are_not_there_and_their_owner_is_not_told_so_for_some_days(
    edge: Edge, ec2: Any, stranger: Any, snapshot_id: str
) -> None:
    image_id = register(ec2, snapshot_id, "binned")
    change(edge, image_id, state=ImageState.BINNED.value, deregistered_at=edge.services.now())
    assert filtered(ec2, "name", "binned", IncludeDisabled=True) == []
    gone = register(ec2, snapshot_id, "gone")
    ec2.deregister_image(ImageId=gone)
    assert filtered(ec2, "name", "gone") == []
    for each in (image_id, gone):
        assert ec2.describe_images(ImageIds=[each])["Images"] == []  # what Ansible's ec2_ami waits for
        assert refused(stranger.describe_images, ImageIds=[each])[0] == "InvalidAMIID.NotFound"
        change(edge, each, deregistered_at=edge.services.now() - LEFT_OUT)
        assert refused(ec2.describe_images, ImageIds=[each])[0] == "InvalidAMIID.NotFound"


def test_a_gone_image_is_left_out_and_not_refused_while_an_instance_refers_to_it(
    edge: Edge, ec2: Any, stranger: Any, snapshot_id: str
) -> None:
    image_id, one = (
        register(ec2, snapshot_id, "launched"),
        {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1},
    )
    share(ec2, image_id, UserId=stranger.account_id)
    for client in (ec2, stranger):
        client.run_instances(ImageId=image_id, **one)
    ec2.deregister_image(ImageId=image_id)
    change(edge, image_id, deregistered_at=LONG_AGO)
    for client in (ec2, stranger):
        assert client.describe_images(ImageIds=[image_id])["Images"] == []
    with another_client(edge, "without an instance") as third:
        assert refused(third.describe_images, ImageIds=[image_id])[0] == "InvalidAMIID.NotFound"
    with edge.services.database.write() as c:
        c.execute(update(schema.instance).values(state="terminated", terminated_at=LONG_AGO))
    for client in (ec2, stranger):
        assert refused(client.describe_images, ImageIds=[image_id])[0] == "InvalidAMIID.NotFound"


def test_tags_are_the_taggers_to_see_and_to_filter_by(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "tagged")
    share(ec2, image_id, UserId=stranger.account_id)
    for client, value in ((ec2, "owner"), (stranger, "guest")):
        client.create_tags(Resources=[image_id], Tags=[{"Key": "who", "Value": value}])
    assert described(ec2, image_id)["Tags"] == [{"Key": "who", "Value": "owner"}]
    assert described(stranger, image_id)["Tags"] == [{"Key": "who", "Value": "guest"}]
    assert filtered(ec2, "tag:who", "guest") == filtered(stranger, "tag:who", "owner") == []
    assert filtered(stranger, "tag:who", "guest") == filtered(ec2, "tag:who", "own*") == ["tagged"]


OWNERS_ONLY: Final = {
    "SourceInstanceId": "i-87654321",
    "SourceImageId": "ami-87654321",
    "SourceImageRegion": "eu-west-1",
    "LastLaunchedTime": "2020-01-01T00:00:00.000Z",
    "DeregistrationProtection": "disabled",
}


def test_some_things_are_told_to_the_owner_only(
    edge: Edge, ec2: Any, stranger: Any, rich: dict[str, Any], snapshot_id: str
) -> None:
    change(edge, rich["ImageId"], last_launched_at=LONG_AGO)
    share(ec2, rich["ImageId"], UserId=stranger.account_id)
    own, seen = described(ec2, rich["ImageId"]), described(stranger, rich["ImageId"])
    assert {name: own[name] for name in OWNERS_ONLY} == OWNERS_ONLY
    assert not set(OWNERS_ONLY) & set(seen)
    assert filtered(stranger, "source-image-id", "*") == filtered(stranger, "source-instance-id", "*") == []
    assert seen["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot_id
    assert stranger.describe_snapshots()["Snapshots"] == [], "to launch is not to read"
    ec2.modify_image_attribute(ImageId=rich["ImageId"], LaunchPermission={"Remove": [{"UserId": stranger.account_id}]})


def test_the_element_says_all_that_there_is(edge: Edge, rich: dict[str, Any]) -> None:
    assert rich["PlatformDetails"] == "Windows" and rich["UsageOperation"] == "RunInstances:0002"
    assert rich["Platform"] == "windows" and rich["Hypervisor"] == "xen" and rich["ImageType"] == "machine"
    assert rich["ProductCodes"] == [{"ProductCodeId": "abc123", "ProductCodeType": "marketplace"}]
    assert rich["StateReason"] == {"Code": "Client.UserInitiatedShutdown", "Message": "because"}
    assert rich["InstanceTypeSpecification"]["SupportedInstanceTypes"] == [{"InstanceType": "t3.*"}]
    assert rich["ImageWatermarks"][0]["WatermarkKey"] == f"{edge.account.account_id}:golden"
    assert rich["ImageLocation"] == f"{edge.account.account_id}/rich 1.0"
    assert (rich["KernelId"], rich["RamdiskId"]) == ("aki-12345678", "ari-12345678")
    assert (rich["RootDeviceName"], rich["RootDeviceType"], rich["State"]) == ("/dev/xvda", "ebs", "available")
    assert (rich["SriovNetSupport"], rich["EnaSupport"], rich["Public"]) == ("simple", True, False)
    assert {"ImageAllowed", "FreeTierEligible", "ScanResults", "DeprecationTime"}.isdisjoint(rich)


def test_a_failed_image_is_listed_with_its_reason(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "failed")
    change(edge, image_id, state="failed", state_reason_code="Client.InvalidManifest", state_reason_message="no part 2")
    (image,) = ec2.describe_images(Filters=[{"Name": "state", "Values": ["failed"]}])["Images"]
    assert image["ImageId"] == image_id
    assert image["StateReason"] == {"Code": "Client.InvalidManifest", "Message": "no part 2"}


def test_creation_dates_are_the_servers_in_milliseconds_and_order_the_list(ec2: Any, snapshot_id: str) -> None:
    for number in range(3):
        register(ec2, snapshot_id, f"dated {number}")
    found = ec2.describe_images(Filters=[{"Name": "name", "Values": ["dated *"]}])["Images"]
    dates = [image["CreationDate"] for image in found]
    assert [image["Name"] for image in found] == ["dated 0", "dated 1", "dated 2"] and dates == sorted(dates)
    assert all(len(date) == 24 and date.endswith("Z") for date in dates)


def test_what_was_registered_is_there_at_once_for_everybody_and_in_its_region_only(
    edge: Edge, ec2: Any, snapshot_id: str
) -> None:
    with closing(edge.client("ec2")) as again, closing(edge.client("ec2", region_name=FAR)) as far:
        for number in range(3):
            image_id = register(ec2, snapshot_id, f"at once {number}")
            again.create_tags(Resources=[image_id], Tags=[{"Key": "a", "Value": "b"}])
            assert described(again, image_id)["Tags"] == [{"Key": "a", "Value": "b"}]
            assert refused(far.describe_images, ImageIds=[image_id])[0] == "InvalidAMIID.NotFound"
        assert filtered(far, "name", "at once *") == []


# ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def crowd(edge: Edge) -> Iterator[Any]:
    """A client of an account with 1,100 images."""
    with another_client(edge, "crowd") as client:
        with edge.services.database.write() as c:
            for number in range(1100):
                name = f"crowd-{number:04d}"
                image = replace(
                    AN_IMAGE,
                    id=mint("ami", ((number * 7919) << 8 | 7).to_bytes(9, "big")),
                    account_id=client.account_id,
                    name=name,
                    created_at=AN_IMAGE.created_at + timedelta(milliseconds=number // 3),
                )
                images.insert_image(c, image)
        yield client


def test_an_unpaged_call_returns_everything(crowd: Any) -> None:
    answer = crowd.describe_images(Owners=["self"])
    assert len(answer["Images"]) == 1100 and "NextToken" not in answer
    assert len(names(crowd)) == 1100


def test_pages_are_whole_and_disjoint_also_under_filters(crowd: Any) -> None:
    for request in ({"Owners": ["self"]}, {}, {"Filters": [{"Name": "name", "Values": ["crowd-0*"]}]}):
        pages = list(crowd.get_paginator("describe_images").paginate(**request, PaginationConfig={"PageSize": 300}))
        seen = [image["ImageId"] for page in pages for image in page["Images"]]
        expected = 1000 if "Filters" in request else 1100
        assert len(seen) == len(set(seen)) == expected
        assert [len(page["Images"]) for page in pages[:3]] == [300] * 3


def test_a_walk_is_right_while_images_come_and_go(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    made = [register(ec2, snapshot_id, f"walk {number}") for number in range(6)]
    request = {"Filters": [{"Name": "name", "Values": ["walk *"]}], "MaxResults": 2}
    first = ec2.describe_images(**request)
    ec2.deregister_image(ImageId=made[0])  # before the place where the walk is
    ec2.deregister_image(ImageId=made[1])  # the very image that the page ended with
    ec2.deregister_image(ImageId=made[2])  # behind it
    come = register(ec2, snapshot_id, "walk 6")
    seen = [image["ImageId"] for image in first["Images"]]
    token = first["NextToken"]
    while token:
        page = ec2.describe_images(**request, NextToken=token)
        seen += [image["ImageId"] for image in page["Images"]]
        token = page.get("NextToken")
    assert seen == [*made[:2], *made[3:], come]


def test_a_token_is_for_its_own_question_and_asker(crowd: Any, stranger: Any) -> None:
    token = crowd.describe_images(Owners=["self"], MaxResults=5)["NextToken"]
    bad = ("InvalidNextToken", "The NextToken value is not valid.")
    assert refused(crowd.describe_images, NextToken=token) == bad, "other parameters"
    assert refused(stranger.describe_images, Owners=["self"], NextToken=token) == bad, "another account"
    assert refused(crowd.describe_images, Owners=["self"], NextToken="nonsense") == bad
    assert len(crowd.describe_images(Owners=["self"], NextToken=token, MaxResults=7)["Images"]) == 7


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────────

TOO_MANY: Final = [{"Name": "name", "Values": ["a"]}] * (FILTERS_MAX + 1)
REFUSALS: Final = [
    ({"ImageIds": ["foo", "bar"]}, "InvalidAMIID.Malformed", 'Invalid id: "foo" (expecting "ami-...")'),
    ({"ImageIds": ["i-12345678"]}, "InvalidAMIID.Malformed", 'Invalid id: "i-12345678" (expecting "ami-...")'),
    ({"ImageIds": ["ami-12345678"]}, "InvalidAMIID.NotFound", "The image id '[ami-12345678]' does not exist"),
    ({"ImageIds": ["ami-12345678", "ami-87654321"]}, "InvalidAMIID.NotFound",
     "The image ids '[ami-12345678, ami-87654321]' do not exist"),
    ({"Owners": ["me"]}, "InvalidUserID.Malformed", 'Invalid user id: "me"'),
    ({"ExecutableUsers": ["everybody"]}, "InvalidUserID.Malformed", 'Invalid user id: "everybody"'),
    ({"ExecutableUsers": ["amazon"]}, "InvalidUserID.Malformed", 'Invalid user id: "amazon"'),
    ({"Filters": [{"Name": "Name", "Values": ["a"]}]}, "InvalidParameterValue", "The filter 'Name' is invalid"),
    ({"Filters": [{"Name": "tpm-support", "Values": ["a"]}]}, "InvalidParameterValue", "The filter 'tpm-support' is invalid"),
    ({"Filters": TOO_MANY}, "FilterLimitExceeded", "The maximum number of filters specified on a single call is 50"),
    ({"Filters": [{"Name": "name", "Values": ["a"] * 150}] * 2}, "FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200"),
    ({"MaxResults": 0}, "InvalidParameterValue",
     "Value ( 0 ) for parameter maxResults is invalid. Expecting a value greater than or equal to 1."),
    ({"NextToken": "x"}, "InvalidNextToken", "The NextToken value is not valid."),
    ({"DryRun": True}, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."),
    ({"DryRun": True, "ImageIds": ["ami-12345678"]}, "InvalidAMIID.NotFound", "The image id '[ami-12345678]' does not exist"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "code", "text"), REFUSALS)
def test_refusals_have_ec2s_codes_and_texts(ec2: Any, request_: dict[str, Any], code: str, text: str) -> None:
    assert refused(ec2.describe_images, **request_) == (code, text)


def test_every_bad_id_is_in_a_field_of_our_own(ec2: Any) -> None:
    for bad in (["foo", "<b>&", "i-12345678"], ["ami-12345678", "ami-87654321"]):
        with pytest.raises(ClientError) as caught:
            ec2.describe_images(ImageIds=bad)
        assert bad_ids(caught) == ", ".join(bad)


def test_one_bad_id_fails_the_whole_call(ec2: Any, stranger: Any, snapshot_id: str) -> None:
    own, other = register(ec2, snapshot_id, "named"), register(ec2, snapshot_id, "hidden")
    share(ec2, own, UserId=stranger.account_id)
    code, text = refused(stranger.describe_images, ImageIds=[own, other])
    assert (code, text) == ("InvalidAMIID.NotFound", f"The image id '[{other}]' does not exist")
    assert names(stranger, ImageIds=[own, own]) == ["named"]
    assert names(stranger, ImageIds=[own], Filters=[{"Name": "name", "Values": ["other"]}]) == []
