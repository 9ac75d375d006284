"""The metadata service over real connections: statuses, tokens, bounds."""

import base64
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amiable.database import instances, network
from amiable.model.instance import MetadataOptions, Reservation
from amiable.model.principal import Principal
from amiable.server.imds import HEAD_BYTES_MAX, MetadataService
from amiable.services import Services
from tests.rules.test_imds import INSTANCE
from tests.support.services import make_account, open_services

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Services]:
    with open_services(tmp_path / "data", clock=clock) as services:
        yield services


@pytest.fixture
def caller(opened: Services) -> Principal:
    return make_account(opened, "owner")[1]


def insert(services: Services, caller: Principal, number: int = 0, **options: str) -> str:
    wanted = {"http_tokens": "optional", "http_endpoint": "enabled", **options}
    with services.database.write() as c:
        network.ensure_default_network(
            c, caller.account_id, "us-east-1", zones=["us-east-1a"], mint=services.mint, now=services.now()
        )
        subnet = network.list_subnets(c, caller.account_id, "us-east-1")[0]
        reservation = services.mint("r")
        instances.insert_reservation(c, Reservation(reservation, caller.account_id, "us-east-1", services.now()))
        instance = replace(
            INSTANCE,
            id=services.mint("i"),
            account_id=caller.account_id,
            reservation_id=reservation,
            subnet_id=subnet.id,
            vpc_id=subnet.vpc_id,
            private_ip=f"172.31.0.{10 + number}",
            metadata=MetadataOptions(wanted["http_tokens"], wanted["http_endpoint"], 1, "disabled"),
        )
        instances.insert_instance(c, instance)
    return instance.id


def ask(services: Services, instance_id: str, *requests: str) -> list[tuple[int, dict[str, str], bytes]]:
    """Sends the requests on one connection; status, headers and body of each answer."""
    ours, theirs = socket.socketpair()
    service = MetadataService(services)

    def serve() -> None:
        with theirs:
            service.serve(instance_id, theirs)

    thread = threading.Thread(target=serve)
    thread.start()
    answers = []
    with ours, ours.makefile("rb") as stream:
        for request in requests:
            ours.sendall(request.encode())
            status = int(stream.readline().split()[1])
            headers = {}
            while line := stream.readline().strip():
                name, _, value = line.decode().partition(": ")
                headers[name.lower()] = value
            body = b"" if request.startswith("HEAD") else stream.read(int(headers["content-length"]))
            answers.append((status, headers, body))
    thread.join(30)
    assert not thread.is_alive()
    return answers


def request(method: str, path: str, **headers: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: 169.254.169.254"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines) + "\r\n\r\n"


def token(services: Services, instance_id: str, seconds: int = 60) -> str:
    ((status, headers, body),) = ask(services, instance_id, request("PUT", "/latest/api/token", **{TTL: str(seconds)}))
    assert status == 200 and headers[TTL.lower()] == str(seconds)
    return body.decode()


ID = "/latest/meta-data/instance-id"


def test_version_1_and_version_2_answer_on_one_connection(opened: Services, caller: Principal) -> None:
    instance_id = insert(opened, caller)
    good = token(opened, instance_id)
    answers = ask(opened, instance_id, request("GET", ID), request("GET", ID, **{TOKEN: good}), request("HEAD", ID))
    assert [(status, body) for status, _, body in answers] == [
        (200, instance_id.encode()),
        (200, instance_id.encode()),
        (200, b""),
    ]
    assert answers[0][1]["content-type"] == "text/plain"


@pytest.mark.parametrize("seconds", ["", "0", "-1", "21601", "1e3", "abc", "１"])
def test_a_token_needs_a_time_from_1_to_21600(opened: Services, caller: Principal, seconds: str) -> None:
    instance_id = insert(opened, caller)
    asked = request("PUT", "/latest/api/token", **({TTL: seconds} if seconds.isascii() and seconds else {}))
    assert ask(opened, instance_id, asked)[0][0] == 400


def test_a_token_is_refused_through_a_proxy_and_under_a_version(opened: Services, caller: Principal) -> None:
    instance_id = insert(opened, caller)
    for path, headers in (
        ("/latest/api/token", {TTL: "60", "X-Forwarded-For": "10.0.0.1"}),
        ("/2021-03-23/api/token", {TTL: "60"}),
    ):
        assert ask(opened, instance_id, request("PUT", path, **headers))[0][0] == 403


def test_a_bad_token_is_401_even_where_tokens_are_optional(opened: Services, caller: Principal, clock: Clock) -> None:
    instance_id, other = insert(opened, caller), insert(opened, caller, 1)
    short, foreign = token(opened, instance_id, 1), token(opened, other)
    clock.now = NOW + timedelta(seconds=2)
    for bad in ("nonsense", short, foreign, base64.urlsafe_b64encode(bytes(40)).decode()):
        assert ask(opened, instance_id, request("GET", ID, **{TOKEN: bad}))[0][0] == 401


def test_where_tokens_are_required_none_is_401(opened: Services, caller: Principal) -> None:
    instance_id = insert(opened, caller, http_tokens="required")
    assert ask(opened, instance_id, request("GET", ID))[0][0] == 401
    assert ask(opened, instance_id, request("GET", ID, **{TOKEN: token(opened, instance_id)}))[0][0] == 200


def test_a_disabled_endpoint_refuses_everything(opened: Services, caller: Principal) -> None:
    instance_id = insert(opened, caller, http_endpoint="disabled")
    for asked in (request("GET", ID), request("PUT", "/latest/api/token", **{TTL: "60"})):
        assert ask(opened, instance_id, asked)[0][0] == 403


def test_other_methods_and_unknown_paths_are_named(opened: Services, caller: Principal) -> None:
    instance_id = insert(opened, caller)
    assert ask(opened, instance_id, request("DELETE", ID))[0][0] == 405
    status, headers, body = ask(opened, instance_id, request("GET", "/latest/meta-data/public-ipv4"))[0]
    assert status == 404 and b"<h1>404 - Not Found</h1>" in body and headers["content-type"] == "text/html"


@pytest.mark.parametrize(
    "raw",
    [
        "nonsense\r\n\r\n",
        "GET http://evil/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "PUT /latest/api/token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT /latest/api/token HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nX: " + "a" * HEAD_BYTES_MAX + "\r\n\r\n",
    ],
)
def test_what_is_no_request_is_400_and_ends_the_connection(opened: Services, caller: Principal, raw: str) -> None:
    instance_id = insert(opened, caller)
    ((status, headers, _body),) = ask(opened, instance_id, raw)
    assert status == 400 and headers["connection"] == "close"


def test_a_long_body_is_413(opened: Services, caller: Principal) -> None:
    instance_id = insert(opened, caller)
    assert ask(opened, instance_id, "PUT /x HTTP/1.1\r\nContent-Length: 99999\r\n\r\n")[0][0] == 413


def test_the_first_request_is_recorded_once(opened: Services, caller: Principal, clock: Clock) -> None:
    instance_id = insert(opened, caller)
    ask(opened, instance_id, request("GET", ID))
    clock.now = NOW + timedelta(minutes=1)
    ask(opened, instance_id, request("GET", ID))
    with opened.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None and found.reached_metadata_at == NOW


def test_openssl_verifies_the_identity_documents_signatures(
    opened: Services, caller: Principal, tmp_path: Path
) -> None:
    instance_id = insert(opened, caller)
    paths = [f"/latest/dynamic/instance-identity/{name}" for name in ("document", "signature", "rsa2048")]
    document, signature, bare = (body for _, _, body in ask(opened, instance_id, *(request("GET", p) for p in paths)))
    for name, body in (
        ("document", document),
        ("signature", base64.b64decode(signature)),
        ("p7", b"-----BEGIN PKCS7-----\n" + bare + b"\n-----END PKCS7-----\n"),
        ("ca.pem", opened.installation.ca_pem.encode()),
    ):
        (tmp_path / name).write_bytes(body)
    public = subprocess.run(
        ["openssl", "x509", "-in", "ca.pem", "-pubkey", "-noout"], cwd=tmp_path, capture_output=True, check=True
    )
    (tmp_path / "pub").write_bytes(public.stdout)
    verify = ["openssl", "dgst", "-sha256", "-verify", "pub", "-signature", "signature", "document"]
    subprocess.run(verify, cwd=tmp_path, check=True, capture_output=True)
    smime = [
        "openssl",
        "smime",
        "-verify",
        "-noverify",
        "-in",
        "p7",
        "-inform",
        "PEM",
        "-certfile",
        "ca.pem",
        "-binary",
    ]
    told = subprocess.run(smime, cwd=tmp_path, check=True, capture_output=True)
    assert told.stdout == document
