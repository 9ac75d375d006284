"""The client's end of a tunnel against a real edge: bytes, ends, and the server's own words when it refuses."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from amiable.cli.tunnel import CHUNK_BYTES, Tunnel, dial, open_tunnel, presigned_url
from amiable.model.errors import LocalRefusal
from amiable.services import Services
from tests.server.edge import Edge, running_edge
from tests.server.fake_machine import END_SECONDS_MAX, fake_machine, far_end, running_instance
from tests.support.services import make_account

MIB = 1 << 20
BIG_BYTES = 8 * MIB


@dataclass(frozen=True)
class Place:
    """An edge and a running instance of its account."""

    edge: Edge
    instance_id: str

    def credentials(self, secret: str | None = None) -> Credentials:
        return Credentials(self.edge.account.access_key_id, secret or self.edge.account.secret)

    def open(self, secret: str | None = None) -> Tunnel:
        return open_tunnel(
            self.edge.endpoint, self.credentials(secret), "us-east-1", self.instance_id, "tunnel?port=22"
        )

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.edge.endpoint,
            "AWS_ACCESS_KEY_ID": self.edge.account.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.edge.account.secret,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@pytest.fixture
def place(services: Services) -> Iterator[Place]:
    account, principal = make_account(services, "owner")
    instance_id = running_instance(services, principal)
    with running_edge(services, account) as edge:
        yield Place(edge, instance_id)


@contextmanager
def machine(place: Place, talk: Any) -> Iterator[None]:
    with ExitStack() as stack:
        port = stack.enter_context(far_end(talk))
        stack.enter_context(fake_machine(place.edge.services.data / "instances" / place.instance_id, {22: port}))
        yield


def everything(tunnel: Tunnel) -> bytes:
    parts = []
    while data := tunnel.receive():
        parts.append(data)
    return b"".join(parts)


def echo_digest(guest: Any) -> None:
    """Tells the digest of all it hears, once it has heard the end."""
    told = hashlib.sha256()
    while data := guest.recv(MIB):
        told.update(data)
    guest.sendall(told.hexdigest().encode())


def test_the_signature_stands_in_the_url_and_the_id_cannot_leave_its_place() -> None:
    url = presigned_url("https://host/", Credentials("AKIA", "secret"), "us-east-1", "../x?y", "tunnel?port=22")
    assert url.startswith("wss://host/amiable/v1/instances/..%2Fx%3Fy/tunnel?port=22&")
    assert "X-Amz-Signature=" in url and "us-east-1%2Famiable%2Faws4_request" in url


def test_what_was_sent_before_the_end_arrives_whole_and_the_answer_comes_back(place: Place) -> None:
    ours = os.urandom(BIG_BYTES + CHUNK_BYTES // 2)
    with machine(place, echo_digest), place.open() as tunnel:
        tunnel.send(ours)
        tunnel.send_end()
        assert everything(tunnel).decode() == hashlib.sha256(ours).hexdigest()
        tunnel.send_end()  # after the other side's end: nothing to say any more


def test_an_ended_tunnel_receives_nothing_and_refuses_to_send(place: Place) -> None:
    with machine(place, lambda guest: guest.sendall(b"bye")), place.open() as tunnel:
        assert everything(tunnel) == b"bye"
        assert tunnel.receive() == b""
        with pytest.raises(OSError):
            tunnel.send(b"late")


def test_closing_while_another_thread_waits_wakes_it(place: Place) -> None:
    with machine(place, lambda guest: guest.recv(1)):
        tunnel = place.open()
        heard: list[bytes] = []
        waiting = threading.Thread(target=lambda: heard.append(tunnel.receive()))
        waiting.start()
        tunnel.close()
        waiting.join(END_SECONDS_MAX)
    assert heard == [b""]


def test_a_refusal_is_told_in_the_servers_words(place: Place) -> None:
    with pytest.raises(LocalRefusal, match=r"credentials|signature") as refused:
        place.open(secret="wrong")
    assert refused.value.exit_code == 1 and "not of this server" in refused.value.advice
    with pytest.raises(LocalRefusal, match="cannot be reached") as unreached:
        place.open()  # it has no machine that answers
    assert unreached.value.exit_code == 75


def test_a_server_that_is_not_there_is_named_with_the_instance(place: Place) -> None:
    with pytest.raises(LocalRefusal, match=f"no tunnel to {place.instance_id}") as refused:
        open_tunnel("http://127.0.0.1:1", place.credentials(), "us-east-1", place.instance_id, "tunnel?port=22")
    assert refused.value.exit_code == 69


def test_without_a_region_or_a_key_nothing_is_dialled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(LocalRefusal, match="no access key"):
        dial("i-0123456789abcdef0", 22)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(LocalRefusal, match="no region"):
        dial("i-0123456789abcdef0", 22)


def test_standard_input_and_output_are_a_tunnel(place: Place) -> None:
    ours = os.urandom(BIG_BYTES)
    argv = [sys.executable, "-m", "amiable.cli.main", "instance", "tunnel", place.instance_id, "22"]
    with machine(place, echo_digest):
        environment = {**os.environ, **place.environment()}
        done = subprocess.run(argv, input=ours, env=environment, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == hashlib.sha256(ours).hexdigest()
