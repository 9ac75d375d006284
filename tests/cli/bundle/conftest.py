"""What the tests of ``amiable bundle`` share: an environment of its own, an image, a bucket's server, what was sent."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.httpsession import URLLib3Session
from moto.server import ThreadedMotoServer

from tests.cli.bundle.bundles import KEYS


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "EC2_", "EUCA"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EC2_CERT", str(KEYS / "user.crt"))
    monkeypatch.setenv("EC2_PRIVATE_KEY", str(KEYS / "user.key"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "web.img"
    path.write_bytes(os.urandom(1 << 20) + bytes(1 << 20))
    return path


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # What a server before held is kept in the process.
    with urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")):
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    yield client
    client.close()
    server.stop()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """(method and path, canned ACL) of every request that leaves; moto does not know Amazon's own ACL."""
    requests: list[tuple[str, Any]] = []
    send = URLLib3Session.send

    def record(self: URLLib3Session, request: Any) -> Any:
        acl = request.headers.get("x-amz-acl")
        path = request.url.partition("?")[0].split("/", 3)[3]
        requests.append((f"{request.method} {path}", acl.decode() if isinstance(acl, bytes) else acl))
        return send(self, request)

    monkeypatch.setattr(URLLib3Session, "send", record)
    return requests
