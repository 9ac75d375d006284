"""A machine that cannot be started: its QEMU's own words become the reason, a first boot ends the instance, a later one leaves it stopped."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amiable.api.ec2 import instance_states as api
from amiable.database import instances, volumes
from amiable.model.instance import Instance, State
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.server.worker import Workers
from amiable.services import Services
from amiable.vm import firmware
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, run_one
from tests.support.exporters import exported_volumes, stop_exporter
from tests.support.services import make_account, open_services

NO_MEMORY = "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory"
NO_FILE = "qemu-system-x86_64: could not load PC BIOS 'bios-256k.bin'"


@contextmanager
def a_qemu_that_says(words: str, folder: Path) -> Iterator[tuple[Services, Principal]]:
    """Services whose QEMU is a program that says so and ends."""
    with tempfile.TemporaryDirectory(prefix="amiable-qemu-") as name:  # where the guest's uid can come to it, too
        Path(name).chmod(0o755)
        program = Path(name) / "qemu"
        program.write_text(f'#!/bin/sh\necho "{words}" >&2\nexit 1\n')
        program.chmod(0o755)
        yield from _services(folder, program)


def _services(folder: Path, program: Path) -> Iterator[tuple[Services, Principal]]:
    with open_services(folder / "data", network="guestfwd", qemu=str(program)) as services:
        try:
            yield services, make_account(services, "owner", administrator=True)[1]
        finally:
            stop_exporter(services.data)


def after_its_boot(services: Services, instance_id: str) -> Instance:
    """The instance once its boot job has been done."""
    assert Workers(services).run_one()
    with services.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("words", "code"),
    [(NO_FILE, "Server.InternalError"), (NO_MEMORY, "Server.InsufficientInstanceCapacity")],
    ids=["firmware", "memory"],
)
def test_a_qemu_that_dies_at_the_first_start_ends_the_instance_in_its_own_words(
    tmp_path: Path, words: str, code: str
) -> None:
    with a_qemu_that_says(words, tmp_path) as (services, owner):
        instance_id = run_one(services, owner, make_image(services, owner))
        found = after_its_boot(services, instance_id)
        assert (found.state, found.state_reason_code, found.transition_reason) == (State.TERMINATED, code, code)
        assert found.state_reason_message is not None and words in found.state_reason_message
        with services.database.read() as c:
            assert volumes.volumes_of(c, instance_id) == []
        assert list((services.data / "instances").iterdir()) == []
        assert list((services.data / "exports").glob("*.map")) == []
        assert exported_volumes(services.data) == []


def test_a_later_start_that_fails_leaves_the_instance_stopped_with_its_disk(tmp_path: Path) -> None:
    with a_qemu_that_says(NO_FILE, tmp_path) as (services, owner):
        instance_id = run_one(services, owner, make_image(services, owner))
        with services.database.write() as c:
            for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
                instances.set_state(c, instance_id, event, now=services.now())
        Workers(services).run_one()  # the launch's, which has nothing to do any more
        api.start_instances(services, owner, ec2.StartInstancesRequest(instance_ids=[instance_id]))
        found = after_its_boot(services, instance_id)
        assert found.state is State.STOPPED and NO_FILE in (found.state_reason_message or "")
        with services.database.read() as c:
            assert len(volumes.volumes_of(c, instance_id)) == 1
        assert exported_volumes(services.data) == []


def test_a_firmware_that_is_not_installed_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firmware, "UEFI_VARIABLES", str(tmp_path / "nowhere.fd"))
    with a_qemu_that_says("it was started", tmp_path) as (services, owner):
        image = make_image(services, owner, boot_mode="uefi", ena_support=True)
        found = after_its_boot(services, run_one(services, owner, image))
        assert found.state is State.TERMINATED
        assert "the UEFI firmware is not installed (Debian: apt-get install ovmf)" in (
            found.state_reason_message or ""
        ), found.state_reason_message
