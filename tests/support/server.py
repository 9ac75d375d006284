"""A real server process on a free port, and clients of it."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.config import Config

from tests.support.clients import make_client
from tests.support.processes import processes_of as processes_of
from tests.support.survivors import end_with_us

READY_SECONDS_MAX = 120
END_SECONDS_MAX = 60
LEFT_SECONDS_MAX = {signal.SIGTERM: 10, signal.SIGKILL: 60}
"""The kernel takes its time to end a large process of a loaded host."""
ROUTES = {"AMIABLE_HOST_ROUTES": "10.0.0.0/8,172.31.0.0/16"}
"""Also where tests make VPCs of their own: another server of this host may have the way to the default one's addresses."""


@dataclass
class Server:
    """A running server; ``start`` and ``kill`` may be called again and again over one data directory."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    python: str = sys.executable
    process: "subprocess.Popen[bytes] | None" = None
    endpoint: str = ""
    banner: str = ""
    clients: list[Any] = field(default_factory=list)

    def start(self, listen: str | None = None) -> "Server":
        """Starts the server and waits until it has printed its block."""
        port = listen or (self.endpoint.removeprefix("http://") if self.endpoint else "127.0.0.1:0")
        command = [*self.prefix, self.python, "-m", "amiable.cli.main", "serve"]
        command += ["--data", str(self.data), "--listen", port, "--accelerator", "tcg", *self.arguments]
        self.data.parent.mkdir(parents=True, exist_ok=True)
        end_with_us(self.data)
        self.log = (self.data.parent / (self.data.name + ".log")).open("ab")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "AMIABLE_DATA"))}
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**environment, **ROUTES, **self.environment},
            start_new_session=True,
        )
        self.banner = self._read_banner()
        self.endpoint = json.loads((self.data / "server.json").read_text())["endpoint"]
        return self

    def _read_banner(self) -> str:
        assert self.process is not None and self.process.stdout is not None
        text, until = b"", time.monotonic() + READY_SECONDS_MAX
        while b"amiable env" not in text:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                raise AssertionError(f"the server did not start:\n{text.decode()}\n{self.log_text()[-4000:]}")
            text += chunk
        return text.decode()

    def log_text(self) -> str:
        """What the server logged so far."""
        return (self.data.parent / (self.data.name + ".log")).read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends ``number`` and waits; the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(END_SECONDS_MAX)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()
        self.process = None
        return status

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def credentials(self, account_id: str | None = None) -> dict[str, str]:
        """Access key and secret of an account (default: the administrator), from its file."""
        folder = self.data / "accounts"
        ids = [account_id] if account_id else sorted(path.name for path in folder.iterdir())
        for name in ids:
            found: dict[str, str] = json.loads((folder / name / "credentials.json").read_text())
            if account_id or found.get("Administrator"):
                return found
        raise AssertionError("no administrator's credentials")

    def client(self, service: str, account_id: str | None = None, **config: Any) -> Any:
        """A boto3 client; closed with the server."""
        found = self.credentials(account_id)
        options: dict[str, Any] = {"retries": {"max_attempts": 0}, "connect_timeout": 10, "read_timeout": 120, **config}
        if service == "s3":
            options["s3"] = {"addressing_style": "path"}
        client = make_client(
            service,
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"],
            config=Config(**options),
        )
        self.clients.append(client)
        return client

    def close(self) -> list[str]:
        """Ends the server and whatever it left running by its id; the command lines of what was left, but for the exporter."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.stop()
        left = self._left()
        for number, seconds_max in LEFT_SECONDS_MAX.items():
            for pid in processes_of(self.data):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            until = time.monotonic() + seconds_max
            while processes_of(self.data) and time.monotonic() < until:
                time.sleep(0.1)
        assert processes_of(self.data) == {}
        return left

    def _left(self) -> list[str]:
        """The command lines of what runs on, but for the exporter; an agent that its last guest has left is given the time to end."""
        until = time.monotonic() + END_SECONDS_MAX
        while True:
            left = [words for words in processes_of(self.data).values() if "amiable.server.exporter" not in words]
            if not left or any("fabric_agent" not in words for words in left) or time.monotonic() > until:
                return left
            time.sleep(0.1)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """``server`` while it runs; ended with the block, which fails where the server then left a process."""
    try:
        yield server.start()
    finally:
        left = server.close()
    assert left == [], left


def shell_environment(server: Server, account_id: str | None = None) -> dict[str, str]:
    """What ``eval "$(amiable env)"`` leaves for stock tools, in a home of its own."""
    found = server.credentials(account_id)
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(server.data.parent),
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AMIABLE_DATA": str(server.data),
        "EC2_CERT": str(server.data / "accounts" / found["AccountId"] / "signing.pem"),
        "EC2_PRIVATE_KEY": str(server.data / "accounts" / found["AccountId"] / "signing.key"),
    }
