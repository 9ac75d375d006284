"""What is done about a data directory whose file system is full."""

import shutil
from collections import namedtuple

import pytest

from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import DISK_FULL
from amiable.server import disk_space
from amiable.services import Services
from tests.server.fake_machine import running_instance

Usage = namedtuple("Usage", "total used free")


def test_a_reserve_is_taken_once_there_is_space_for_it(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [disk_space.SPACE_BYTES_MIN - 1]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, free[0]))
    reserve = services.data / disk_space.RESERVE
    disk_space.keep_reserve(services.data)
    assert not disk_space.has_space(services.data) and not reserve.exists()
    free[0] += 1
    disk_space.keep_reserve(services.data)
    assert disk_space.has_space(services.data) and reserve.stat().st_size == disk_space.RESERVE_BYTES


def test_why_a_guest_stands_still_is_said_and_taken_back(services: Services, principal: Principal) -> None:
    instance_id = running_instance(services, principal, network="guestfwd", boot="1")
    for is_there, code in ((False, DISK_FULL), (True, None)):
        assert disk_space.say_whether(services, instance_id, is_there=is_there)
        with services.database.read() as c:
            row = instances.get_instance(c, instance_id)
        assert row is not None and row.state_reason_code == code
        assert (row.impaired_at is None) is is_there
