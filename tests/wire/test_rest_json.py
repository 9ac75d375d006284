"""The rest-json codec against botocore, in both directions, and what it refuses."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.model.errors import EbsRefusal
from amiable.wire import operations, rest_json
from amiable.wire.generated import ebs, rbin
from tests.wire import oracle

SNAPSHOT = "snap-0123456789abcdef0"


PROTOCOLS = {"ebs": (rest_json.EBS, ebs), "rbin": (rest_json.RBIN, rbin)}
NAMES = [("ebs", name) for name in operations.EBS] + [("rbin", name) for name in operations.RBIN]


def read_as_sent(service: str, name: str, members: dict[str, Any]) -> Any:
    sent = oracle.serialise(service, name, members)
    protocol = PROTOCOLS[service][0]
    method = oracle.model(service).operation_model(name).http["method"]
    found = protocol.match(method, sent["url_path"])
    assert found is not None and found[0].name == name
    body = sent["body"]
    headers = {key.lower(): str(value) for key, value in sent["headers"].items()}
    return protocol.read_request(
        found[0],
        path=found[1],
        query=urlencode(sent["query_string"], doseq=True),
        headers=headers,
        body=body if isinstance(body, bytes) else body.encode(),
    )


@given(st.sampled_from(NAMES), st.integers(0, 2**32), st.sampled_from([0.5, 1]))
@settings(max_examples=300, deadline=None)
def test_requests_and_answers_agree_with_the_client(operation: tuple[str, str], seed: int, chance: float) -> None:
    service, name = operation
    protocol, types = PROTOCOLS[service]
    model = oracle.model(service).operation_model(name)
    maker = oracle.Maker(seed, chance)
    asked, answered = maker.value(model.input_shape), maker.value(model.output_shape)
    assert oracle.agrees(model.input_shape, read_as_sent(service, name, asked), asked)
    status, headers, body = protocol.write_response(
        types.OPERATIONS[name], oracle.typed(types, model.output_shape, answered)
    )
    assert status == model.http.get("responseCode", 200)
    if "BlockData" in model.output_shape.members:
        assert body == answered.pop("BlockData", b"")
        assert headers["Content-Type"] == rest_json.BLOB_TYPE
        body = b""
    parsed = oracle.parse(service, name, body, headers=headers, status=status)
    parsed.pop("BlockData", None)
    assert parsed == answered


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/snapshots", "StartSnapshot"),
        ("POST", "/snapshots/completion/snap-1", "CompleteSnapshot"),
        ("PUT", "/snapshots/snap-1/blocks/0", "PutSnapshotBlock"),
        ("GET", "/snapshots/snap-1/blocks/0", "GetSnapshotBlock"),
        ("GET", "/snapshots/snap-1/blocks", "ListSnapshotBlocks"),
        ("GET", "/snapshots/snap-1/changedblocks", "ListChangedBlocks"),
        ("GET", "/snapshots/snap-1/restores", None),
        ("GET", "/snapshots//blocks", None),
        ("GET", "/snapshots", None),
        ("DELETE", "/snapshots/snap-1/blocks/0", None),
        ("GET", "/", None),
    ],
)
def test_method_and_path_name_the_operation(method: str, path: str, name: str | None) -> None:
    found = rest_json.EBS.match(method, path)
    assert (found[0].name if found else None) == name


BLOCK = {"x-amz-data-length": "3", "x-amz-checksum": "YWJj", "x-amz-checksum-algorithm": "SHA256"}


@pytest.mark.parametrize(
    ("name", "path", "query", "headers", "body", "reason", "named"),
    [
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": 1, "Colour": "red"}', "INVALID_PARAMETER_VALUE", "Colour"),
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": "1"}', "INVALID_VOLUME_SIZE", "VolumeSize"),
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": true}', "INVALID_VOLUME_SIZE", "VolumeSize"),
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": 1.5}', "INVALID_VOLUME_SIZE", "VolumeSize"),
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": 0}', "INVALID_VOLUME_SIZE", "VolumeSize"),
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": 99999999999999999999}', "INVALID_VOLUME_SIZE", "VolumeSize"),
        ("StartSnapshot", {}, "", {}, b"{}", "INVALID_VOLUME_SIZE", "VolumeSize"),
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": 1, "Tags": {}}', "INVALID_TAG", "Tags"),
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": 1, "Tags": [{"Name": "x"}]}', "INVALID_TAG", "Tags.1.Name"),
        ("StartSnapshot", {}, "", {}, b'{"VolumeSize": 1, "Timeout": 9}', "INVALID_PARAMETER_VALUE", "Timeout"),
        (
            "StartSnapshot",
            {},
            "",
            {},
            b'{"VolumeSize": 1, "ParentSnapshotId": "x"}',
            "INVALID_SNAPSHOT_ID",
            "ParentSnapshotId",
        ),
        (
            "StartSnapshot",
            {},
            "",
            {},
            b'{"VolumeSize": 1, "ClientToken": "a b"}',
            "INVALID_PARAMETER_VALUE",
            "ClientToken",
        ),
        ("StartSnapshot", {}, "", {}, b"[]", "INVALID_PARAMETER_VALUE", "JSON"),
        ("StartSnapshot", {}, "", {}, b"{", "INVALID_PARAMETER_VALUE", "JSON"),
        ("StartSnapshot", {}, "", {}, b"\xff", "INVALID_PARAMETER_VALUE", "JSON"),
        ("StartSnapshot", {}, "", {}, b"[" * 100_000, "INVALID_PARAMETER_VALUE", "JSON"),
        (
            "PutSnapshotBlock",
            {"snapshotId": "x", "blockIndex": "0"},
            "",
            BLOCK,
            b"abc",
            "INVALID_SNAPSHOT_ID",
            "snapshotId",
        ),
        (
            "PutSnapshotBlock",
            {"snapshotId": SNAPSHOT + "\n", "blockIndex": "0"},
            "",
            BLOCK,
            b"",
            "INVALID_SNAPSHOT_ID",
            "snapshotId",
        ),
        (
            "PutSnapshotBlock",
            {"snapshotId": SNAPSHOT, "blockIndex": "-1"},
            "",
            BLOCK,
            b"abc",
            "INVALID_BLOCK",
            "blockIndex",
        ),
        (
            "PutSnapshotBlock",
            {"snapshotId": SNAPSHOT, "blockIndex": "x"},
            "",
            BLOCK,
            b"abc",
            "INVALID_BLOCK",
            "blockIndex",
        ),
        (
            "PutSnapshotBlock",
            {"snapshotId": SNAPSHOT, "blockIndex": "0"},
            "",
            {},
            b"abc",
            "INVALID_PARAMETER_VALUE",
            "x-amz-Data-Length",
        ),
        (
            "PutSnapshotBlock",
            {"snapshotId": SNAPSHOT, "blockIndex": "0"},
            "",
            {**BLOCK, "x-amz-checksum-algorithm": "MD5"},
            b"abc",
            "INVALID_PARAMETER_VALUE",
            "x-amz-Checksum-Algorithm",
        ),
        (
            "ListSnapshotBlocks",
            {"snapshotId": SNAPSHOT},
            "maxResults=4294967296",
            {},
            b"",
            "INVALID_PARAMETER_VALUE",
            "maxResults",
        ),
        ("ListSnapshotBlocks", {"snapshotId": SNAPSHOT}, "pageToken=%21", {}, b"", "INVALID_PAGE_TOKEN", "pageToken"),
        ("ListSnapshotBlocks", {"snapshotId": SNAPSHOT}, "colour=red", {}, b"", "INVALID_PARAMETER_VALUE", "colour"),
        (
            "ListSnapshotBlocks",
            {"snapshotId": SNAPSHOT},
            "maxResults=100&maxResults=100",
            {},
            b"",
            "INVALID_PARAMETER_VALUE",
            "maxResults",
        ),
        (
            "ListSnapshotBlocks",
            {"snapshotId": SNAPSHOT},
            "maxResults=%ff",
            {},
            b"",
            "INVALID_PARAMETER_VALUE",
            "malformed",
        ),
        (
            "GetSnapshotBlock",
            {"snapshotId": SNAPSHOT, "blockIndex": "0"},
            "",
            {},
            b"",
            "INVALID_BLOCK_TOKEN",
            "blockToken",
        ),
    ],
)
def test_a_bad_member_is_refused_by_name(
    name: str, path: dict[str, str], query: str, headers: dict[str, str], body: bytes, reason: str, named: str
) -> None:
    with pytest.raises(EbsRefusal) as refused:
        rest_json.EBS.read_request(ebs.OPERATIONS[name], path=path, query=query, headers=headers, body=body)
    assert (refused.value.code, refused.value.reason) == ("ValidationException", reason)
    assert named in refused.value.message


def test_the_signature_of_a_presigned_query_is_no_parameter() -> None:
    operation = ebs.OPERATIONS["ListSnapshotBlocks"]
    request = rest_json.EBS.read_request(
        operation, path={"snapshotId": SNAPSHOT}, query="maxResults=100&X-Amz-Signature=a", headers={}, body=b""
    )
    assert request.max_results == 100


def test_an_error_reaches_the_client_as_its_exception() -> None:
    headers, body = rest_json.write_error("ValidationException", "why", "INVALID_BLOCK")
    parsed = oracle.parse("ebs", "StartSnapshot", body, headers=headers, status=400)
    assert parsed["Error"] == {"Code": "ValidationException", "Message": "why"}
    assert json.loads(body)["Reason"] == "INVALID_BLOCK"
