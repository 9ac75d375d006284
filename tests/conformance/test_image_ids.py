"""An image's id at every operation that takes one: malformed, of another kind, unknown, another's, no longer available."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import pytest
from botocore import xform_name

from amiable.server.operations import EC2
from tests.server.edge import Edge
from tests.support.publisher import another_client, new_snapshot, publishing_edge, refused, register
from tests.wire import oracle

FAR: Final = "eu-central-1"
REQUIRED: Final[dict[str, dict[str, Any]]] = {
    "AttachImageWatermark": {"WatermarkName": "approved"},
    "CancelImageLaunchPermission": {},
    "CreateImageUsageReport": {"ResourceTypes": [{"ResourceType": "ec2:Instance"}]},
    "DeregisterImage": {},
    "DescribeImageAttribute": {"Attribute": "description"},
    "DetachImageWatermark": {"WatermarkKey": "123456789012:approved"},
    "DisableImage": {},
    "DisableImageDeprecation": {},
    "DisableImageDeregistrationProtection": {},
    "EnableImage": {},
    "EnableImageDeprecation": {"DeprecateAt": "2099-01-01T00:00:00Z"},
    "EnableImageDeregistrationProtection": {},
    "GetImageAncestry": {},
    "ModifyImageAttribute": {"Description": {"Value": "new"}},
    "ReplaceImageInstanceTypeSpecification": {},
    "ResetImageAttribute": {"Attribute": "launchPermission"},
    "RestoreImageFromRecycleBin": {},
    "RunInstances": {"MinCount": 1, "MaxCount": 1, "InstanceType": "amiable.tiny"},
}
"""What each operation needs beside ``ImageId``."""
OTHERS_MAY: Final = ("CancelImageLaunchPermission", "GetImageAncestry", "RestoreImageFromRecycleBin", "RunInstances")
"""Those whose refusal of another's image has tests of its own."""
AFTERWARDS: Final = ("GetImageAncestry", "RestoreImageFromRecycleBin")
"""Those that are of images that were deregistered, too."""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("ids"), regions=("us-east-1", FAR)) as running:
        yield running


@pytest.fixture(scope="module")
def elsewhere(edge: Edge) -> Iterator[Any]:
    """The account's client in the other region."""
    with closing(edge.client("ec2", region_name=FAR)) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(edge: Edge) -> Iterator[Any]:
    with another_client(edge) as client:
        yield client


@pytest.fixture(scope="module")
def image_id(edge: Edge, ec2: Any) -> str:
    return register(ec2, new_snapshot(edge), "here")


@pytest.fixture(scope="module")
def gone(edge: Edge, ec2: Any) -> str:
    """An image that was deregistered."""
    image_id = register(ec2, new_snapshot(edge), "gone")
    ec2.deregister_image(ImageId=image_id)
    return image_id


def test_every_operation_that_takes_an_image_is_here() -> None:
    shapes = {name: oracle.model("ec2").operation_model(name).input_shape for name in EC2}
    taking = {
        name
        for name, shape in shapes.items()
        if "ImageId" in shape.members and ("ImageId" in shape.required_members or name == "RunInstances")
    }
    assert taking == set(REQUIRED)


@pytest.mark.parametrize("operation", REQUIRED)
@pytest.mark.parametrize("value", ["foo", "i-0123456789abcdef0", "snap-12345678", "ami-123", "ami-0123456789ABCDEF0"])
def test_what_is_no_id_of_an_image_is_malformed(ec2: Any, operation: str, value: str) -> None:
    assert refused(getattr(ec2, xform_name(operation)), ImageId=value, **REQUIRED[operation]) == (
        "InvalidAMIID.Malformed",
        f'Invalid id: "{value}" (expecting "ami-...")',
    )


@pytest.mark.parametrize("operation", REQUIRED)
@pytest.mark.parametrize("value", ["ami-12345678", "ami-0123456789abcdef0"])
def test_an_id_that_never_was_is_not_found(ec2: Any, operation: str, value: str) -> None:
    assert refused(getattr(ec2, xform_name(operation)), ImageId=value, **REQUIRED[operation]) == (
        "InvalidAMIID.NotFound",
        f"The image id '[{value}]' does not exist",
    )


@pytest.mark.parametrize("operation", [name for name in REQUIRED if name not in OTHERS_MAY])
def test_anothers_image_is_not_the_callers_to_change_or_read(stranger: Any, image_id: str, operation: str) -> None:
    assert refused(getattr(stranger, xform_name(operation)), ImageId=image_id, **REQUIRED[operation]) == (
        "AuthFailure",
        f"Not authorized for image:{image_id}",
    )


def test_anothers_image_is_not_launched(stranger: Any, image_id: str) -> None:
    assert refused(stranger.run_instances, ImageId=image_id, **REQUIRED["RunInstances"]) == (
        "AuthFailure",
        f"Not authorized for images: [{image_id}]",
    )


@pytest.mark.parametrize("operation", [name for name in REQUIRED if name not in AFTERWARDS])
def test_a_deregistered_image_is_no_longer_available(ec2: Any, gone: str, operation: str) -> None:
    assert refused(getattr(ec2, xform_name(operation)), ImageId=gone, **REQUIRED[operation]) == (
        "InvalidAMIID.Unavailable",
        f"The image id '[{gone}]' is no longer available",
    )


@pytest.mark.parametrize("operation", REQUIRED)
def test_an_image_of_another_region_is_not_found(elsewhere: Any, image_id: str, operation: str) -> None:
    assert refused(getattr(elsewhere, xform_name(operation)), ImageId=image_id, **REQUIRED[operation]) == (
        "InvalidAMIID.NotFound",
        f"The image id '[{image_id}]' does not exist",
    )


def test_describe_images_names_the_first_malformed_and_every_missing_id(ec2: Any, image_id: str) -> None:
    assert refused(ec2.describe_images, ImageIds=[image_id, "foo", "i-12345678"]) == (
        "InvalidAMIID.Malformed",
        'Invalid id: "foo" (expecting "ami-...")',
    )
    assert refused(ec2.describe_images, ImageIds=["ami-12345678", image_id, "ami-0123456789abcdef0"]) == (
        "InvalidAMIID.NotFound",
        "The image ids '[ami-12345678, ami-0123456789abcdef0]' do not exist",
    )
