"""BundleInstance as the AWS command line and boto3 ask for it: their policies are read, their signatures verify."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image, run_one
from tests.server.edge import Edge, running_edge
from tests.support.policies import storage
from tests.support.services import make_account, open_services

SECONDS_MAX = 180


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with open_services(tmp_path / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


def running_instance(edge: Edge) -> str:
    principal = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    instance_id = run_one(edge.services, principal, make_image(edge.services, principal))
    with edge.services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=edge.services.now())
    return instance_id


def test_the_policy_that_the_aws_command_line_makes_is_taken(edge: Edge) -> None:
    instance = running_instance(edge)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment |= {
        "AWS_ENDPOINT_URL": edge.endpoint,
        "AWS_ACCESS_KEY_ID": edge.account.access_key_id,
        "AWS_SECRET_ACCESS_KEY": edge.account.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    words = ["ec2", "bundle-instance", "--instance-id", instance, "--bucket", "a-bucket", "--prefix", "images/one"]
    words += ["--owner-akid", edge.account.access_key_id, "--owner-sak", edge.account.secret]
    words += ["--query", "BundleTask.[State,InstanceId,Storage.S3.Prefix]", "--output", "text"]
    program = Path(sys.executable).parent / "aws"
    made = subprocess.run(
        [program, *words], env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.split() == ["pending", instance, "images/one"]


@pytest.mark.proves("ec2", "BundleInstance", "DescribeBundleTasks", "CancelBundleTask")
def test_boto3_starts_lists_filters_and_cancels_and_reads_every_refusal(edge: Edge) -> None:
    instance = running_instance(edge)
    mine = storage("a-bucket", "one", edge.account.access_key_id, edge.account.secret)
    with closing(edge.client("ec2")) as client:
        task = client.bundle_instance(InstanceId=instance, Storage=mine)["BundleTask"]
        assert client.describe_bundle_tasks()["BundleTasks"] == [task]
        assert client.describe_bundle_tasks(Filters=[{"Name": "state", "Values": ["complete"]}])["BundleTasks"] == []
        refused: dict[str, Callable[[], object]] = {
            "BundlingInProgress": lambda: client.bundle_instance(InstanceId=instance, Storage=mine),
            "InvalidBundleID.NotFound": lambda: client.describe_bundle_tasks(BundleIds=["bun-01234567"]),
            "InvalidInstanceID.NotFound": lambda: client.bundle_instance(
                InstanceId="i-0123456789abcdef0", Storage=mine
            ),
        }
        for code, ask in refused.items():
            with pytest.raises(ClientError) as error:
                ask()
            assert error.value.response["Error"]["Code"] == code
        cancelled = client.cancel_bundle_task(BundleId=task["BundleId"])["BundleTask"]
        assert cancelled["State"] == "cancelling"
