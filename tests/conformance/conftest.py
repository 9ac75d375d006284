"""What most of the tests through boto3 have: an edge over services of its module's own, and an EC2 client of its account."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The edge over empty services, with an account."""
    with open_services(tmp_path_factory.mktemp("edge") / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(scope="module")
def ec2(edge: Edge) -> Iterator[Any]:
    """A boto3 client of the edge's account."""
    with closing(edge.client("ec2")) as client:
        yield client
