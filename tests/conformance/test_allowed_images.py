"""Allowed images through boto3: what the criteria do not meet is hidden, audited, or as before; one's own is never touched."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from amiable.api import channels, image_digests
from amiable.api.amiable import set_owner_alias
from amiable.api.ec2.watermarks import attach_image_watermark
from amiable.database import images, sharing
from amiable.model.errors import NotFound
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, ProductCodeType
from amiable.wire.generated import ec2 as shapes
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge, running_edge
from tests.support.clock import Clock, sign_by
from tests.support.services import make_account, open_services

STATES = ("EnableAllowedImagesSettings", "DisableAllowedImagesSettings", "GetAllowedImagesSettings")
REPLACE = "ReplaceImageCriteriaInAllowedImagesSettings"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    sign_by(made, monkeypatch)
    return made


@pytest.fixture
def edge(tmp_path: Path, clock: Clock) -> Iterator[Edge]:
    with open_services(tmp_path / "data", clock=clock, regions=("us-east-1", "eu-west-1")) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture
def ec2(edge: Edge) -> Iterator[Any]:
    with closing(edge.client("ec2", config=Config(parameter_validation=False, retries={"max_attempts": 0}))) as client:
        yield client


@pytest.fixture
def publisher(edge: Edge) -> Principal:
    return make_account(edge.services, "publisher")[1]


def shared_image(edge: Edge, owner: Principal, name: str, **facts: Any) -> str:
    """An image of ``owner`` that the edge's account may launch and copy."""
    image = make_image(edge.services, owner, name=name, **facts)
    grantee = [edge.account.account_id]
    with edge.services.database.write() as c:
        images.change_grants(c, image.id, add=grantee, remove=[])
        for device in image.devices:
            sharing.change_snapshot_grants(c, device.snapshot_id or "", add=grantee, remove=[])
    return image.id


def listed(ec2: Any, **words: Any) -> dict[str, bool | None]:
    """What DescribeImages shows, and what it says of each image's being allowed."""
    return {image["ImageId"]: image.get("ImageAllowed") for image in ec2.describe_images(**words)["Images"]}


def replace(ec2: Any, *criteria: dict[str, Any]) -> None:
    answer = ec2.replace_image_criteria_in_allowed_images_settings(ImageCriteria=list(criteria))
    assert answer["ReturnValue"] is True


@pytest.mark.proves("ec2", *STATES, REPLACE)
def test_what_is_not_allowed_is_not_there_and_ones_own_always_is(edge: Edge, ec2: Any, publisher: Principal) -> None:
    other = make_account(edge.services, "other")[1]
    good, bad = shared_image(edge, publisher, "good"), shared_image(edge, other, "bad")
    own = make_image(edge.services, Principal(edge.account.account_id, "key", "us-east-1", False), name="own").id
    assert listed(ec2) == {good: None, bad: None, own: None}
    replace(ec2, {"ImageProviders": [publisher.account_id]})
    assert listed(ec2) == {good: None, bad: None, own: None}

    answer = ec2.enable_allowed_images_settings(AllowedImagesSettingsState="audit-mode")
    assert answer["AllowedImagesSettingsState"] == "audit-mode"
    assert listed(ec2) == {good: True, bad: False, own: True}
    assert listed(ec2, Filters=[{"Name": "image-allowed", "Values": ["false"]}]) == {bad: False}

    ec2.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
    assert listed(ec2) == {good: True, own: True}
    with pytest.raises(ClientError, match=rf"InvalidAMIID\.NotFound.*The image id '\[{bad}\]' does not exist"):
        ec2.describe_images(ImageIds=[bad])
    with pytest.raises(ClientError, match=rf"InvalidAMIID\.NotFound.*The image id '\[{bad}\]' does not exist"):
        ec2.run_instances(ImageId=bad, MinCount=1, MaxCount=1, InstanceType="t2.nano")
    with pytest.raises(ClientError, match=r"InvalidAMIID\.NotFound"):
        ec2.describe_image_attribute(ImageId=bad, Attribute="productCodes")
    assert ec2.run_instances(ImageId=good, MinCount=1, MaxCount=1, InstanceType="t2.nano")["Instances"]

    assert ec2.disable_allowed_images_settings()["AllowedImagesSettingsState"] == "disabled"
    assert listed(ec2) == {good: None, bad: None, own: None}
    found = ec2.get_allowed_images_settings()
    assert (found["State"], found["ManagedBy"]) == ("disabled", "account")
    assert found["ImageCriteria"] == [{"ImageProviders": [publisher.account_id]}]


def test_no_pointer_leads_to_what_is_not_allowed(edge: Edge, ec2: Any, publisher: Principal) -> None:
    other, me = make_account(edge.services, "other")[1], Principal(edge.account.account_id, "key", "us-east-1")
    bad, good = (shared_image(edge, owner, "same", content_digest=b"\1" * 32) for owner in (other, publisher))
    image_types, launch = {"Type": "String", "DataType": "aws:ec2:image"}, {"MinCount": 1, "MaxCount": 1}
    digest = "sha256:" + "01" * 32
    with closing(edge.client("ssm")) as ssm:
        ssm.put_parameter(Name="/before", Value=bad, **image_types)
        replace(ec2, {"ImageProviders": [publisher.account_id]})
        ec2.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
        with pytest.raises(ClientError, match=r"ValidationException.*allowed images settings hide it"):
            ssm.put_parameter(Name="/after", Value=bad, **image_types)
    with pytest.raises(ClientError, match=r"InvalidAMIID\.NotFound"):
        ec2.run_instances(ImageId="resolve:ssm:/before", **launch)
    with pytest.raises(NotFound):
        channels.create_channel(edge.services, me, channels.NewChannel("stable", bad))
    channels.create_channel(edge.services, me, channels.NewChannel("stable", good))
    with pytest.raises(NotFound):
        channels.promote(edge.services, me, "stable", image_id=bad)
    with pytest.raises(NotFound):
        image_digests.content_of(edge.services, me, bad)
    assert image_digests.content_of(edge.services, me, good).equal_to == ()
    assert [image.id for image in image_digests.find_content(edge.services, me, digest)] == [good]
    (instance,) = ec2.run_instances(ImageId=f"resolve:digest:{digest}", **launch)["Instances"]
    assert instance["ImageId"] == good


def test_what_is_not_allowed_in_its_region_is_not_copied_out_of_it(edge: Edge, ec2: Any, publisher: Principal) -> None:
    other, me = make_account(edge.services, "other")[1], Principal(edge.account.account_id, "key", "us-east-1")
    bad, good = shared_image(edge, other, "bad"), shared_image(edge, publisher, "good")
    own = make_image(edge.services, me, name="own").id
    replace(ec2, {"ImageProviders": [publisher.account_id]})
    ec2.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
    with closing(edge.client("ec2", region_name="eu-west-1")) as elsewhere:
        for client in (ec2, elsewhere):
            with pytest.raises(ClientError, match=rf"InvalidAMIID\.NotFound.*The image id '\[{bad}\]' does not exist"):
                client.copy_image(Name="a copy", SourceImageId=bad, SourceRegion="us-east-1", DryRun=True)
            for image in (good, own):
                with pytest.raises(ClientError, match="DryRunOperation"):
                    client.copy_image(Name="a copy", SourceImageId=image, SourceRegion="us-east-1", DryRun=True)
        ec2.disable_allowed_images_settings()
        elsewhere.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
        with pytest.raises(ClientError, match="DryRunOperation"):
            elsewhere.copy_image(Name="a copy", SourceImageId=bad, SourceRegion="us-east-1", DryRun=True)


@pytest.mark.proves("ec2", REPLACE, "GetAllowedImagesSettings")
def test_criteria_come_back_exactly_as_they_were_written(ec2: Any) -> None:
    written: list[dict[str, Any]] = [
        {
            "ImageProviders": ["amazon", "123456789012"],
            "MarketplaceProductCodes": ["abc123"],
            "ImageNames": ["debian-*", "a?c", "x"],
            "DeprecationTimeCondition": {"MaximumDaysSinceDeprecated": 0},
            "CreationDateCondition": {"MaximumDaysSinceCreated": 2147483647},
            "ImageWatermarks": [
                {"WatermarkKey": "123456789012:hard*", "SourceImageRegion": "us-*"},
                {"MaximumDaysSinceSourceImageCreated": 3, "MaximumDaysSinceWatermarkCreated": 0},
            ],
            "ScanResultCondition": {"MaxDaysSinceLastFindingScan": 7, "MaximumSeverityLabel": "medium"},
        },
        {"ImageProviders": ["none"]},
    ]
    replace(ec2, *written)
    assert ec2.get_allowed_images_settings()["ImageCriteria"] == written
    replace(ec2, {"ImageNames": ["only this"]})
    assert ec2.get_allowed_images_settings()["ImageCriteria"] == [{"ImageNames": ["only this"]}]
    replace(ec2)
    assert ec2.get_allowed_images_settings()["ImageCriteria"] == []


@pytest.mark.parametrize(
    ("criteria", "code", "text"),
    [
        ([{"ImageNames": ["a"]}] * 11, "InvalidParameterValue", "10 image criteria at most; these are 11"),
        ([{"ImageProviders": ["self"]}], "InvalidParameterValue", "Value \\(self\\).*ImageCriterion.1.ImageProvider"),
        ([{"ImageProviders": ["1234"]}], "InvalidParameterValue", "ImageCriterion.1.ImageProvider"),
        ([{"ImageProviders": ["none", "amazon"]}], "InvalidParameterCombination", "cannot be combined"),
        ([{"ImageProviders": ["1" * 12] * 201}], "InvalidParameterValue", "200 values at most"),
        ([{"ImageNames": ["a"] * 51}], "InvalidParameterValue", "50 values at most"),
        ([{"ImageNames": ["a?"]}], "InvalidParameterValue", "at least 3 characters"),
        ([{"ImageNames": ["a" * 129]}], "InvalidParameterValue", "ImageName"),
        ([{"ImageNames": ["a+b"]}], "InvalidParameterValue", "wrong length or characters"),
        ([{"MarketplaceProductCodes": ["a" * 26]}], "InvalidParameterValue", "MarketplaceProductCode"),
        ([{"MarketplaceProductCodes": ["a-b"]}], "InvalidParameterValue", "MarketplaceProductCode"),
        ([{"MarketplaceProductCodes": ["a"] * 51}], "InvalidParameterValue", "50 values at most"),
        ([{"ImageWatermarks": [{"WatermarkKey": "k"}] * 51}], "InvalidParameterValue", "50 values at most"),
        ([{"CreationDateCondition": {"MaximumDaysSinceCreated": -1}}], "InvalidParameterValue", "MaximumDaysSince"),
        ([{"ImageWatermarks": [{"WatermarkKey": ""}]}], "InvalidParameterValue", "ImageWatermark has an empty value"),
        (
            [{"ImageWatermarks": [{"WatermarkKey": "k", "MaximumDaysSinceWatermarkCreated": -1}]}],
            "InvalidParameterValue",
            "Value \\(-1\\).*ImageCriterion.1.ImageWatermark.MaximumDaysSinceWatermarkCreated",
        ),
        (
            [{"ImageWatermarks": [{"MaximumDaysSinceSourceImageCreated": -2147483648}]}],
            "InvalidParameterValue",
            "MaximumDaysSinceSourceImageCreated is invalid. Expecting a value greater than or equal to 0",
        ),
    ],
)
def test_criteria_that_ec2_refuses_are_refused_and_the_old_ones_stay(
    ec2: Any, criteria: list[dict[str, Any]], code: str, text: str
) -> None:
    replace(ec2, {"ImageNames": ["kept"]})
    with pytest.raises(ClientError, match=text) as refused:
        replace(ec2, *criteria)
    assert refused.value.response["Error"]["Code"] == code
    assert ec2.get_allowed_images_settings()["ImageCriteria"] == [{"ImageNames": ["kept"]}]


def test_a_state_that_ec2_does_not_know_is_refused(ec2: Any) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        ec2.enable_allowed_images_settings(AllowedImagesSettingsState="disabled")


def test_every_kind_of_condition_binds(edge: Edge, ec2: Any, clock: Clock, publisher: Principal) -> None:
    house = make_account(edge.services, "house")[1]
    administrator = make_account(edge.services, "administrator", administrator=True)[1]
    set_owner_alias(edge.services, administrator, house.account_id, "amazon")
    code = ProductCode("abc123", ProductCodeType.MARKETPLACE)
    old = shared_image(edge, publisher, "debian-11")
    clock.pass_(days=10)
    deprecated = shared_image(edge, publisher, "debian-12", deprecation_at=clock() - timedelta(days=3))
    sold = shared_image(edge, publisher, "sold", product_codes=(code,))
    aliased = shared_image(edge, house, "house-1")
    ec2.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")

    def allowed(**criterion: Any) -> set[str]:
        replace(ec2, criterion)
        return set(listed(ec2, IncludeDeprecated=True))

    replace(ec2)
    assert listed(ec2) == {}
    assert allowed(ImageProviders=["amazon"]) == {aliased}
    assert allowed(ImageProviders=["none"]) == set()
    assert allowed(ImageNames=["debian-*"]) == {old, deprecated}
    assert allowed(ImageNames=["debian-?1", "SOLD"]) == {old}
    assert allowed(MarketplaceProductCodes=["abc123", "zzz"]) == {sold}
    assert allowed(CreationDateCondition={"MaximumDaysSinceCreated": 9}) == {deprecated, sold, aliased}
    assert allowed(CreationDateCondition={"MaximumDaysSinceCreated": 10}) == {old, deprecated, sold, aliased}
    assert allowed(DeprecationTimeCondition={"MaximumDaysSinceDeprecated": 0}) == {old, sold, aliased}
    assert allowed(DeprecationTimeCondition={"MaximumDaysSinceDeprecated": 2}) == {old, sold, aliased}
    assert allowed(DeprecationTimeCondition={"MaximumDaysSinceDeprecated": 3}) == {old, deprecated, sold, aliased}
    assert allowed(ScanResultCondition={"MaxDaysSinceLastFindingScan": 7}) == set()
    both = {"ImageNames": ["debian-*"], "CreationDateCondition": {"MaximumDaysSinceCreated": 9}}
    assert allowed(**both) == {deprecated}
    replace(ec2, {"ImageNames": ["sold"]}, {"ImageProviders": ["amazon"]})
    assert set(listed(ec2)) == {sold, aliased}


def test_a_watermark_must_meet_all_that_one_filter_says(edge: Edge, ec2: Any, publisher: Principal) -> None:
    marked, plain = shared_image(edge, publisher, "marked"), shared_image(edge, publisher, "plain")
    request = shapes.AttachImageWatermarkRequest(image_id=marked, watermark_name="hardened")
    key = attach_image_watermark(edge.services, publisher, request).watermark_key
    ec2.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
    replace(ec2, {"ImageWatermarks": [{"WatermarkKey": key, "SourceImageRegion": "us-east-?"}]})
    assert set(listed(ec2)) == {marked}
    replace(ec2, {"ImageWatermarks": [{"WatermarkKey": key, "SourceImageRegion": "eu-*"}]})
    assert listed(ec2) == {}
    replace(ec2, {"ImageWatermarks": [{"WatermarkKey": "*:hard*", "MaximumDaysSinceWatermarkCreated": 0}]})
    assert set(listed(ec2)) == {marked} and plain not in listed(ec2)


def test_settings_are_of_one_account(edge: Edge, ec2: Any, publisher: Principal) -> None:
    image = shared_image(edge, publisher, "shared")
    other, principal = make_account(edge.services, "another")
    with edge.services.database.write() as c:
        images.change_grants(c, image, add=[principal.account_id], remove=[])
    replace(ec2, {"ImageProviders": ["none"]})
    ec2.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
    keys = {"aws_access_key_id": other.access_key_id, "aws_secret_access_key": other.secret}
    with closing(edge.client("ec2", **keys)) as client:
        assert listed(client) == {image: None}
        assert client.get_allowed_images_settings()["State"] == "disabled"
    assert listed(ec2) == {}
