"""EBS direct as boto3 speaks it, over a real port."""

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.services import Services
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account

BLOCK_BYTES = 524_288


@pytest.fixture
def edge(services: Services) -> Iterator[Edge]:
    """The edge over empty services."""
    with running_edge(services, make_account(services)[0]) as running:
        yield running


@pytest.fixture
def ebs(edge: Edge) -> Iterator[Any]:
    """A boto3 client."""
    client = edge.client("ebs")
    yield client
    client.close()


def b64(digest: bytes) -> str:
    """The digest as EBS direct has it."""
    return base64.b64encode(digest).decode()


def put(ebs: Any, snapshot: str, index: int, data: bytes, **changed: Any) -> Any:
    """Puts a block as a right client does."""
    right = {"DataLength": BLOCK_BYTES, "Checksum": b64(sha256(data).digest()), "ChecksumAlgorithm": "SHA256"}
    return ebs.put_snapshot_block(SnapshotId=snapshot, BlockIndex=index, BlockData=data, **{**right, **changed})


def refused(call: Callable[[], object]) -> tuple[str, str | None, int]:
    """Exception, reason and status that boto3 sees."""
    with pytest.raises(ClientError) as caught:
        call()
    answer: Mapping[str, Any] = caught.value.response
    return answer["Error"]["Code"], answer.get("Reason"), answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.proves(
    "ebs", "StartSnapshot", "PutSnapshotBlock", "CompleteSnapshot", "ListSnapshotBlocks", "GetSnapshotBlock"
)
def test_a_disk_goes_up_in_parallel_at_once_and_comes_down_the_same(ebs: Any) -> None:
    started = ebs.start_snapshot(VolumeSize=1, Description="d", Tags=[{"Key": "k", "Value": "v"}])
    assert started["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (started["Status"], started["BlockSize"], started["VolumeSize"]) == ("pending", BLOCK_BYTES, 1)
    snapshot = started["SnapshotId"]
    blocks = {index * 37: os.urandom(BLOCK_BYTES) if index % 2 else b"text " * 104_857 + b"end" for index in range(24)}
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda item: put(ebs, snapshot, *item), blocks.items()))
    assert {answer["ResponseMetadata"]["HTTPStatusCode"] for answer in answers} == {201}
    assert [answer["Checksum"] for answer in answers] == [b64(sha256(data).digest()) for data in blocks.values()]
    linear = sha256(b"".join(sha256(blocks[index]).digest() for index in sorted(blocks))).digest()
    completed = ebs.complete_snapshot(
        SnapshotId=snapshot, ChangedBlocksCount=len(blocks), Checksum=b64(linear), ChecksumAlgorithm="SHA256", ChecksumAggregationMethod="LINEAR",
    )  # fmt: skip
    assert (completed["Status"], completed["ResponseMetadata"]["HTTPStatusCode"]) == ("completed", 202)
    listed = ebs.list_snapshot_blocks(SnapshotId=snapshot)
    assert [block["BlockIndex"] for block in listed["Blocks"]] == sorted(blocks)
    for block in listed["Blocks"]:
        got = ebs.get_snapshot_block(
            SnapshotId=snapshot, BlockIndex=block["BlockIndex"], BlockToken=block["BlockToken"]
        )
        assert (got["DataLength"], got["ChecksumAlgorithm"]) == (BLOCK_BYTES, "SHA256")
        data = got["BlockData"].read()
        assert data == blocks[block["BlockIndex"]]
        assert got["Checksum"] == b64(sha256(data).digest())


def test_refusals_carry_exception_reason_and_status(ebs: Any) -> None:
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    data = os.urandom(BLOCK_BYTES)
    short = {"DataLength": BLOCK_BYTES - 1}
    assert refused(lambda: put(ebs, snapshot, 0, data[:-1])) == ("ValidationException", "INVALID_BLOCK", 400)
    assert refused(lambda: put(ebs, snapshot, 0, data, **short)) == (
        "ValidationException",
        "INVALID_PARAMETER_VALUE",
        400,
    )
    wrong = {"Checksum": b64(bytes(32))}
    assert refused(lambda: put(ebs, snapshot, 0, data, **wrong)) == (
        "ValidationException",
        "INVALID_PARAMETER_VALUE",
        400,
    )
    assert refused(lambda: put(ebs, "snap-00000000", 0, data)) == (
        "ResourceNotFoundException",
        "SNAPSHOT_NOT_FOUND",
        404,
    )
    again = {"VolumeSize": 1, "ClientToken": "t"}
    assert ebs.start_snapshot(**again)["SnapshotId"] == ebs.start_snapshot(**again)["SnapshotId"]
    assert refused(lambda: ebs.start_snapshot(VolumeSize=2, ClientToken="t"))[::2] == ("ConflictException", 409)
    put(ebs, snapshot, 0, data)
    assert refused(lambda: ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=2))[0] == "ValidationException"


def test_a_body_that_ends_early_or_is_encoded_is_refused(edge: Edge) -> None:
    client = edge.client("ebs")
    snapshot = client.start_snapshot(VolumeSize=1)["SnapshotId"]
    client.close()
    target = f"/snapshots/{snapshot}/blocks/0"
    data = os.urandom(BLOCK_BYTES)
    headers = {
        "x-amz-Data-Length": str(BLOCK_BYTES),
        "x-amz-Checksum": b64(sha256(data).digest()),
        "x-amz-Checksum-Algorithm": "SHA256",
    }
    encoded = {**headers, "Content-Encoding": "gzip"}
    for body, sent, reason in ((data, encoded, "INVALID_CONTENT_ENCODING"), (b"", headers, "INVALID_BLOCK")):
        answer = edge.send("PUT", target, body, edge.sign("PUT", target, body, sent, service="ebs"))
        assert (answer.status, json.loads(answer.body)["Reason"]) == (400, reason)
        assert answer.headers["x-amzn-errortype"] == "ValidationException"
    answer = edge.send("PUT", target, data, edge.sign("PUT", target, data, headers, service="ebs"))
    assert answer.status == 201


def test_a_page_of_less_than_a_hundred_blocks_has_a_hundred(edge: Edge) -> None:
    client = edge.client("ebs")
    snapshot = client.start_snapshot(VolumeSize=1)["SnapshotId"]
    client.close()
    edge.services.blocks.write(snapshot, [(index, bytes(BLOCK_BYTES)) for index in range(101)])
    edge.services.blocks.complete(snapshot)
    for asked, status, count in ((-1, 200, 100), (1, 200, 100), (101, 200, 101), (10_000, 200, 101), (10_001, 400, 0)):
        target = f"/snapshots/{snapshot}/blocks?maxResults={asked}"
        answer = edge.send("GET", target, headers=edge.sign("GET", target, service="ebs"))
        assert (answer.status, len(json.loads(answer.body).get("Blocks", []))) == (status, count)


def test_what_is_not_built_says_so(edge: Edge) -> None:
    target = "/snapshots/snap-0123456789abcdef0/restores"
    answer = edge.send("GET", target, headers=edge.sign("GET", target, service="ebs"))
    assert answer.status == 400
    assert "Amiable" in json.loads(answer.body)["Message"]


@pytest.mark.proves("ebs", "ListChangedBlocks")
def test_what_changed_since_a_parent_is_listed_and_read(ebs: Any) -> None:
    def put(snapshot: str, index: int, body: bytes) -> None:
        checksum = base64.b64encode(sha256(body).digest()).decode()
        ebs.put_snapshot_block(
            SnapshotId=snapshot,
            BlockIndex=index,
            BlockData=body,
            DataLength=BLOCK_BYTES,
            Checksum=checksum,
            ChecksumAlgorithm="SHA256",
        )

    parent = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    put(parent, 0, b"a" * BLOCK_BYTES)
    ebs.complete_snapshot(SnapshotId=parent, ChangedBlocksCount=1)
    child = ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent)["SnapshotId"]
    put(child, 3, b"b" * BLOCK_BYTES)
    ebs.complete_snapshot(SnapshotId=child, ChangedBlocksCount=1)
    [block] = ebs.list_changed_blocks(FirstSnapshotId=parent, SecondSnapshotId=child)["ChangedBlocks"]
    assert block["BlockIndex"] == 3 and "FirstBlockToken" not in block
    answer = ebs.get_snapshot_block(SnapshotId=child, BlockIndex=3, BlockToken=block["SecondBlockToken"])
    assert answer["BlockData"].read() == b"b" * BLOCK_BYTES
    lonely = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=lonely, ChangedBlocksCount=0)
    call = lambda: ebs.list_changed_blocks(FirstSnapshotId=parent, SecondSnapshotId=lonely)  # noqa: E731
    assert refused(call) == ("ValidationException", "UNRELATED_SNAPSHOTS", 400)
