"""Which instance types may launch an image, as its owner says so through boto3 and as RunInstances heeds it."""

from collections.abc import Iterator
from typing import Any

import pytest

from amiable.rules.instance_type_rule import PATTERNS_MAX
from tests.server.edge import Edge
from tests.support.publisher import another_client, described, new_snapshot, publishing_edge, refused, register

pytestmark = pytest.mark.proves("ec2", "ReplaceImageInstanceTypeSpecification")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("types")) as running:
        yield running


@pytest.fixture(scope="module")
def image_id(edge: Edge, ec2: Any) -> str:
    return register(ec2, new_snapshot(edge), "typed", EnaSupport=True)


def replace(ec2: Any, image_id: str, supported: list[str], unsupported: list[str]) -> None:
    lists = {"SupportedInstanceTypes": supported, "UnsupportedInstanceTypes": unsupported}
    answer = ec2.replace_image_instance_type_specification(ImageId=image_id, InstanceTypeSpecification=lists)
    assert answer["ReturnValue"] is True


def launched(ec2: Any, image_id: str, type_name: str) -> tuple[str, str]:
    """What a dry run of a launch on the type is refused with."""
    return refused(ec2.run_instances, ImageId=image_id, InstanceType=type_name, MinCount=1, MaxCount=1, DryRun=True)


def test_the_lists_are_kept_in_order_and_shown(ec2: Any, image_id: str) -> None:
    replace(ec2, image_id, ["t3.*", "m5.large"], ["*.nano"])
    assert described(ec2, image_id)["InstanceTypeSpecification"] == {
        "SupportedInstanceTypes": [{"InstanceType": "t3.*"}, {"InstanceType": "m5.large"}],
        "UnsupportedInstanceTypes": [{"InstanceType": "*.nano"}],
    }
    replace(ec2, image_id, [], ["t2.micro"])
    assert described(ec2, image_id)["InstanceTypeSpecification"] == {
        "UnsupportedInstanceTypes": [{"InstanceType": "t2.micro"}]
    }
    ec2.replace_image_instance_type_specification(ImageId=image_id)
    assert "InstanceTypeSpecification" not in described(ec2, image_id)


def test_a_launch_heeds_both_lists(ec2: Any, image_id: str) -> None:
    replace(ec2, image_id, ["t3.*", "t2.micro"], ["*.nano"])
    for allowed in ("t3.micro", "t3.small", "t2.micro"):
        assert launched(ec2, image_id, allowed)[0] == "DryRunOperation"
    assert launched(ec2, image_id, "t3.nano") == (
        "InvalidParameterCombination",
        f"The instance type 't3.nano' is not supported by the image {image_id}: its owner excludes '*.nano'.",
    )
    assert launched(ec2, image_id, "t2.small") == (
        "InvalidParameterCombination",
        f"The instance type 't2.small' is not supported by the image {image_id}: its owner supports t3.*, t2.micro.",
    )
    ec2.replace_image_instance_type_specification(ImageId=image_id)
    assert launched(ec2, image_id, "t3.nano")[0] == "DryRunOperation"


def test_unsupported_types_alone_leave_all_others(ec2: Any, image_id: str) -> None:
    replace(ec2, image_id, [], ["t3*"])
    assert launched(ec2, image_id, "t3a.micro")[0] == "InvalidParameterCombination"
    assert launched(ec2, image_id, "t2.micro")[0] == "DryRunOperation"
    ec2.replace_image_instance_type_specification(ImageId=image_id)


@pytest.mark.parametrize("pattern", ["", "t3 micro", "x" * 25, "t3.?", "t3.**"])
def test_an_entry_of_the_wrong_form_is_refused(ec2: Any, image_id: str, pattern: str) -> None:
    for parameter in ("SupportedInstanceType", "UnsupportedInstanceType"):
        code, text = refused(
            ec2.replace_image_instance_type_specification,
            ImageId=image_id,
            InstanceTypeSpecification={f"{parameter}s": [pattern]},
        )
        assert code == "InvalidParameterValue"
        assert text.startswith(f"Value ({pattern}) for parameter ") and f"{parameter}" in text
    assert "InstanceTypeSpecification" not in described(ec2, image_id)


@pytest.mark.parametrize(("supported", "unsupported"), [(["a", "a"], []), ([], ["a", "a"]), (["a"], ["a"])])
def test_an_entry_is_named_once(ec2: Any, image_id: str, supported: list[str], unsupported: list[str]) -> None:
    code, text = refused(
        ec2.replace_image_instance_type_specification,
        ImageId=image_id,
        InstanceTypeSpecification={"SupportedInstanceTypes": supported, "UnsupportedInstanceTypes": unsupported},
    )
    assert code == "InvalidParameterValue" and "Each entry may be named once" in text


def test_each_list_has_a_hundred_entries_at_most(ec2: Any, image_id: str) -> None:
    many = [f"m{number}.*" for number in range(PATTERNS_MAX)]
    replace(ec2, image_id, many, [f"c{number}.*" for number in range(PATTERNS_MAX)])
    assert len(described(ec2, image_id)["InstanceTypeSpecification"]["SupportedInstanceTypes"]) == PATTERNS_MAX
    ec2.replace_image_instance_type_specification(ImageId=image_id)
    for parameter in ("SupportedInstanceType", "UnsupportedInstanceType"):
        code, text = refused(
            ec2.replace_image_instance_type_specification,
            ImageId=image_id,
            InstanceTypeSpecification={f"{parameter}s": [*many, "z1.*"]},
        )
        assert code == "InvalidParameterValue"
        assert parameter in text and f"between 0 and {PATTERNS_MAX} items" in text


def test_only_the_owner_sets_it(edge: Edge, ec2: Any, image_id: str) -> None:
    with another_client(edge) as stranger:
        assert refused(stranger.replace_image_instance_type_specification, ImageId=image_id) == (
            "AuthFailure",
            f"Not authorized for image:{image_id}",
        )
    assert refused(ec2.replace_image_instance_type_specification, ImageId="ami-12345678")[0] == "InvalidAMIID.NotFound"
    assert refused(ec2.replace_image_instance_type_specification, ImageId="t3.micro")[0] == "InvalidAMIID.Malformed"
