"""The whole logs of an instance's machines, and whose they are."""

import pytest

from amiable.api import boots as api
from amiable.database import boots, instances
from amiable.model.boot import Boot
from amiable.model.errors import InvalidParameterValue, NotFound
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services, consoles
from amiable.vm.console import LOG_BYTES_MAX
from amiable.vm.directory import open_directory
from amiable.vm.machine import CONSOLE
from tests.api.ec2.launching import make_image, run_one


@pytest.fixture
def instance_id(services: Services, principal: Principal) -> str:
    return run_one(services, principal, make_image(services, principal))


def test_every_machines_log_is_whole_and_the_last_ones_where_it_stands(
    services: Services, principal: Principal, instance_id: str
) -> None:
    assert api.console_log_of(services, principal, instance_id, None) == api.Log(0, (), b"")
    folder = services.data / "instances" / instance_id
    folder.mkdir(mode=0o700)
    first = b"first" + b"x" * 300_000
    (folder / CONSOLE).write_bytes(first)
    with services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=services.now())
    assert api.console_log_of(services, principal, instance_id, None) == api.Log(1, (1,), first)
    with open_directory(services.data, instance_id) as directory:
        consoles.keep(services, instance_id, 1, directory)
    with services.database.write() as c:
        for event in (Event.STOP_ASKED, Event.STOPPED, Event.START_ASKED, Event.BOOTED):
            instances.set_state(c, instance_id, event, now=services.now())
    (folder / CONSOLE).write_bytes(b"second" + b"y" * LOG_BYTES_MAX)
    last = api.console_log_of(services, principal, instance_id, None)
    assert (last.boot, last.known, len(last.text)) == (2, (1, 2), LOG_BYTES_MAX)
    assert api.console_log_of(services, principal, instance_id, 1).text == first
    with pytest.raises(InvalidParameterValue, match="of these machines: 1, 2"):
        api.console_log_of(services, principal, instance_id, 3)


def test_a_guest_is_followed_by_its_owner_alone(
    services: Services, principal: Principal, other_principal: Principal, instance_id: str
) -> None:
    with services.database.write() as c:
        boots.begin_boot(c, instance_id, Boot(0, 1, False, services.now()))
    (boot,) = api.list_boots(services, principal, instance_id)
    assert (boot.position, boot.machine) == (1, 1)
    for call in (
        lambda: api.list_boots(services, other_principal, instance_id),
        lambda: api.console_log_of(services, other_principal, instance_id, None),
    ):
        with pytest.raises(NotFound):
            call()
