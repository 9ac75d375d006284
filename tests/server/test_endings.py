"""What last words tell of how a machine ended."""

from pathlib import Path

import pytest

from amiable.database import instances
from amiable.model.principal import Principal
from amiable.server import endings
from amiable.services import Services
from amiable.vm.directory import open_directory
from tests.server.fake_machine import running_instance


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("", "Client.InternalError", "The guest's kernel crashed. Its console ends with: Oops"),
        ("amiable-appliance: failed: xl create\n", "Server.InternalError", "The Xen appliance failed."),
    ],
    ids=["guest", "appliance"],
)
def test_a_crash_is_the_guests_unless_the_appliance_says_that_it_failed(
    services: Services, principal: Principal, log: str, code: str, words: str
) -> None:
    instance_id = running_instance(services, principal, network="guestfwd", boot="1")
    folder: Path = services.data / "instances" / instance_id
    (folder / "console.log").write_text("Oops\n")
    (folder / "appliance.log").write_text(log)
    with services.database.read() as c:
        instance = instances.get_instance(c, instance_id)
    assert instance is not None
    with open_directory(services.data, instance_id) as directory:
        ending = endings.when_crashed(directory, instance)
    assert ending.reason.code == code and words in ending.reason.message


@pytest.mark.parametrize(("log", "words"), [("boom\n", "QEMU ended: boom"), ("", "QEMU ended: without a word")])
def test_a_qemu_ends_with_its_last_words_or_without_one(
    services: Services, principal: Principal, log: str, words: str
) -> None:
    instance_id = running_instance(services, principal, network="guestfwd", boot="1")
    (services.data / "instances" / instance_id / "qemu.log").write_text(log)
    with open_directory(services.data, instance_id) as directory:
        assert endings.words_of(directory).startswith(words)
