"""Watermarks as stock boto3 attaches, detaches and sees them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from amiable.database import watermarks
from amiable.rules.watermark import WATERMARKS_MAX
from tests.server.edge import Edge
from tests.support.publisher import another_client, described, new_snapshot, publishing_edge, refused, register

pytestmark = pytest.mark.proves("ec2", "AttachImageWatermark", "DetachImageWatermark")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("watermarks")) as running:
        yield running


@pytest.fixture(scope="module")
def snapshot_id(edge: Edge) -> str:
    return new_snapshot(edge)


def marks(ec2: Any, image_id: str) -> list[str]:
    return [mark["WatermarkKey"] for mark in described(ec2, image_id).get("ImageWatermarks", [])]


def test_a_watermark_is_shown_with_where_and_when_it_was_attached(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "marked")
    key = ec2.attach_image_watermark(ImageId=image_id, WatermarkName="approved/2026 [a]")["WatermarkKey"]
    assert key == f"{edge.account.account_id}:approved/2026 [a]"
    image = described(ec2, image_id)
    (mark,) = image["ImageWatermarks"]
    assert isinstance(mark.pop("WatermarkCreationTime"), datetime)
    created = datetime.fromisoformat(image["CreationDate"])
    assert mark == {
        "WatermarkKey": key,
        "SourceImageId": image_id,
        "SourceImageRegion": "us-east-1",
        "SourceImageCreationTime": created,
    }


def test_attaching_again_changes_nothing_and_order_stays(ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "marked twice")
    first = ec2.attach_image_watermark(ImageId=image_id, WatermarkName="first")["WatermarkKey"]
    before = described(ec2, image_id)["ImageWatermarks"]
    second = ec2.attach_image_watermark(ImageId=image_id, WatermarkName="a second")["WatermarkKey"]
    assert ec2.attach_image_watermark(ImageId=image_id, WatermarkName="first")["WatermarkKey"] == first
    assert marks(ec2, image_id) == [first, second]
    assert described(ec2, image_id)["ImageWatermarks"][:1] == before


def test_detaching_is_idempotent(ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "unmarked")
    key = ec2.attach_image_watermark(ImageId=image_id, WatermarkName="gone soon")["WatermarkKey"]
    for _ in range(2):
        assert ec2.detach_image_watermark(ImageId=image_id, WatermarkKey=key)["Return"] is True
        assert marks(ec2, image_id) == []


def test_what_was_made_of_an_image_keeps_its_watermarks(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    source, child = register(ec2, snapshot_id, "mother"), register(ec2, snapshot_id, "daughter")
    key = ec2.attach_image_watermark(ImageId=source, WatermarkName="inherited")["WatermarkKey"]
    (mark,) = described(ec2, source)["ImageWatermarks"]
    with edge.services.database.write() as c:
        watermarks.inherit(c, [source], child)
    ec2.detach_image_watermark(ImageId=source, WatermarkKey=key)
    assert marks(ec2, source) == []
    assert described(ec2, child)["ImageWatermarks"] == [mark]


def test_a_public_image_gets_none_and_a_marked_one_may_be_public(ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "public")
    key = ec2.attach_image_watermark(ImageId=image_id, WatermarkName="before")["WatermarkKey"]
    ec2.disable_image_block_public_access()
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"Group": "all"}]})
    assert marks(ec2, image_id) == [key]
    code, text = refused(ec2.attach_image_watermark, ImageId=image_id, WatermarkName="after")
    assert (code, text) == (
        "InvalidParameterValue",
        f"Watermarks cannot be attached to public images: {image_id} is public.",
    )
    ec2.reset_image_attribute(ImageId=image_id, Attribute="launchPermission")
    ec2.attach_image_watermark(ImageId=image_id, WatermarkName="after")
    assert len(marks(ec2, image_id)) == 2


def test_only_the_owner_marks(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "owned")
    with another_client(edge) as stranger:
        ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": stranger.account_id}]})
        words = {"ImageId": image_id}
        denied = ("AuthFailure", f"Not authorized for image:{image_id}")
        assert refused(stranger.attach_image_watermark, WatermarkName="theirs", **words) == denied
        key = f"{edge.account.account_id}:ours"
        assert refused(stranger.detach_image_watermark, WatermarkKey=key, **words) == denied


@pytest.mark.parametrize("name", ["x" * 129, "a+b", "a:b", "naïve", "tab\t"])
def test_a_name_of_the_wrong_form_is_refused(ec2: Any, snapshot_id: str, name: str) -> None:
    code, text = refused(ec2.attach_image_watermark, ImageId="ami-12345678", WatermarkName=name)
    assert code == "InvalidParameterValue" and text.startswith(f"Value ({name[:90]}")
    assert " for parameter WatermarkName is invalid. " in text


@pytest.mark.parametrize("key", ["name", "12345:name", "123456789012:", "123456789012:a+b"])
def test_a_key_of_the_wrong_form_is_refused(ec2: Any, key: str) -> None:
    code, text = refused(ec2.detach_image_watermark, ImageId="ami-12345678", WatermarkKey=key)
    assert (code, text) == (
        "InvalidParameterValue",
        f"Value ({key}) for parameter WatermarkKey is invalid. Expecting accountId:watermarkName.",
    )


def test_ids_are_checked_and_a_dry_run_marks_nothing(ec2: Any, snapshot_id: str) -> None:
    assert refused(ec2.attach_image_watermark, ImageId="i-12345678", WatermarkName="abc") == (
        "InvalidAMIID.Malformed",
        'Invalid id: "i-12345678" (expecting "ami-...")',
    )
    assert refused(ec2.attach_image_watermark, ImageId="ami-12345678", WatermarkName="abc") == (
        "InvalidAMIID.NotFound",
        "The image id '[ami-12345678]' does not exist",
    )
    image_id = register(ec2, snapshot_id, "dry")
    assert refused(ec2.attach_image_watermark, ImageId=image_id, WatermarkName="abc", DryRun=True)[0] == (
        "DryRunOperation"
    )
    assert marks(ec2, image_id) == []
    ec2.deregister_image(ImageId=image_id)
    assert refused(ec2.attach_image_watermark, ImageId=image_id, WatermarkName="abc") == (
        "InvalidAMIID.Unavailable",
        f"The image id '[{image_id}]' is no longer available",
    )


def test_an_image_has_room_for_so_many_watermarks(ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "crowded")
    for number in range(WATERMARKS_MAX):
        ec2.attach_image_watermark(ImageId=image_id, WatermarkName=f"number {number}")
    code, text = refused(ec2.attach_image_watermark, ImageId=image_id, WatermarkName="one more")
    assert (
        code == "ResourceLimitExceeded"
        and text == f"The image {image_id} has {WATERMARKS_MAX} watermarks; it may have no more."
    )
