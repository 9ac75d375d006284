"""``amiable image create`` over a real edge: a device to leave out is one that the instance has."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from amiable.cli.main import main
from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services
from tests.api.ec2.launching import make_image, run_one
from tests.server.edge import running_edge
from tests.support.services import make_account, open_services


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    with open_services(tmp_path / "data") as opened:
        account, _ = make_account(opened, "administrator", administrator=True)
        with running_edge(opened, account) as edge:
            edge.speak_in(monkeypatch)
            monkeypatch.setenv("ACCOUNT", account.account_id)
            yield opened


def stopped_instance(services: Services, instance_type: str) -> str:
    owner = Principal(os.environ["ACCOUNT"], os.environ["AWS_ACCESS_KEY_ID"], "us-east-1")
    instance_id = run_one(services, owner, make_image(services, owner), instance_type=instance_type)
    for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
        with services.database.write() as c:
            instances.set_state(c, instance_id, event, now=services.now())
    return instance_id


def test_a_device_that_the_instance_does_not_have_cannot_be_left_out(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    instance_id = stopped_instance(services, "amiable.tiny")
    assert main(["image", "create", instance_id, "--name", "without", "--leave-out", "/dev/sdq"]) == 1
    assert f"error: {instance_id} has no /dev/sdq to leave out\n\nhint: it has /dev/" in capsys.readouterr().err
    assert main(["image", "create", instance_id, "--name", "with"]) == 0
    assert capsys.readouterr().out.startswith("ami-")


def test_a_local_disk_is_left_out_although_the_instance_does_not_tell_of_it(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    instance_id = stopped_instance(services, "m1.small")
    assert main(["image", "create", instance_id, "--name", "without", "--leave-out", "/dev/sdb"]) == 0
    assert capsys.readouterr().out.startswith("ami-")
