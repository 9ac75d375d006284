"""A start that is killed, ended or fails before it is ready, wherever it was: the next one of the same directory comes right."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from amiable.model.settings import resolve
from amiable.server.main import SETTINGS_VARIABLE, main
from amiable.vm.accelerator import VERSION_SECONDS_MAX
from tests.support.clients import make_client
from tests.support.processes import wait_for_end
from tests.support.survivors import end_with_us

SECONDS_MAX = 60

BEFORE_FACTS = [
    "",
    "server.lock",
    "amiable.db",
    "amiable.db-wal",
    "installation/sealing.key",
    "installation/ca.key",
    "installation/bundling.key",
]
WITH_FACTS = ["accounts/*.new", "accounts/*.new/signing.pem", "accounts/" + "[0-9]" * 12, "server.json"]
"""What a first start makes, in its order; a start that is ended takes back what it made before its first fact."""

starts = multiprocessing.get_context("forkserver")
starts.set_forkserver_preload(["amiable.server.main"])


def log_of(data: Path) -> Path:
    """Beside the folder that a start may have to make first."""
    return data.parents[1] / "log"


def run(data: Path, log: Path, flags: dict[str, str]) -> None:
    """A whole start, in a process of its own; ``log`` takes what it says."""
    given = {"listen": "127.0.0.1:0", "accelerator": "tcg", **flags}
    settings = resolve(given, {}, {}, default_data=str(data))
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    sys.exit(main([], {SETTINGS_VARIABLE: json.dumps(dataclasses.asdict(settings))}))


@contextmanager
def starting(data: Path, **flags: str) -> Iterator[ForkServerProcess]:
    """A start under way; what of it still runs is ended with the block."""
    end_with_us(data)
    process = starts.Process(target=run, args=(data, log_of(data), flags))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(SECONDS_MAX)
        process.close()


def wait_until(happens: Callable[[], bool], process: ForkServerProcess) -> None:
    """Looks as often as it can: what a start makes may be there for a moment only."""
    until = time.monotonic() + SECONDS_MAX
    while not happens():
        assert time.monotonic() < until and process.is_alive()


def is_there(data: Path, pattern: str) -> bool:
    return data.exists() if not pattern else next(data.glob(pattern), None) is not None


def told_by(data: Path) -> dict[str, Any]:
    """What the last start that became ready says of itself: one that was killed leaves that."""
    path = data / "server.json"
    return json.loads(path.read_text()) if path.exists() else {}


def end(data: Path, pattern: str, number: signal.Signals, **flags: str) -> int:
    """Has a start get so far that ``pattern`` is there, or until it is ready, and signals it; its exit status."""
    with starting(data, **flags) as process:
        wait_until(lambda: is_there(data, pattern) or told_by(data).get("pid") == process.pid, process)
        assert process.pid is not None
        os.kill(process.pid, number)
        process.join(SECONDS_MAX)
        assert process.exitcode is not None
        return process.exitcode


def assert_comes_right(data: Path) -> None:
    """The next start has one account whose key is known and whose network is whole; nothing half-made is left."""
    with starting(data) as process:
        wait_until(lambda: told_by(data).get("pid") == process.pid, process)
        endpoint = told_by(data)["endpoint"]
        [account] = (data / "accounts").iterdir()
        found = json.loads((account / "credentials.json").read_text())
        client = make_client(
            "ec2",
            region_name="us-east-1",
            endpoint_url=endpoint,
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"],
        )
        with closing(client):
            assert [vpc["IsDefault"] for vpc in client.describe_vpcs()["Vpcs"]] == [True]
            assert client.describe_subnets()["Subnets"]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        process.join(SECONDS_MAX)
        assert process.exitcode == 0
    left = [path.name for path in data.rglob("*.new")]
    assert not [name for name in left if not name.startswith("identity-")], "these a thread makes after the start"


def test_starts_that_are_killed_one_after_the_other_are_completed_by_the_next(tmp_path: Path) -> None:
    data = tmp_path / "a" / "data"
    for pattern in BEFORE_FACTS + WITH_FACTS:
        assert end(data, pattern, signal.SIGKILL) == -signal.SIGKILL
    assert_comes_right(data)


def test_a_start_that_is_ended_once_there_are_facts_is_completed_by_the_next(tmp_path: Path) -> None:
    data = tmp_path / "a" / "data"
    assert end(data, "accounts/*.new", signal.SIGTERM) in (-signal.SIGTERM, 0)
    assert_comes_right(data)


def test_a_start_that_is_ended_before_its_first_fact_takes_back_what_it_made(tmp_path: Path) -> None:
    data, undone = tmp_path / "a" / "data", 0
    for pattern in BEFORE_FACTS:
        status = end(data, pattern, signal.SIGTERM)
        undone += not data.parent.exists()
        if data.parent.exists():  # the signal came late
            assert list(data.glob("accounts/*")), (status, sorted(data.parent.rglob("*")))
            shutil.rmtree(data.parent)
        if status != 0:  # so late that it was ready
            assert status == -signal.SIGTERM and log_of(data).read_text() == ""
        log_of(data).unlink()
    assert undone


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_start_that_waits_for_a_program_is_ended_at_once(tmp_path: Path, number: signal.Signals) -> None:
    data, program = tmp_path / "a" / "data", tmp_path / "qemu"
    program.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/started.new && mv {tmp_path}/started.new {tmp_path}/started\nexec sleep 600\n"
    )
    program.chmod(0o755)
    assert end(data, "../../started", number, accelerator="auto", qemu=str(program)) == -number
    assert time.time() - (tmp_path / "started").stat().st_mtime < VERSION_SECONDS_MAX
    assert not data.parent.exists() and log_of(data).read_text() == ""
    wait_for_end(int((tmp_path / "started").read_text()))


def test_a_start_that_meets_what_it_did_not_expect_says_so_in_the_log_and_takes_back_what_it_made(
    tmp_path: Path,
) -> None:
    data = tmp_path / "a" / "data"
    (data / "installation").mkdir(parents=True)
    (data / "installation" / "ca.pem").write_text("\x1b[2J nonsense")
    with starting(data) as process:
        process.join(SECONDS_MAX)
        assert process.exitcode == 70
    first, *rest = log_of(data).read_text().splitlines()
    assert first.endswith(" ERROR amiable.server: the server ended by what it did not expect")
    assert "Traceback" in rest[0] and all(line.startswith("  ") for line in rest)
    assert [path.name for path in data.iterdir()] == ["installation"]
