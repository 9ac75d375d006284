"""The line of each request: what it asked, who asked, what came of it, and nothing of its text that could pass for another line."""

import base64
import json
import logging
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from amiable.rules.sigv4 import Request
from amiable.server import operations
from amiable.server.request_log import PATH_CHARACTERS_MAX, WORD_CHARACTERS_MAX, Exchange, log_answer, log_departure
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

LINE = re.compile(
    r"(?P<service>[!-~]+) (?P<method>[A-Z]+) (?P<path>[!-~]+) (?P<action>[!-~]+) (?P<account>\d{12}|-) "
    r"(?P<status>\d{3}) (?P<code>[!-~]+) \d+\.\d ms request [0-9a-f-]{36}"
)
SPOOF = "Describe\r\n2026-03-01 INFO amiable.server: ec2 POST / TerminateInstances\x1b[2J\u2028\x85 123456789012 200"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("log") / "data") as services:
        account, _ = make_account(services, "someone")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "amiable.server")


def line(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """The one line since the last look, by its places."""
    (record,) = [each for each in caplog.records if each.name == "amiable.server"]
    text = record.getMessage()
    caplog.clear()
    found = LINE.fullmatch(text)
    assert found, text
    return found.groupdict()


def refused(call: Any, **request: Any) -> None:
    with pytest.raises(ClientError):
        call(**request)


def test_a_line_names_the_action_the_account_and_the_code_of_a_refusal(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    ec2, sts, ssm, ebs = (edge.client(service) for service in ("ec2", "sts", "ssm", "ebs"))
    ec2.describe_regions()
    account = edge.account.account_id
    done = {"service": "ec2", "method": "POST", "path": "/", "account": account, "status": "200", "code": "-"}
    assert line(caplog) == {**done, "action": "DescribeRegions"}
    sts.get_caller_identity()
    assert line(caplog) == {**done, "service": "sts", "action": "GetCallerIdentity"}
    for call, request, service, action, code in (
        (
            ec2.describe_images,
            {"ImageIds": ["ami-0123456789abcdef0"]},
            "ec2",
            "DescribeImages",
            "InvalidAMIID.NotFound",
        ),
        (ec2.delete_snapshot, {"SnapshotId": "x"}, "ec2", "DeleteSnapshot", "InvalidSnapshotID.Malformed"),
        (ssm.get_parameter, {"Name": "/absent"}, "ssm", "GetParameter", "ParameterNotFound"),
        (sts.assume_role, {"RoleArn": "a" * 20, "RoleSessionName": "me"}, "sts", "AssumeRole", "ValidationError"),
    ):
        refused(call, **request)
        found = line(caplog)
        assert (found["service"], found["action"], found["account"]) == (service, action, account)
        assert (found["status"], found["code"]) == ("400", code)
    refused(ebs.complete_snapshot, SnapshotId="snap-0123456789abcdef0", ChangedBlocksCount=0)
    found = line(caplog)
    assert found == {
        "service": "ebs",
        "method": "POST",
        "path": "/snapshots/completion/snap-0123456789abcdef0",
        "action": "CompleteSnapshot",
        "account": account,
        "status": "404",
        "code": "ResourceNotFoundException",
    }
    for client in (ec2, sts, ssm, ebs):
        client.close()


def test_the_code_is_the_one_that_the_client_is_told(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    for service, code in (
        ("ec2", "AuthFailure"), ("sts", "SignatureDoesNotMatch"), ("iam", "SignatureDoesNotMatch"),
        ("ssm", "InvalidSignatureException"), ("s3", "AuthorizationHeaderMalformed"), ("ebs", "InvalidSignatureException"),
    ):  # fmt: skip
        target = "/snapshots/snap-1/blocks" if service == "ebs" else "/"
        method = "GET" if service == "ebs" else "POST"
        answer = edge.send(method, target, b"", edge.sign(method, target, service=service, secret="wrong"))
        told = answer.headers.get("x-amzn-errortype", "") + answer.text
        found = line(caplog)
        assert (found["service"], found["code"]) == (service, code) and code in told
        assert (found["account"], found["action"]) == ("-", "-")  # nobody is verified, and the body is not looked at
    edge.send("GET", "/bucket")
    found = line(caplog)
    assert (found["service"], found["path"], found["status"], found["code"]) == ("s3", "/bucket", "403", "AccessDenied")
    edge.send("GET", "/health")
    assert line(caplog)["code"] == "-"


def test_an_action_that_there_is_none_of_is_named_as_far_as_it_is_one(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    edge.call("Action=MakeCoffee&Version=2016-11-15")
    found = line(caplog)
    assert (found["action"], found["code"], found["account"]) == (
        "MakeCoffee",
        "InvalidAction",
        edge.account.account_id,
    )
    edge.call("Version=2016-11-15")
    found = line(caplog)
    assert (found["action"], found["code"]) == ("-", "MissingAction")


@pytest.mark.parametrize("service", ["ec2", "sts", "iam"])
def test_an_action_with_line_ends_adds_no_line_and_steers_no_terminal(
    edge: Edge, caplog: pytest.LogCaptureFixture, service: str
) -> None:
    versions = {"ec2": "2016-11-15", "sts": "2011-06-15", "iam": "2010-05-08"}
    edge.call(urlencode({"Action": SPOOF, "Version": versions[service]}), service=service)
    found = line(caplog)
    assert found["action"].startswith("Describe??2026-03-01?INFO?amiable.server:?ec2?POST?/?Terminat")
    assert found["code"] == "InvalidAction"
    edge.call(urlencode({"Action": "A" * 5000, "Version": versions[service]}), service=service)
    assert line(caplog)["action"] == "A" * WORD_CHARACTERS_MAX + "..."


def test_a_target_or_a_service_of_ones_own_making_adds_no_line(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"X-Amz-Target": "AmazonSSM.Get\x85\xa0Parameter"}
    edge.send("POST", "/", b"{}", {**headers, **edge.sign("POST", "/", b"{}", service="ssm")})
    assert line(caplog)["action"] == "-"  # not signed: the header is not looked at
    edge.send(
        "POST", "/", b"{}", edge.sign("POST", "/", b"{}", {"X-Amz-Target": "AmazonSSM.Make Coffee"}, service="ssm")
    )
    found = line(caplog)
    assert (found["action"], found["code"]) == ("Make?Coffee", "UnknownOperationException")
    now = datetime.now(UTC)
    credential = f"AKIA/{now:%Y%m%d}/us-east-1/{SPOOF.replace('/', '')}/aws4_request"
    query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": credential, "X-Amz-Signature": "0" * 64}
    query |= {"X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}", "X-Amz-Expires": "60", "X-Amz-SignedHeaders": "host"}
    edge.send("GET", "/?" + urlencode(query, quote_via=quote))
    found = line(caplog)
    assert found["account"] == "-" and found["code"] == "UnsupportedOperation"
    assert found["service"].startswith("Describe??2026-03-01?INFO") and len(found["service"]) == WORD_CHARACTERS_MAX + 3


def test_neither_user_data_nor_a_signature_comes_into_the_log(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    secret = "hunter2-is-my-password"
    with closing(edge.client("ec2")) as ec2:
        refused(
            ec2.run_instances, ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, UserData=secret, KeyName=secret
        )
    assert (
        edge.call(urlencode({"Action": "DescribeRegions", "Version": "2016-11-15", "Filter.1.Name": secret})).status
        == 400
    )
    edge.send("GET", f"/bucket/key?X-Amz-Signature={secret}&X-Amz-Credential={secret}")
    edge.send("POST", "/amiable/v1/accounts", json.dumps({"Name": secret}).encode())
    assert len(caplog.records) >= 4
    for text in (secret, base64.b64encode(secret.encode()).decode(), edge.account.secret):
        assert text not in caplog.text


def test_a_websocket_that_is_refused_has_such_a_line_too(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    path = "/amiable/v1/instances/i-1/tunnel"
    with pytest.raises(InvalidStatus):
        connect(edge.endpoint.replace("http", "ws") + path)
    found = line(caplog)
    assert (found["service"], found["path"], found["status"], found["code"]) == ("amiable", path, "401", "AuthFailure")


def test_a_fault_of_our_own_is_told_once(
    edge: Edge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a detail")

    monkeypatch.setitem(operations.EC2, "DescribeRegions", broken)
    answer = edge.call("Action=DescribeRegions&Version=2016-11-15")
    failed, answered = caplog.records
    assert failed.getMessage() == f"request {answer.headers['x-amzn-requestid']} failed" and failed.exc_info
    assert "DescribeRegions" in answered.getMessage() and " 500 InternalError " in answered.getMessage()


@given(st.text(max_size=700), st.text(max_size=100), st.text(max_size=100))
def test_whatever_a_request_names_its_line_has_its_places_and_its_size(path: str, service: str, action: str) -> None:
    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, log = Keeping(), logging.getLogger("amiable.server")
    log.addHandler(handler)
    try:
        exchange = Exchange(Request("GET", path, "", []), "0" * 36, service, 0.0)
        log_answer(exchange, action=action, account_id="123456789012", status=200)
        log_departure(exchange, action=action, account_id="")
    finally:
        log.removeHandler(handler)
    answered, departed = lines
    assert LINE.fullmatch(answered)
    assert departed.split(": ")[-1] == f"the client went away; request {'0' * 36}"
    for text in lines:
        assert text.isascii() and text.isprintable()
        assert len(text) < PATH_CHARACTERS_MAX + 2 * WORD_CHARACTERS_MAX + 150
