"""Volumes from the command line, over a real edge."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amiable.cli.main import main
from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services
from tests.api.ec2.launching import make_image, make_snapshot, run_one
from tests.server.edge import running_edge
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

Run = Callable[..., Any]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with open_services(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def run(services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs ``amiable volume …``: exit status, standard output, and what it said."""
    account, _ = make_account(services, "administrator", administrator=True)

    def run_one_command(*words: str) -> tuple[int, str, str]:
        try:
            status = main(["volume", *words])
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    with running_edge(services, account) as edge:
        edge.speak_in(monkeypatch)
        monkeypatch.setenv("ACCOUNT", account.account_id)
        yield run_one_command


def test_a_volume_is_made_attached_resized_detached_and_deleted(services: Services, run: Run) -> None:
    owner = Principal(os.environ["ACCOUNT"], os.environ["AWS_ACCESS_KEY_ID"], "us-east-1")
    instance_id = run_one(services, owner, make_image(services, owner))
    for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
        with services.database.write() as c:
            instances.set_state(c, instance_id, event, now=services.now())
    status, made, said = run("create", "--snapshot", make_snapshot(services, owner), "--size", "4", "--type", "gp3")
    volume_id = made.strip()
    assert status == 0 and volume_id.startswith("vol-"), said

    status, _, said = run("attach", volume_id, instance_id, "/dev/sdg")
    assert (status, said) == (0, f"{volume_id} is attaching to {instance_id} as /dev/sdg\n")
    run_jobs(services)
    (row,) = [each for each in json.loads(run("list", "--output", "json")[1]) if each["VolumeId"] == volume_id]
    assert (row["InstanceId"], row["Device"], row["AttachmentState"]) == (instance_id, "/dev/sdg", "attached")
    status, _, said = run("delete", volume_id)
    assert status == 1 and f"Volume {volume_id} is currently attached to {instance_id}" in said

    status, _, said = run("resize", volume_id, "5")
    assert (status, said) == (0, f"{volume_id} is to have 5 GiB\n")
    run_jobs(services)
    assert "New size cannot be smaller than existing size" in run("resize", volume_id, "1")[2]
    status, _, said = run("detach", volume_id)
    assert (status, said) == (0, f"{volume_id} is detaching\n")
    run_jobs(services)
    assert f"{volume_id}  available  5" in run("list")[1]

    status, _, said = run("delete", volume_id)
    assert status == 1 and said.startswith(f"would delete {volume_id} (5 GiB, available)")
    assert run("delete", volume_id, "--yes")[0] == 0
    run_jobs(services)
    assert volume_id not in run("list", "--output", "id")[1]
    empty = run("create", "--size", "1")[1].strip()
    (row,) = [line.split() for line in run("list")[1].splitlines() if line.startswith(empty)]
    assert row == [empty, "available", "1", "gp2", "us-east-1a", "-", "-", "-", "-"]


def test_a_volume_of_no_size_and_no_snapshot_is_a_usage_error(run: Run) -> None:
    status, out, said = run("create")
    assert (status, out) == (2, "") and said.startswith("error: how large is it to be?\n\nhint: --size GIB")
