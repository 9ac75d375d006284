"""What the tests of the network share: an edge of their own, clients of two accounts, and refusals as values."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

ZONES = ("us-east-1a", "us-east-1b")


@contextmanager
def network_edge(folder: Path) -> Iterator[Edge]:
    """An edge with two zones."""
    with open_services(folder / "data", zones=ZONES) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@contextmanager
def another_client(edge: Edge) -> Iterator[Any]:
    """A client of a new account."""
    account, _ = make_account(edge.services, "stranger")
    keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
    with closing(edge.client("ec2", **keys)) as client:
        yield client


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    """Code and text of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def tagged(resource_type: str, **tags: str) -> list[dict[str, Any]]:
    """Tags at birth."""
    return [{"ResourceType": resource_type, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def where(name: str, *values: str) -> list[dict[str, Any]]:
    """One filter."""
    return [{"Name": name, "Values": list(values)}]


def default_vpc(ec2: Any) -> str:
    """The account's default VPC."""
    (vpc,) = ec2.describe_vpcs(Filters=where("is-default", "true"))["Vpcs"]
    return str(vpc["VpcId"])
