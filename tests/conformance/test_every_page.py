"""Every call that is answered in pages: which sizes of a page it takes, against the service's model and what its documentation adds.

refused   below the least size, and above the model's or the documentation's greatest
cut       above the greatest where the documentation tells only how many things one page holds at most
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from amiable.model.principal import Principal
from amiable.server.operations import EC2
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge

MODEL: Final = Session().get_service_model("ec2")
PAGED: Final = tuple(
    name
    for name in EC2
    if (shape := MODEL.operation_model(name).input_shape) is not None and "MaxResults" in shape.members
)
LEAST: Final = dict.fromkeys(
    (
        *("DescribeInstances", "DescribeInstanceStatus", "DescribeSnapshots", "DescribeTags", "DescribeVolumes"),
        "DescribeVolumeStatus",
    ),
    5,
)
"""By the documentation, where the model has no least size; elsewhere it is 1."""
GREATEST: Final = {"DescribeLaunchTemplateVersions": 200}
"""By the documentation, where the model has no greatest size."""
Ask = Callable[[str, int], Any]


def bounds(action: str) -> tuple[int, int | None]:
    """The least and the greatest size of a page; None: a greater one is cut."""
    shape = MODEL.operation_model(action).input_shape
    assert shape is not None
    model = shape.members["MaxResults"].metadata
    return model.get("min", LEAST.get(action, 1)), model.get("max", GREATEST.get(action))


@pytest.fixture(scope="module")
def ask(edge: Edge) -> Iterator[Ask]:
    """Asks an action for a page of a size, whatever the model allows."""
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    needed: dict[str, dict[str, Any]] = {
        "DescribeImageReferences": {
            "ImageIds": [make_image(edge.services, owner).id],
            "IncludeAllResourceTypes": True,
        },
        "DescribeLaunchTemplateVersions": {"Versions": ["$Latest"]},
    }
    with closing(edge.client("ec2", config=Config(parameter_validation=False))) as client:
        yield lambda action, size: client._make_api_call(action, {"MaxResults": size, **needed.get(action, {})})


def refused(ask: Ask, action: str, size: int) -> str:
    """The refusal's text; blanks within its parentheses and the parameter's first letter differ among EC2's own actions."""
    with pytest.raises(ClientError) as caught:
        ask(action, size)
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidParameterValue", error
    return str(error["Message"]).replace("( ", "(").replace(" )", ")").replace("maxResults", "MaxResults")


@pytest.mark.parametrize("action", PAGED)
def test_a_page_has_a_size_within_its_bounds(ask: Ask, action: str) -> None:
    least, greatest = bounds(action)
    ask(action, least)
    for size in (least - 1, -1):
        told = (
            f"Value ({size}) for parameter MaxResults is invalid. Expecting a value greater than or equal to {least}."
        )
        assert refused(ask, action, size) == told
    if greatest is None:
        ask(action, 100_000)
        return
    ask(action, greatest)
    for size in (greatest + 1, 100_000):
        told = (
            f"Value ({size}) for parameter MaxResults is invalid. Expecting a value less than or equal to {greatest}."
        )
        assert refused(ask, action, size) == told


def test_there_are_calls_of_each_kind() -> None:
    assert len(PAGED) > 30
    cut = {name for name in PAGED if bounds(name)[1] is None}
    assert {"DescribeImages", "DescribeInstances", "DescribeSnapshots", "DescribeVolumes"} <= cut < set(PAGED)
