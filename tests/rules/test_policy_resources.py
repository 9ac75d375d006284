"""Which resources a request is about, as policies name them."""

from typing import Any

import msgspec
import pytest

from amiable.rules.policy_resources import (
    Home,
    ebs_resources,
    ec2_resources,
    rbin_resources,
    ssm_resources,
    tagged_at_birth,
)
from amiable.wire.generated import ebs, ec2, rbin, ssm

HOME = Home("123456789012", "eu-west-1")
MINE = "arn:aws:ec2:eu-west-1:123456789012:"
SHARED = "arn:aws:ec2:eu-west-1::"
ID = "0" * 17


@pytest.mark.parametrize(
    ("request_", "arns"),
    [
        (ec2.DescribeInstancesRequest(instance_ids=[f"i-{ID}"]), ("*",)),
        (ec2.StopInstancesRequest(instance_ids=[f"i-{ID}", "i-00000001"]), (f"{MINE}instance/i-{ID}", f"{MINE}instance/i-00000001")),
        (ec2.DeregisterImageRequest(image_id=f"ami-{ID}"), (f"{SHARED}image/ami-{ID}",)),
        (ec2.DeleteSnapshotRequest(snapshot_id=f"snap-{ID}"), (f"{SHARED}snapshot/snap-{ID}",)),
        (
            ec2.CreateTagsRequest(resources=[f"vol-{ID}"], tags=[ec2.Tag(key="a_id", value=f"i-{ID}")]),
            (f"{MINE}volume/vol-{ID}",),
        ),
        (
            ec2.RunInstancesRequest(
                min_count=1, max_count=1, image_id=f"ami-{ID}", key_name="box", security_group_ids=[f"sg-{ID}"],
                block_device_mappings=[
                    ec2.BlockDeviceMapping(device_name="/dev/sdf", ebs=ec2.EbsBlockDevice(snapshot_id=f"snap-{ID}"))
                ],
            ),
            (
                f"{MINE}instance/*", f"{MINE}network-interface/*", f"{MINE}volume/*", f"{MINE}key-pair/box",
                f"{MINE}security-group/sg-{ID}", f"{SHARED}image/ami-{ID}", f"{SHARED}snapshot/snap-{ID}",
            ),
        ),
        (ec2.GetConsoleOutputRequest(instance_id=f"i-{ID}"), (f"{MINE}instance/i-{ID}",)),
        (ec2.DeleteSecurityGroupRequest(group_name="web"), ("?",)),
        (ec2.CreateSecurityGroupRequest(group_name="web", description="d"), (f"{MINE}security-group/*",)),
        (ec2.DisassociateAddressRequest(association_id=f"eipassoc-{ID}"), ("?",)),
        (ec2.ReleaseAddressRequest(public_ip="198.51.100.1"), ("?",)),
        (
            ec2.DescribeInstanceAttributeRequest(instance_id=f"i-{ID}", attribute="userData"),
            (f"{MINE}instance/i-{ID}",),
        ),
        (ec2.StopInstancesRequest(instance_ids=[f"i-{number:017x}" for number in range(1001)]), ("?",)),
        (
            ec2.CopyImageRequest(name="copy", source_image_id=f"ami-{ID}", source_region="us-east-1"),
            (f"{SHARED}image/*", f"{SHARED}snapshot/*", f"arn:aws:ec2:us-east-1::image/ami-{ID}"),
        ),
        (
            ec2.CopySnapshotRequest(source_snapshot_id=f"snap-{ID}", source_region="us-east-1"),
            (f"{SHARED}snapshot/*", f"arn:aws:ec2:us-east-1::snapshot/snap-{ID}"),
        ),
        (ec2.GetImageBlockPublicAccessStateRequest(), ("*",)),
        (ec2.StopInstancesRequest(instance_ids=["nonsense", "x-1"]), ("*",)),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_id_is_its_arn_and_what_is_made_has_a_star(request_: msgspec.Struct, arns: tuple[str, ...]) -> None:
    action = type(request_).__name__.removesuffix("Request")
    assert set(ec2_resources(HOME, action, request_)) == set(arns)


TAGGED = [ec2.TagSpecification(resource_type="snapshot", tags=[ec2.Tag(key="a", value="b")])]
COPY: dict[str, Any] = {"name": "copy", "source_image_id": f"ami-{ID}", "source_region": "us-east-1"}
OF_AN_INSTANCE = ec2.InstanceSpecification(instance_id=f"i-{ID}")


@pytest.mark.parametrize(
    ("request_", "arns"),
    [
        (ec2.CopyImageRequest(**COPY), ()),
        (ec2.CopyImageRequest(**COPY, copy_image_tags=False), ()),
        (ec2.CopyImageRequest(**COPY, copy_image_tags=True), (f"{SHARED}image/*",)),
        (
            ec2.CopyImageRequest(**COPY, copy_image_tags=True, tag_specifications=TAGGED),
            (f"{SHARED}snapshot/*", f"{SHARED}image/*"),
        ),
        (
            ec2.CreateSnapshotsRequest(instance_specification=OF_AN_INSTANCE, copy_tags_from_source="volume"),
            (f"{SHARED}snapshot/*",),
        ),
        (ec2.DescribeInstancesRequest(), ()),
    ],
)
def test_what_is_made_with_tags_given_or_its_sources_is_tagged(request_: msgspec.Struct, arns: tuple[str, ...]) -> None:
    assert tagged_at_birth(HOME, request_) == arns


@pytest.mark.parametrize(
    ("found", "arns"),
    [
        (ssm_resources(HOME, ssm.GetParameterRequest(name="/a/b")), ("arn:aws:ssm:eu-west-1:123456789012:parameter/a/b",)),
        (ssm_resources(HOME, ssm.GetParametersRequest(names=["a", "/b"])), (
            "arn:aws:ssm:eu-west-1:123456789012:parameter/a", "arn:aws:ssm:eu-west-1:123456789012:parameter/b",
        )),
        (ssm_resources(HOME, ssm.GetParametersByPathRequest(path="/a/")), ("arn:aws:ssm:eu-west-1:123456789012:parameter/a/*",)),
        (ssm_resources(HOME, ssm.GetParameterRequest(name=" /a ")), ("arn:aws:ssm:eu-west-1:123456789012:parameter/a",)),
        (ssm_resources(HOME, ssm.GetParameterRequest(name="/a:3")), ("arn:aws:ssm:eu-west-1:123456789012:parameter/a",)),
        (
            ssm_resources(HOME, ssm.GetParameterRequest(name="arn:aws:ssm:eu-west-1:123456789012:parameter/a/b:label")),
            ("arn:aws:ssm:eu-west-1:123456789012:parameter/a/b",),
        ),
        (ssm_resources(HOME, ssm.DescribeParametersRequest()), ("*",)),
        (ebs_resources(HOME, ebs.StartSnapshotRequest(volume_size=1)), (f"{SHARED}snapshot/*",)),
        (ebs_resources(HOME, ebs.ListSnapshotBlocksRequest(snapshot_id="snap-1")), (f"{SHARED}snapshot/snap-1",)),
        (rbin_resources(HOME, rbin.GetRuleRequest(identifier="r1")), ("arn:aws:rbin:eu-west-1:123456789012:rule/r1",)),
        (rbin_resources(HOME, rbin.ListRulesRequest(resource_type="EC2_IMAGE")), ("*",)),
    ],
)  # fmt: skip
def test_the_other_services_name_parameters_snapshots_and_rules(found: Any, arns: Any) -> None:
    assert found == arns
