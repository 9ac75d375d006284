"""The edge over a real port: routing, authentication, refusals in each service's words."""

import html
import http.client
import json
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from amiable.database import accounts
from amiable.server import limits, operations
from amiable.server.app import HANDLERS
from amiable.server.landing import landing_page
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
REGIONS = "Action=DescribeRegions&Version=2016-11-15"
IDENTITY = "Action=GetCallerIdentity&Version=2011-06-15"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("edge") / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


def code_of(text: str) -> str:
    """The error code in any of the XML documents."""
    root = ElementTree.fromstring(text)
    return next(element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "Code")


# ── unsigned ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_landing_page_and_the_health_check_answer_unsigned(edge: Edge) -> None:
    page, health = edge.send("GET", "/"), edge.send("GET", "/health")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert edge.endpoint in page.text and "us-east-1" in page.text
    assert edge.account.account_id not in page.text and edge.account.access_key_id not in page.text
    assert (health.status, json.loads(health.body)) == (200, {"status": "ok"})
    assert edge.send("HEAD", "/").body == b""


def test_the_landing_page_escapes_the_host_it_was_asked_by(edge: Edge) -> None:
    assert "<script>" not in edge.send("GET", "/", headers={"host": '"><script>x'}).text


@pytest.mark.parametrize(
    ("method", "target", "status", "word"),
    [
        ("POST", "/", 401, "<Code>AuthFailure</Code>"),
        ("GET", "/?" + REGIONS, 401, "<Code>AuthFailure</Code>"),
        ("GET", "/?" + IDENTITY, 403, "<Code>MissingAuthenticationToken</Code>"),
        ("GET", "/bucket/key", 403, "<Code>AccessDenied</Code>"),
        ("PUT", "/bucket/key", 403, "<Code>AccessDenied</Code>"),
        ("POST", "/health", 403, "<Code>AccessDenied</Code>"),
        ("GET", "/health/", 403, "<Code>AccessDenied</Code>"),
        ("GET", "/snapshots/snap-1/blocks", 403, '"Message"'),
        ("GET", "/amiable/v1/accounts", 401, '"Code":"AuthFailure"'),
        ("GET", "/amiable/v1/instances/i-1/tunnel", 401, '"Code":"AuthFailure"'),
    ],
)
def test_nothing_else_answers_unsigned(edge: Edge, method: str, target: str, status: int, word: str) -> None:
    answer = edge.send(method, target)
    assert answer.status == status
    assert word in answer.text


def test_the_head_of_an_object_is_refused_without_a_body(edge: Edge) -> None:
    answer = edge.send("HEAD", "/bucket/key")
    assert (answer.status, answer.body) == (403, b"")


def test_the_commands_on_the_landing_page_exist_with_their_flags() -> None:
    page = html.unescape(re.sub(r"<[^>]*>", "", bytes(landing_page(["us-east-1", "eu-west-1"], "h").body).decode()))
    lines = [line.split() for line in page.splitlines() if line.startswith("amiable ")]
    assert len(lines) == 3
    for words in lines:
        named = words[1:3] if words[1] in ("image", "instance") else words[1:2]
        command = [sys.executable, "-m", "amiable.cli.main", *named, "--help"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert all(word in shown for word in words if word.startswith("--")), words


def test_the_landing_page_names_every_region_and_every_service_that_answers() -> None:
    page = bytes(landing_page(["us-east-1", "eu-west-1"], "h").body).decode()
    assert "us-east-1, eu-west-1" in page
    named = re.findall(r"<tr><td><code>(\w+)</code></td>", page)
    assert sorted(named) == sorted(set(HANDLERS) - {"bootstrap"})  # that one is euca2ools' way to the certificate


# ── who asks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("sts", "GetCallerIdentity")
def test_stock_clients_learn_who_they_are(edge: Edge) -> None:
    with closing(edge.client("sts")) as sts:
        identity = sts.get_caller_identity()
    assert identity["Account"] == edge.account.account_id
    assert identity["Arn"] == f"arn:aws:iam::{edge.account.account_id}:root"
    assert UUID.fullmatch(identity["ResponseMetadata"]["RequestId"])


def test_one_request_id_stands_in_the_body_and_the_header(edge: Edge) -> None:
    for body, header in ((REGIONS, "requestId"), ("Action=MakeCoffee&Version=2016-11-15", "RequestID")):
        answer = edge.call(body)
        found = re.search(f"<{header}>(.*?)</{header}>", answer.text)
        assert found and found[1] == answer.headers["x-amzn-requestid"]
        assert UUID.fullmatch(found[1])


BAD = {
    "unknown-key": {"key": "AKIANOBODY"},
    "wrong-secret": {"secret": "wrong"},
    "wrong-region": {"region": "eu-west-1"},
}


@pytest.mark.parametrize(
    ("service", "fault", "status", "code"),
    [
        ("ec2", "unknown-key", 401, "AuthFailure"),
        ("ec2", "wrong-secret", 401, "AuthFailure"),
        ("ec2", "wrong-region", 401, "AuthFailure"),
        ("sts", "unknown-key", 403, "InvalidClientTokenId"),
        ("sts", "wrong-secret", 403, "SignatureDoesNotMatch"),
        ("sts", "wrong-region", 403, "SignatureDoesNotMatch"),
        ("ebs", "unknown-key", 403, "UnrecognizedClientException"),
        ("ebs", "wrong-secret", 403, "InvalidSignatureException"),
        ("s3", "unknown-key", 403, "InvalidAccessKeyId"),
        ("s3", "wrong-secret", 403, "SignatureDoesNotMatch"),
        ("s3", "wrong-region", 400, "AuthorizationHeaderMalformed"),
    ],
)
def test_who_cannot_be_verified_is_refused_in_the_words_of_the_service(
    edge: Edge, service: str, fault: str, status: int, code: str
) -> None:
    how = BAD[fault]
    options: dict[str, Any] = {}
    if "key" in how:
        options["aws_access_key_id"] = how["key"]
    if "secret" in how:
        options["aws_secret_access_key"] = how["secret"]
    if "region" in how:
        options["region_name"] = how["region"]
    calls = {
        "ec2": lambda client: client.describe_regions(),
        "sts": lambda client: client.get_caller_identity(),
        "ebs": lambda client: client.list_snapshot_blocks(SnapshotId="snap-0123456789abcdef0"),
        "s3": lambda client: client.list_buckets(),
    }
    with closing(edge.client(service, **options)) as client, pytest.raises(ClientError) as refused:
        calls[service](client)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_an_inactive_key_is_as_good_as_unknown(edge: Edge) -> None:
    account, _ = make_account(edge.services, "sleeper")
    how = {"key": account.access_key_id, "secret": account.secret}
    assert edge.call(REGIONS, **how).status == 200
    with edge.services.database.write() as c:
        accounts.set_access_key_state(c, account_id=account.account_id, key_id=account.access_key_id, state="inactive")
    assert edge.call(REGIONS, **how).status == 401


def test_a_body_that_is_not_the_signed_one_is_refused(edge: Edge) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    unstated = edge.sign("POST", "/", REGIONS.encode(), form)
    assert edge.send("POST", "/", (REGIONS + "&DryRun=true").encode(), unstated).status == 401
    stated = edge.sign("POST", "/", b"x", {**form, "x-amz-content-sha256": "0" * 64})
    assert edge.send("POST", "/", b"x", stated).status == 401


@pytest.mark.parametrize(("service", "refused"), [("ebs", False), ("ec2", True), ("sts", True)])
def test_only_ebs_direct_takes_a_body_that_the_signature_leaves_out(edge: Edge, service: str, refused: bool) -> None:
    target = "/snapshots/snap-0123456789abcdef0/blocks"
    request = AWSRequest("GET", edge.endpoint.replace("http:", "https:") + target)  # as if a proxy took the TLS off
    request.context["payload_signing_enabled"] = False
    SigV4Auth(Credentials(edge.account.access_key_id, edge.account.secret), service, "us-east-1").add_auth(request)
    answer = edge.send("GET", target, b"", dict(request.headers.items()))
    assert ("X-Amz-Content-SHA256" in answer.text) == refused


@pytest.mark.parametrize(
    ("service", "code"), [("ec2", "RequestExpired"), ("sts", "SignatureDoesNotMatch"), ("s3", "RequestTimeTooSkewed")]
)
def test_a_clock_that_is_wrong_is_named(tmp_path: Path, service: str, code: str) -> None:
    with open_services(tmp_path / "data", clock=lambda: datetime.now(UTC) + timedelta(minutes=16)) as services:
        account, _ = make_account(services)
        with running_edge(services, account) as edge:
            target = "/bucket" if service == "s3" else "/"
            hashed = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"} if service == "s3" else {}
            answer = edge.send("POST", target, b"", edge.sign("POST", target, b"", hashed, service=service))
    assert code_of(answer.text) == code


def test_a_service_that_is_not_spoken_is_refused_by_name(edge: Edge) -> None:
    answer = edge.call("Action=ListUsers&Version=2010-05-08", service="iam")
    assert (answer.status, code_of(answer.text)) == (400, "UnsupportedOperation")
    assert "iam" in answer.text


# ── tunnels ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def knock(edge: Edge, target: str) -> tuple[int, str]:
    """Status and body of what refuses a WebSocket at ``target``."""
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{edge.port}{target}", open_timeout=30):
        pass
    response = refused.value.response
    return response.status_code, response.body.decode()


def presigned(edge: Edge, path: str, **how: str) -> str:
    """``path`` with a signature in its query, as the command line makes it."""
    request = AWSRequest("GET", edge.endpoint + path)
    credentials = Credentials(edge.account.access_key_id, how.get("secret", edge.account.secret))
    SigV4QueryAuth(credentials, how.get("service", "amiable"), "us-east-1", expires=60).add_auth(request)
    assert request.url is not None and request.url.startswith(f"{edge.endpoint}{path}")
    return request.url.removeprefix(edge.endpoint)


@pytest.mark.parametrize(
    ("path", "how", "status", "code"),
    [
        ("/amiable/v1/instances/i-1/tunnel?port=22", {"secret": "wrong"}, 401, "AuthFailure"),
        ("/amiable/v1/instances/i-1/tunnel?port=22", {"service": "ec2"}, 400, "UnsupportedOperation"),
        ("/amiable/v1/elsewhere", {}, 400, "UnsupportedOperation"),
    ],
)
def test_a_websocket_is_refused_before_it_is_accepted(
    edge: Edge, path: str, how: dict[str, str], status: int, code: str
) -> None:
    answer = knock(edge, presigned(edge, path, **how))
    assert (answer[0], json.loads(answer[1])["Code"]) == (status, code)


def test_a_websocket_without_a_signature_is_refused(edge: Edge) -> None:
    assert knock(edge, "/amiable/v1/instances/i-1/tunnel?port=22")[0] == 401


# ── EC2 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ("", "MissingAction", 400),
        ("Action=MakeCoffee&Version=2016-11-15", "InvalidAction", 400),
        ("Action=CreateTransitGateway&Version=2016-11-15", "UnsupportedOperation", 400),
        ("Action=DescribeRegions&Version=2001-01-01", "NoSuchVersion", 400),
        ("Action=DescribeRegions", "MissingParameter", 400),
        (REGIONS + "&Colour=red", "UnknownParameter", 400),
        (REGIONS + "&AllRegions=perhaps", "InvalidParameterValue", 400),
        (REGIONS + "&RegionName.1=a&RegionName.1=b", "MalformedQueryString", 400),
        (REGIONS + "&RegionName.1=%FF", "MalformedQueryString", 400),
        (REGIONS + "&DryRun=true", "DryRunOperation", 412),
    ],
)
def test_a_bad_call_gets_ec2s_code(edge: Edge, body: str, code: str, status: int) -> None:
    answer = edge.call(body)
    assert (answer.status, code_of(answer.text)) == (status, code)
    assert answer.headers["content-type"] == "text/xml;charset=UTF-8"


def test_every_listed_operation_has_its_function() -> None:
    from amiable.wire import operations as names

    assert set(operations.EC2) == set(names.EC2)
    assert set(operations.STS) == set(names.STS)


def test_get_with_a_query_and_a_presigned_url_are_legal(edge: Edge) -> None:
    target = "/?" + REGIONS
    assert edge.send("GET", target, headers=edge.sign("GET", target)).status == 200
    with closing(edge.client("ec2")) as ec2:
        url = ec2.generate_presigned_url("describe_regions", HttpMethod="GET")
    answer = edge.send("GET", url.removeprefix(edge.endpoint))
    assert answer.status == 200
    assert "<regionName>us-east-1</regionName>" in answer.text


def test_another_method_or_another_kind_of_body_is_refused(edge: Edge) -> None:
    put = edge.send("PUT", "/", b"", edge.sign("PUT", "/"))
    assert code_of(put.text) == "MalformedQueryString"
    headers = edge.sign("POST", "/", b"{}", {"content-type": "application/json"})
    assert code_of(edge.send("POST", "/", b"{}", headers).text) == "MalformedQueryString"


def test_a_body_or_headers_over_the_limit_are_refused(edge: Edge) -> None:
    body = b"x" * (limits.QUERY_BODY_BYTES_MAX + 1)
    answer = edge.send("POST", "/", body, edge.sign("POST", "/", body))
    assert (answer.status, code_of(answer.text)) == (413, "RequestEntityTooLarge")
    headers = edge.sign("POST", "/", b"", {"x-filler": "x" * limits.HEADERS_BYTES_MAX})
    assert edge.send("POST", "/", b"", headers).status == 413


def test_a_fault_of_our_own_is_an_internal_error_with_its_request_id(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setitem(operations.EC2, "DescribeRegions", broken)
    answer = edge.call(REGIONS)
    assert (answer.status, code_of(answer.text)) == (500, "InternalError")
    assert "secret detail" not in answer.text
    assert any(answer.headers["x-amzn-requestid"] in record.message for record in caplog.records)


@pytest.mark.parametrize("service", ["ec2", "s3", "ebs", "amiable"])
def test_a_full_disk_has_a_name_and_is_not_tried_again(service: str) -> None:
    import errno

    from amiable.server import refusals

    refusal = refusals.named(OSError(errno.ENOSPC, "No space left on device"), "r-1")
    answer = refusals.answer(service, refusal, request_id="r-1", resource="/", region="us-east-1")
    assert answer.status_code in (402, 507)
    assert b"disk" in bytes(answer.body)


def test_a_connection_is_kept_for_the_next_request(edge: Edge) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", edge.port, timeout=30)) as connection:
        for body in (REGIONS, "Action=MakeCoffee&Version=2016-11-15", REGIONS):
            form = {"content-type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/", body, edge.sign("POST", "/", body.encode(), form))
            response = connection.getresponse()
            response.read()
            assert response.getheader("connection") != "close"
            first = connection.sock
        assert connection.sock is first


def test_slow_operations_do_not_hold_up_the_others(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()
    original = operations.EC2["DescribeRegions"]

    def slow(*args: Any) -> Any:
        entered.set()
        assert leave.wait(30)
        return original(*args)

    monkeypatch.setitem(operations.EC2, "DescribeRegions", slow)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(edge.call(REGIONS).status))
    thread.start()
    assert entered.wait(30)
    assert edge.call("Action=DescribeAvailabilityZones&Version=2016-11-15").status == 200
    leave.set()
    thread.join(30)
    assert answers == [200]
