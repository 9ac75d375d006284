"""Every filter that EC2 documents of an action here is one: it finds something or nothing, and is never an unknown word."""

import re
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from amiable.server import operations
from tests.wire import oracle

NAME = re.compile(r"<li> ?<p> ?<code>([^<]+)</code>")
VALUES_OF_OTHERS = {"DescribeImages": {"critical", "high", "informational", "low", "medium"}}
"""Words that the model's text lists like filters, and that are a filter's values."""
BESIDES: dict[str, dict[str, Any]] = {"DescribeLaunchTemplateVersions": {"Versions": ["$Latest"]}}
"""What an action wants besides its filters."""


def filters_of(action: str) -> list[str]:
    """The names in the model's text; ``tag:<key>`` with a key."""
    described = oracle.model("ec2").operation_model(action).input_shape.members["Filters"].documentation
    names = set(NAME.findall(described)) - VALUES_OF_OTHERS.get(action, set())
    return sorted({"tag:k" if name.startswith("tag:") or name == "tag" else name for name in names})


FILTERED = [
    action for action in operations.EC2 if "Filters" in oracle.model("ec2").operation_model(action).input_shape.members
]


def test_the_model_still_tells_its_filters() -> None:
    assert len(FILTERED) > 25
    assert {"instance-state-name", "tag:k", "reason"} <= set(filters_of("DescribeInstances"))


@pytest.mark.parametrize("action", FILTERED)
def test_every_filter_of_the_model_is_known(ec2: Any, action: str) -> None:
    unknown = []
    call, besides = getattr(ec2, xform_name(action)), BESIDES.get(action, {})
    for name in filters_of(action):
        try:
            call(Filters=[{"Name": name, "Values": ["x"]}], **besides)
        except ClientError as refused:
            unknown.append((name, refused.response["Error"]["Message"]))
    assert unknown == []
