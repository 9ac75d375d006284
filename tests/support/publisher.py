"""An image publisher: two accounts at one edge, snapshots and images made through boto3, refusals as a client reads them."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

ROOT = "/dev/xvda"


@contextmanager
def publishing_edge(folder: Path, **services: Any) -> Iterator[Edge]:
    """An edge over services of its own with one account; ``services`` are ``open_services``'s."""
    with open_services(folder / "data", **services) as opened:
        account, _ = make_account(opened, "publisher")
        with running_edge(opened, account) as running:
            yield running


@contextmanager
def another_client(edge: Edge, name: str = "stranger", **options: Any) -> Iterator[Any]:
    """An EC2 client of another, new account; its number is ``client.account_id``."""
    account, _ = make_account(edge.services, name)
    keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
    with closing(edge.client("ec2", **keys, **options)) as client:
        client.account_id = account.account_id
        yield client


def new_snapshot(edge: Edge, client: Any = None, *, size_gib: int = 1, completed: bool = True) -> str:
    """The id of an empty snapshot, of the edge's account or of the account of an EBS direct ``client``."""
    if client is None:
        with closing(edge.client("ebs")) as own:
            return new_snapshot(edge, own, size_gib=size_gib, completed=completed)
    snapshot_id = str(client.start_snapshot(VolumeSize=size_gib)["SnapshotId"])
    if completed:
        client.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)
        run_jobs(edge.services)
    return snapshot_id


def registration(snapshot_id: str, name: str, **words: Any) -> dict[str, Any]:
    """Parameters of RegisterImage for a plain hvm image of one snapshot; ``words`` win, None takes one away."""
    known = {
        "Name": name,
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "RootDeviceName": ROOT,
        "BlockDeviceMappings": [{"DeviceName": ROOT, "Ebs": {"SnapshotId": snapshot_id}}],
    }
    return {word: value for word, value in {**known, **words}.items() if value is not None}


def register(ec2: Any, snapshot_id: str, name: str, **words: Any) -> str:
    """The id of a new image."""
    return str(ec2.register_image(**registration(snapshot_id, name, **words))["ImageId"])


def described(ec2: Any, image_id: str) -> dict[str, Any]:
    """The image as DescribeImages shows it."""
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    return dict(image)


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    """Code and text of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def bad_ids(refused: pytest.ExceptionInfo[ClientError]) -> object:
    """The ids that the refusal names in the element of our own, of which boto3's types know nothing."""
    error: Mapping[str, object] = refused.value.response["Error"]
    return error["Ids"]
