"""Which calls may run on the event loop: those that are there, and only as long as they are short."""

from typing import Any

import pytest

from amiable.server.operations import EC2, SHORT, SHORT_RESOURCES_MAX, is_short
from amiable.wire.generated import ec2


def test_every_call_of_the_table_is_one_that_is_answered() -> None:
    assert SHORT.keys() <= EC2.keys()


@pytest.mark.parametrize(
    ("action", "request_", "expected"),
    [
        ("RegisterImage", ec2.RegisterImageRequest(name="from snapshots"), True),
        ("RegisterImage", ec2.RegisterImageRequest(name="of a bundle", image_location="b/k.manifest.xml"), False),
        ("CreateTags", ec2.CreateTagsRequest(resources=["ami-1"] * SHORT_RESOURCES_MAX, tags=[]), True),
        ("CreateTags", ec2.CreateTagsRequest(resources=["ami-1"] * (SHORT_RESOURCES_MAX + 1), tags=[]), False),
        ("DeleteTags", ec2.DeleteTagsRequest(resources=["ami-1"] * (SHORT_RESOURCES_MAX + 1)), False),
        ("ModifyImageAttribute", ec2.ModifyImageAttributeRequest(image_id="ami-1"), True),
        (
            "ModifyImageAttribute",
            ec2.ModifyImageAttributeRequest(image_id="ami-1", imds_support=ec2.AttributeValue(value="v2.0")),
            False,
        ),
        ("DescribeImages", ec2.DescribeImagesRequest(), False),
    ],
)
def test_what_reads_files_or_touches_many_rows_is_not_short(action: str, request_: Any, expected: bool) -> None:
    assert is_short(action, request_) is expected
