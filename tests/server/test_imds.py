"""The metadata service over real connections: statuses, tokens, bounds."""

import base64
import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from amiable.database import instances, network
from amiable.model.instance import MetadataOptions, Reservation
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.server import imds as imds_module
from amiable.server.imds import HEAD_BYTES_MAX, REQUESTS_AT_ONCE_MAX, REQUESTS_PER_SECOND_MAX, MetadataService
from amiable.services import Services
from amiable.services.identity_signer import open_signer
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
            metadata=MetadataOptions(
                wanted["http_tokens"], wanted["http_endpoint"], int(wanted.get("hop_limit", 1)), "disabled"
            ),
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
    for length in ("99999", "9" * 5000):
        assert ask(opened, instance_id, f"PUT /x HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")[0][0] == 413


def test_the_first_request_is_recorded_once(opened: Services, caller: Principal, clock: Clock) -> None:
    instance_id = insert(opened, caller)
    ask(opened, instance_id, request("GET", ID))
    clock.now = NOW + timedelta(minutes=1)
    ask(opened, instance_id, request("GET", ID))
    with opened.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None and found.reached_metadata_at == NOW


def identity(services: Services, instance_id: str) -> dict[str, bytes]:
    """What the tree has below ``dynamic/instance-identity``."""
    names = ("document", "signature", "rsa2048", "pkcs7", "dsa2048")
    asked = (request("GET", f"/latest/dynamic/instance-identity/{name}") for name in names)
    return {name: body for name, (_, _, body) in zip(names, ask(services, instance_id, *asked), strict=True)}


def openssl(folder: Path, *words: str, fails: bool = False) -> bytes:
    told = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=False)
    assert (told.returncode != 0) is fails, told.stderr.decode()
    return told.stdout


def test_openssl_verifies_the_identity_documents_signatures(
    opened: Services, caller: Principal, tmp_path: Path
) -> None:
    told = identity(opened, insert(opened, caller))
    (tmp_path / "document").write_bytes(told["document"])
    (tmp_path / "ca.pem").write_text(opened.installation.ca_pem)
    for algorithm in ("rsa", "dsa"):
        (tmp_path / f"{algorithm}.pem").write_text(open_signer(opened, algorithm).pem)
        openssl(tmp_path, "verify", "-CAfile", "ca.pem", f"{algorithm}.pem")
    (tmp_path / "signature").write_bytes(base64.b64decode(told["signature"]))
    (tmp_path / "public").write_bytes(openssl(tmp_path, "x509", "-in", "rsa.pem", "-pubkey", "-noout"))
    check = ("dgst", "-sha256", "-verify", "public", "-signature", "signature")
    openssl(tmp_path, *check, "document")
    (tmp_path / "forged").write_bytes(told["document"].replace(b"amiable.tiny", b"amiable.huge"))
    openssl(tmp_path, *check, "forged", fails=True)
    for kind, algorithm in (("rsa2048", "rsa"), ("pkcs7", "dsa"), ("dsa2048", "dsa")):
        bare = told[kind]
        assert b"PKCS7" not in bare
        (tmp_path / kind).write_bytes(b"-----BEGIN PKCS7-----\n" + bare + b"\n-----END PKCS7-----\n")
        how = ("-in", kind, "-inform", "PEM", "-certfile", f"{algorithm}.pem", "-binary")
        for program in ("smime", "cms"):
            inside = openssl(tmp_path, program, "-verify", *how, "-noverify")
            assert inside == told["document"]
            trusted = openssl(tmp_path, program, "-verify", *how, "-CAfile", "ca.pem", "-purpose", "any")
            assert trusted == told["document"]
        openssl(tmp_path, "smime", "-verify", *how, "-noverify", "-content", "document")
        other = {"rsa": "dsa", "dsa": "rsa"}[algorithm]
        openssl(
            tmp_path,
            "smime",
            "-verify",
            "-in",
            kind,
            "-inform",
            "PEM",
            "-certfile",
            f"{other}.pem",
            "-noverify",
            fails=True,
        )


def test_the_identity_document_stays_through_a_boot_and_is_made_anew_by_the_next(
    opened: Services, caller: Principal, clock: Clock
) -> None:
    instance_id = insert(opened, caller)
    path = request("GET", "/latest/dynamic/instance-identity/document")
    first = ask(opened, instance_id, path)[0][2]
    clock.now = NOW + timedelta(hours=5)
    assert ask(opened, instance_id, path)[0][2] == first
    with opened.database.write() as c:
        for event in (Event.STOP_ASKED, Event.STOPPED, Event.START_ASKED):
            instances.set_state(c, instance_id, event, now=opened.now())
    again = ask(opened, instance_id, path)[0][2]
    assert again != first and b"2026-01-02T08:04:05Z" in again


def test_a_flood_of_requests_is_answered_by_503_until_it_ebbs(opened: Services, caller: Principal) -> None:
    instance_id, other = insert(opened, caller), insert(opened, caller, 1)
    seconds = [0.0]
    service = MetadataService(opened, lambda: seconds[0])

    def statuses(who: str, count: int) -> list[bytes]:
        ours, theirs = socket.socketpair()

        def serve() -> None:
            with theirs:
                service.serve(who, theirs)

        thread = threading.Thread(target=serve)
        thread.start()
        with ours, ours.makefile("rb") as stream:
            ours.sendall(request("HEAD", ID).encode() * count)
            ours.shutdown(socket.SHUT_WR)
            told = [line.split()[1] for line in stream if line.startswith(b"HTTP/1.1 ")]
        thread.join(30)
        return told

    while service.rate_of(instance_id).takes():
        pass
    assert statuses(instance_id, 2) == [b"503", b"503"]
    assert statuses(other, 1) == [b"200"], "each instance has a count of its own"
    seconds[0] += 3.5 / REQUESTS_PER_SECOND_MAX
    assert statuses(instance_id, 4) == [b"200", b"200", b"200", b"503"]


def test_a_token_ends_with_the_boot_that_it_was_made_in(opened: Services, caller: Principal, clock: Clock) -> None:
    instance_id = insert(opened, caller)
    good = token(opened, instance_id, 21600)
    clock.now = NOW + timedelta(minutes=1)
    with opened.database.write() as c:
        instances.set_rebooted(c, instance_id, opened.now())
    assert ask(opened, instance_id, request("GET", ID, **{TOKEN: good}))[0][0] == 401


def test_only_the_answer_to_put_has_the_hop_limit(opened: Services, caller: Principal) -> None:
    instance_id = insert(opened, caller, hop_limit="7")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for asked, wanted in ((request("GET", ID), 64), (request("PUT", "/latest/api/token", **{TTL: "60"}), 7)):
            with socket.create_connection(listener.getsockname()) as client:
                connection, _ = listener.accept()
                client.sendall(asked.encode())
                client.shutdown(socket.SHUT_WR)
                with connection:
                    MetadataService(opened).serve(instance_id, connection)
                    assert connection.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == wanted


def crawl(services: Services, instance_id: str, path: str, headers: dict[str, str]) -> dict[str, bytes]:
    """Everything below ``path``, as cloud-init's crawler asks for it: listings, then ``0=name`` as a key, then leaves."""
    ((status, _, body),) = ask(services, instance_id, request("GET", path, **headers))
    assert status == 200, path
    found: dict[str, bytes] = {}
    for name in body.decode().splitlines():
        child = name.rstrip("/")
        if name.endswith("/"):
            found |= crawl(services, instance_id, f"{path}{child}/", headers)
            continue
        leaf = f"{child.split('=')[0]}/openssh-key" if "=" in child else child
        ((status, _, body),) = ask(services, instance_id, request("GET", path + leaf, **headers))
        assert status == 200, path + leaf
        found[path + leaf] = body
    return found


@pytest.mark.parametrize("version", ["2021-03-23", "2018-09-24", "2016-09-02", "2009-04-04"])
def test_all_that_cloud_init_asks_for_is_answered(opened: Services, caller: Principal, version: str) -> None:
    instance_id = insert(opened, caller, http_tokens="required")
    headers = {TOKEN: token(opened, instance_id, 21600), "User-Agent": "Cloud-Init/22.4.2"}
    found = crawl(opened, instance_id, f"/{version}/meta-data/", headers)
    assert found[f"/{version}/meta-data/instance-id"] == instance_id.encode()
    assert found[f"/{version}/meta-data/public-keys/0/openssh-key"].startswith(b"ssh-")
    assert len(found) < REQUESTS_AT_ONCE_MAX / 4, "one boot's requests come at once"
    asked = [
        request("GET", f"/{version}/{name}", **headers) for name in ("user-data", "dynamic/instance-identity/document")
    ]
    answers = ask(opened, instance_id, *asked)
    assert [status for status, _, _ in answers] == [200, 200] and answers[0][2] == INSTANCE.user_data
    assert ask(opened, instance_id, request("GET", f"/{version}/meta-data/instance-id"))[0][0] == 401


@pytest.mark.parametrize(("hop_limit", "from_afar"), [("1", "lost"), ("2", "200")])
def test_a_token_crosses_no_more_routers_than_its_hop_limit_says(
    opened: Services, caller: Principal, hop_limit: str, from_afar: str
) -> None:
    instance_id = insert(opened, caller, hop_limit=hop_limit)
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    scene = [sys.executable, "-m", "tests.server.hop_limit_scene", str(opened.data), instance_id]
    scene.append("token" if from_afar == "lost" else "")
    told = subprocess.run(
        ["unshare", *mapped, "--net", "--mount", *scene], capture_output=True, text=True, check=False, timeout=300
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {
        "near": {"token": "200", "id": "200"},
        "far": {"token": from_afar, "id": "200"},
    }


def test_a_body_that_comes_byte_by_byte_is_not_awaited_for_ever(
    opened: Services, caller: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imds_module, "REQUEST_SECONDS_MAX", 0.5)
    ours, theirs = socket.socketpair()
    head = request("PUT", "/latest/api/token", Content_Length="4000")

    def drip() -> None:
        with contextlib.suppress(OSError):
            for byte in head.encode() + b"x" * 3000:
                ours.sendall(bytes([byte]))
                may_go_on.wait(0.01)

    may_go_on = threading.Event()
    dripping = threading.Thread(target=drip)
    with ours, theirs:
        dripping.start()
        MetadataService(opened).serve(insert(opened, caller), theirs)
        theirs.shutdown(socket.SHUT_RDWR)
        assert ours.recv(100).startswith(b"HTTP/1.1 400 ")
        may_go_on.set()
        dripping.join(30)


def test_a_full_disk_keeps_no_guest_from_its_metadata(
    opened: Services, caller: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_database: object) -> object:
        raise OperationalError("UPDATE", {}, sqlite3.OperationalError("database or disk is full"))

    instance_id = insert(opened, caller)
    with monkeypatch.context() as patch:
        patch.setattr(type(opened.database), "write", full)
        assert ask(opened, instance_id, request("GET", ID))[0][::2] == (200, instance_id.encode())
    ask(opened, instance_id, request("GET", ID))
    with opened.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None and found.reached_metadata_at is not None
