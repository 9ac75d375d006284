"""The edge in a thread of the test: a real port over services of the test's own, without workers or supervision."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from amiable.api.accounts import NewAccount
from amiable.server.app import build_app
from amiable.server.http_protocol import HttpProtocol
from amiable.server.main import http_config
from amiable.services import Services
from tests.support.clients import make_client

START_SECONDS_MAX = 30


@dataclass(frozen=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Edge:
    """A running edge and the account that its clients use."""

    services: Services
    port: int
    account: NewAccount

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client of the account; ``options`` win."""
        given = {
            "region_name": "us-east-1",
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.account.access_key_id,
            "aws_secret_access_key": self.account.secret,
            "config": Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
        }
        return make_client(service, **{**given, **options})

    def speak_in(self, environment: pytest.MonkeyPatch) -> None:
        """Lets commands speak to it for the account, as ``amiable env`` does, while the test runs."""
        environment.setenv("AWS_ENDPOINT_URL", self.endpoint)
        environment.setenv("AWS_ACCESS_KEY_ID", self.account.access_key_id)
        environment.setenv("AWS_SECRET_ACCESS_KEY", self.account.secret)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_REGION", "us-east-1")

    def send(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """One request as it stands, on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def sign(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None, **how: str
    ) -> dict[str, str]:
        """Headers with a signature; ``how``: service, region, key, secret."""
        request = AWSRequest(method, self.endpoint + target, headers=headers or {}, data=body)
        credentials = Credentials(how.get("key", self.account.access_key_id), how.get("secret", self.account.secret))
        SigV4Auth(credentials, how.get("service", "ec2"), how.get("region", "us-east-1")).add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}

    def sign_session(self, method: str, target: str, said: dict[str, str], *, service: str) -> dict[str, str]:
        """Headers with a signature by temporary credentials as STS gives them."""
        request = AWSRequest(method, self.endpoint + target, data=b"")
        credentials = Credentials(said["AccessKeyId"], said["SecretAccessKey"], said["SessionToken"])
        SigV4Auth(credentials, service, "us-east-1").add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}

    def call(self, body: str, **how: str) -> Answer:
        """A signed query-protocol call."""
        form = {"content-type": "application/x-www-form-urlencoded"}
        return self.send("POST", "/", body.encode(), self.sign("POST", "/", body.encode(), form, **how))


@contextmanager
def running_edge(
    services: Services, account: NewAccount, *, http: type[HttpProtocol] = HttpProtocol, **options: Any
) -> Iterator[Edge]:
    """The edge over ``services``, ended with the block; ``options`` are uvicorn's."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(http_config(build_app(services), http=http, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Edge(services, listener.getsockname()[1], account)
    finally:
        server.should_exit = True
        thread.join(START_SECONDS_MAX)
        listener.close()
        assert not thread.is_alive()
