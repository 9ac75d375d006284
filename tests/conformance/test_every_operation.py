"""Whatever a stock client can send, the edge answers as AWS does: never with a fault of its own, and a dry run changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sqlalchemy import select

from amiable.database.schema import metadata
from amiable.services import Services
from amiable.wire import operations
from tests.server.edge import Edge
from tests.wire import oracle

ED25519 = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5kZK0tNVhO5zlGUZQwNhkVqHTyr0mEc7xTbYvcvY3d someone"
SEEDS = range(4)


def facts(services: Services) -> dict[str, list[Any]]:
    """Every row of every table."""
    with services.database.read() as c:
        return {table.name: [tuple(row) for row in c.execute(select(table))] for table in metadata.sorted_tables}


Call = Callable[[str, str, dict[str, Any]], tuple[int, str]]


@pytest.fixture(scope="module")
def call(edge: Edge) -> Iterator[Call]:
    """(service, operation, members) → status and error code (``''`` for none), as boto3 makes the call."""
    config = Config(parameter_validation=False, retries={"max_attempts": 0})
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(closing(edge.client(name, config=config)))
            for name in ("ec2", "ebs", "sts", "iam", "ssm")
        }

        def make(service: str, name: str, members: dict[str, Any]) -> tuple[int, str]:
            try:
                answer = clients[service]._make_api_call(name, members)
            except ClientError as refused:
                return refused.response["ResponseMetadata"]["HTTPStatusCode"], refused.response["Error"]["Code"]
            return answer["ResponseMetadata"]["HTTPStatusCode"], ""

        yield make


@pytest.mark.parametrize("name", operations.EC2)
def test_no_ec2_request_meets_a_fault_of_our_own(edge: Edge, call: Call, name: str) -> None:
    shape = oracle.model("ec2").operation_model(name).input_shape
    for seed in SEEDS:
        members = oracle.Maker(seed, chance=(1, 0.5, 0.2, 0)[seed % 4]).value(shape)
        members.pop("DryRun", None)
        status, code = call("ec2", name, members)
        assert status < 500, (code, members)


WITHOUT_DRY_RUN = {  # in EC2's model
    "AssociateIamInstanceProfile",
    "DescribeIamInstanceProfileAssociations",
    "DisassociateIamInstanceProfile",
    "ModifySubnetAttribute",
    "ModifyVpcAttribute",
    "ReplaceIamInstanceProfileAssociation",
}


@pytest.mark.parametrize("name", [name for name in operations.EC2 if name not in WITHOUT_DRY_RUN])
def test_no_dry_run_changes_a_fact_or_succeeds(edge: Edge, call: Call, name: str) -> None:
    shape = oracle.model("ec2").operation_model(name).input_shape
    assert "DryRun" in shape.members
    before = facts(edge.services)
    for seed in SEEDS:
        members = oracle.Maker(seed, chance=(1, 0.5, 0.2, 0)[seed % 4]).value(shape)
        status, code = call("ec2", name, {**members, "DryRun": True})
        assert 400 <= status < 500, (code, members)
    assert facts(edge.services) == before


VALID: dict[str, dict[str, Any]] = {
    "CreateKeyPair": {"KeyName": "dry"},
    "ImportKeyPair": {"KeyName": "imported", "PublicKeyMaterial": ED25519},
    "DeleteKeyPair": {"KeyName": "dry"},
    "DescribeImages": {"Owners": ["self"]},
    "DescribeInstances": {},
    "DescribeInstanceStatus": {},
    "DescribeInstanceTypes": {},
    "DescribeKeyPairs": {},
    "DescribeRegions": {},
    "DescribeAvailabilityZones": {},
    "DescribeSnapshots": {"OwnerIds": ["self"]},
    "DescribeImportSnapshotTasks": {},
    "DescribeTags": {},
    "DescribeVpcs": {},
    "DescribeSubnets": {},
    "DescribeSecurityGroups": {},
}


@pytest.mark.parametrize("name", VALID)
def test_a_dry_run_of_what_is_allowed_says_so(edge: Edge, call: Call, name: str) -> None:
    before = facts(edge.services)
    assert call("ec2", name, {**VALID[name], "DryRun": True}) == (412, "DryRunOperation")
    assert facts(edge.services) == before
    assert call("ec2", name, VALID[name]) == (200, "")


@pytest.mark.parametrize("name", operations.EBS)
def test_no_ebs_request_meets_a_fault_of_our_own(edge: Edge, call: Call, name: str) -> None:
    shape = oracle.model("ebs").operation_model(name).input_shape
    for seed in SEEDS:
        members = oracle.Maker(seed, chance=(1, 0.5, 0.2, 0)[seed % 4]).value(shape)
        status, code = call("ebs", name, members)
        assert status < 500, (code, members)


@pytest.mark.parametrize(
    ("service", "name"), [(service, name) for service in ("sts", "iam", "ssm") for name in operations.SERVICES[service]]
)
def test_no_request_of_a_small_service_meets_a_fault_of_our_own(
    edge: Edge, call: Call, service: str, name: str
) -> None:
    shape = oracle.model(service).operation_model(name).input_shape
    for seed in SEEDS:
        members = oracle.Maker(seed, chance=(1, 0.5, 0.2, 0)[seed % 4]).value(shape)
        status, code = call(service, name, members)
        assert status < 500, (code, members)


def test_the_identity_is_the_callers(call: Call) -> None:
    assert call("sts", "GetCallerIdentity", {}) == (200, "")
