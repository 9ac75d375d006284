"""Where the demo plays: its folder, its server, its accounts' environments, the commands it runs and shows, and its end.

.demo/data        the server's data directory        .demo/made    keys, user data, the bundle
.demo/server.log  what the server says
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from amiable.vm import process

CHECKOUT = Path(__file__).resolve().parents[1]
FOLDER = CHECKOUT / ".demo"
DATA = FOLDER / "data"
WORK = FOLDER / "made"
SERVER_LOG = FOLDER / "server.log"
LOCK = CHECKOUT / ".cache" / "demo.lock"
BIN = CHECKOUT / ".venv" / "bin"

DEFAULT_LISTEN = ("127.0.0.1", 2006)
START_SECONDS_MAX = 120
COMMAND_SECONDS_MAX = 600
END_SECONDS_MAX = 60
LAST_LINES = 12


class DemoFailure(Exception):
    """The demo cannot go on; the text says why."""


def say(words: str = "") -> None:
    print(words, flush=True)


class Phases:
    """Seconds spent, by phase, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        say(f"\n── {name}")
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started


def run(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    show: bool = True,
    seconds_max: float = COMMAND_SECONDS_MAX,
) -> str:
    """Runs a command of this checkout's environment as a person would type it; what it printed on standard output."""
    words = [str(word) for word in command]
    say(f"   $ {shown(words)}")
    done = subprocess.run(
        [str(BIN / words[0]) if (BIN / words[0]).exists() else words[0], *words[1:]],
        env=environment,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    if done.returncode != 0:
        raise DemoFailure(f"{shown(words)} ended with {done.returncode}:\n{(done.stdout + done.stderr).strip()}")
    if show:
        for line in done.stdout.rstrip().splitlines():
            say(f"     {line}")
    return done.stdout


def shown(words: list[str]) -> str:
    """The command line with paths as they are seen from the checkout."""
    return shlex.join(word.replace(f"{CHECKOUT}/", "") for word in words)


def plain_environment() -> dict[str, str]:
    """This process's environment without what would lead the AWS tools, or a server, elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "EC2_", "AMIABLE_"))}
    return {
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "AWS_PAGER": "",
        "AWS_CONFIG_FILE": os.devnull,
    }


def environment_of(account: str | None = None) -> dict[str, str]:
    """What ``eval "$(amiable env)"`` sets in a shell, for the administrator or for ``account``."""
    more = ["--account", account] if account else []
    lines = run("amiable", "env", "--data", DATA, *more, environment=plain_environment(), show=False).splitlines()
    exports = [shlex.split(line.removeprefix("export "))[0] for line in lines if line.startswith("export ")]
    return {**plain_environment(), **dict(export.split("=", 1) for export in exports)}


def start_server() -> str:
    """Starts ``amiable serve`` on the empty data directory, in a session of its own; its endpoint once it answers."""
    listen = f"{DEFAULT_LISTEN[0]}:{DEFAULT_LISTEN[1] if is_free(DEFAULT_LISTEN) else 0}"
    command = ["amiable", "serve", "--data", str(DATA), "--listen", listen]
    say(f"   $ {shown(command)} &")
    with SERVER_LOG.open("wb") as log:
        server = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            env=plain_environment(),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS_MAX
    while not (DATA / "server.json").exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise DemoFailure(f"the server did not start:\n{last_lines(SERVER_LOG)}")
        time.sleep(0.1)
    for line in SERVER_LOG.read_text().rstrip().splitlines():
        say(f"     {line}")
    endpoint: str = json.loads((DATA / "server.json").read_text())["endpoint"]
    return endpoint


def is_free(address: tuple[str, int]) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def last_lines(path: Path) -> str:
    """The end of a log."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-LAST_LINES:])
    except FileNotFoundError:
        return "(nothing was written)"


@contextmanager
def alone() -> Iterator[None]:
    """Holds the demo's lock: two demos at once would end each other."""
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailure("another demo of this checkout is under way") from None
        yield


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def stop() -> bool:
    """Ends the former demo, its instances first, and removes its folder; whether there was one."""
    if not FOLDER.exists():
        return False
    with contextlib.suppress(DemoFailure, OSError, KeyError, ValueError):
        terminate_instances()
    end_server()
    end_leftovers()
    shutil.rmtree(FOLDER)
    return True


def terminate_instances() -> None:
    """Asks the running server, as every account, to end what that account runs, and waits for it."""
    import boto3

    server = json.loads((DATA / "server.json").read_text())
    for path in sorted((DATA / "accounts").glob("*/credentials.json")):
        found = json.loads(path.read_text())
        ec2: Any = boto3.client(
            "ec2",
            endpoint_url=server["endpoint"],
            region_name=server["region"],
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"],
        )
        reservations = ec2.describe_instances()["Reservations"]
        alive = [i["InstanceId"] for r in reservations for i in r["Instances"] if i["State"]["Name"] != "terminated"]
        if alive:
            say(f"   terminating {', '.join(alive)}")
            ec2.terminate_instances(InstanceIds=alive)
            ec2.get_waiter("instance_terminated").wait(InstanceIds=alive, WaiterConfig={"Delay": 1, "MaxAttempts": 90})


def end_server() -> None:
    """SIGTERM to the process that holds the data directory's lock, and nothing to any other."""
    lock = DATA / "server.lock"
    if not lock.exists():
        return
    with lock.open("a+") as file:
        if not try_lock(file):
            file.seek(0)
            pid = int(file.read())
            say(f"   stopping the server (process {pid})")
            if not process.identity_of(pid).end(wait_seconds=END_SECONDS_MAX, first=signal.SIGTERM):
                raise DemoFailure(f"the server (process {pid}) does not end")


def try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


def end_leftovers() -> None:
    """Ends recorded processes that outlived the server: QEMU, network holders, the exporter.  Records of dead ones end nothing."""
    for path in [
        *DATA.glob("instances/*/process.json"),
        *DATA.glob("instances/*/holder.json"),
        DATA / "exporter/process.json",
    ]:
        if not path.exists():
            continue
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = process.read_record(directory, path.name)
        finally:
            os.close(directory)
        if found is not None and found.is_alive():
            say(f"   ending process {found.pid} ({path.relative_to(DATA)})")
            found.end(wait_seconds=END_SECONDS_MAX, first=signal.SIGTERM)


def failed(failure: DemoFailure) -> int:
    """Says what went wrong and where to look; the exit code."""
    print(f"\nerror: {failure}", file=sys.stderr)
    if SERVER_LOG.exists():
        print(
            f"\nthe server's last lines ({SERVER_LOG.relative_to(CHECKOUT)}):\n{last_lines(SERVER_LOG)}",
            file=sys.stderr,
        )
    print("\nhint: look around while the server is up; end it with: make demo-stop", file=sys.stderr)
    return 1


def interrupted() -> int:
    """Says what Ctrl-C has left running, where it has; the exit code."""
    print("\ninterrupted", file=sys.stderr)
    if FOLDER.exists():
        print("\nhint: what was started goes on; end it with: make demo-stop", file=sys.stderr)
    return 130
