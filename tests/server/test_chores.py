"""What supervision does now and then: one chore that fails keeps none of the others from being done."""

import logging

import pytest

from amiable.server import disk_space
from amiable.server.chores import do_chores
from amiable.services import Services
from amiable.vm import fabric


def test_a_chore_that_fails_is_told_and_the_others_are_done(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    (services.data / "volumes").write_text("no folder")
    with caplog.at_level(logging.ERROR):
        do_chores(services, [], [])
    assert [record.getMessage() for record in caplog.records] == ["a chore of supervision failed"]
    assert "FileExistsError" in caplog.text
    assert (services.data / disk_space.RESERVE).exists(), "its turn comes after that of the volumes"


def test_what_is_no_vpcs_among_the_networks_is_left_alone(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    folder = services.data / fabric.FOLDER
    folder.mkdir()
    (folder / "notes").write_text("mine")
    (folder / "elsewhere").symlink_to(services.data)
    do_chores(services, [], [])
    assert caplog.text == "" and fabric.list_fabrics(services.data) == []
    assert {path.name for path in folder.iterdir()} == {"notes", "elsewhere"}
