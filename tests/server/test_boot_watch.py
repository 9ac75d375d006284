"""A boot as it is watched: marks in time, a cause and what becomes of it, a password, a post, and what a later server makes of it."""

import base64
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from amiable.database import boots, consoles, instances
from amiable.database.boots import BOOTS_MAX
from amiable.database.schema.instances import instance, volume
from amiable.model.boot import Boot, Fault, Stage
from amiable.model.instance import Instance
from amiable.model.link import Lease
from amiable.model.principal import Principal
from amiable.model.units import BLOCK_BYTES
from amiable.rules.boot_failure import NEVER_ASKED_DHCP
from amiable.server import boot_watch
from amiable.server.boot_watch import BOOT_FAILURE, SILENT_SECONDS_MAX, BootWatch
from amiable.services import Services
from amiable.vm.directory import Directory, open_directory
from amiable.vm.machine import CONSOLE
from amiable.vm.process import Process, identity_of
from tests.api.ec2.launching import make_snapshot
from tests.server.fake_machine import running_instance

KERNEL = b"[    0.000000] Linux version 6.1.0\n"
PANIC = KERNEL + b"Kernel panic - not syncing: Attempted to kill init!\n"
WAIT_SECONDS = 20


class Place:
    """One instance whose QEMU began when it is said to, a log to write to, and a watch on it."""

    def __init__(self, services: Services, instance_id: str, directory: Directory, age_seconds: float) -> None:
        me = asdict(identity_of(os.getpid()))
        ticks = os.sysconf("SC_CLK_TCK")
        self.began = now() - age_seconds
        me["start_ticks"] = int(self.began * ticks)
        self.services, self.instance_id, self.directory = services, instance_id, directory
        self.qemu = Process(**{**me, "facts": {"boot": 1}})
        self.log = directory.path / CONSOLE
        self.log.touch()
        self.watch = self.new_watch()

    def new_watch(self) -> BootWatch:
        return BootWatch(self.services, self.row(), self.directory, self.qemu)

    def row(self) -> Instance:
        with self.services.database.read() as c:
            found = instances.get_instance(c, self.instance_id)
        assert found is not None
        return found

    def print(self, text: bytes) -> None:
        with self.log.open("ab") as file:
            file.write(text)
        self.look()

    def look(self) -> None:
        self.watch.look(self.row())
        self.watch.tell(self.row())

    def boots(self) -> list[Boot]:
        with self.services.database.read() as c:
            return boots.list_boots(c, self.instance_id)

    def reason(self) -> str | None:
        row = self.row()
        return row.state_reason_message if row.state_reason_code == BOOT_FAILURE else None


@pytest.fixture
def make(services: Services, principal: Principal) -> Iterator[Callable[..., Place]]:
    instance_id = running_instance(services, principal, network="guestfwd")
    with open_directory(services.data, instance_id) as directory:
        yield lambda age_seconds=0.0: Place(services, instance_id, directory, age_seconds)
        boot_watch.wait_for_probes(WAIT_SECONDS)


def test_stages_are_marked_when_they_come_and_once(make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_watch, "LATE_SECONDS", float(WAIT_SECONDS))
    place = make(1.0)
    place.print(b"SeaBIOS (version 1.16.2)\n")
    place.print(KERNEL)
    place.print(KERNEL)
    (boot,) = place.boots()
    assert [(mark.stage, mark.is_at_latest) for mark in boot.marks] == [(Stage.FIRMWARE, False), (Stage.KERNEL, False)]
    assert all(0.9 < mark.seconds < WAIT_SECONDS for mark in boot.marks) and not boot.is_reset and boot.machine == 1


def test_what_was_there_before_the_first_look_came_at_the_latest_then(make: Callable[..., Place]) -> None:
    place = make(100.0)
    place.print(KERNEL)
    place.print(b"Run /sbin/init as init process\n")
    (boot,) = place.boots()
    assert [(mark.stage, mark.is_at_latest) for mark in boot.marks] == [(Stage.KERNEL, True), (Stage.USERSPACE, False)]


def test_metadata_is_marked_with_the_time_of_its_request(make: Callable[..., Place], services: Services) -> None:
    place = make(50.0)
    least = now() - place.began - 40
    with services.database.write() as c:
        instances.set_reached_metadata(c, place.instance_id, services.now() - timedelta(seconds=40))
    most = now() - place.began - 40
    place.look()
    ((mark,),) = [boot.marks for boot in place.boots()]
    assert mark.stage is Stage.METADATA and least - 1 < mark.seconds < most + 1


def test_a_reset_begins_another_boot_and_firmwares_second_reset_none(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_watch, "FIRMWARE_SECONDS", float(WAIT_SECONDS))
    place = make(100.0)
    place.print(KERNEL)
    place.watch.begin_again()
    place.watch.begin_again()
    place.print(b"SeaBIOS (version 1.16.2)\n")
    first, second = place.boots()
    assert (first.is_reset, second.is_reset) == (False, True)
    assert [mark.stage for mark in second.marks] == [Stage.FIRMWARE] and second.marks[0].seconds < 50


def test_a_guest_that_panics_again_and_again_keeps_its_reason_and_not_all_its_boots(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_watch, "FIRMWARE_SECONDS", 0.0)
    place = make()
    for _ in range(BOOTS_MAX + 2):
        place.print(PANIC)
        place.watch.begin_again()
        place.look()
        assert "The guest's kernel panicked." in str(place.reason())
    kept = place.boots()
    assert len(kept) == BOOTS_MAX and kept[-1].position == BOOTS_MAX + 3
    assert kept[-2].cause is not None and kept[-2].cause.fault is Fault.KERNEL_PANIC


def test_a_reason_goes_when_the_guest_gets_on(make: Callable[..., Place], services: Services) -> None:
    place = make()
    place.print(b"No bootable device.\n")
    assert "no boot loader" in str(place.reason()) and "ends with: No bootable device." in str(place.reason())
    place.print(KERNEL)
    assert place.reason() is None
    place.print(b"udhcpc: no lease, failing\n")
    assert "no address" in str(place.reason())
    with services.database.write() as c:
        instances.set_reached_metadata(c, place.instance_id, services.now())
    place.look()
    assert place.reason() is None


def test_a_more_telling_cause_replaces_the_guess_of_silence(
    make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make()
    monkeypatch.setattr(boot_watch, "SILENT_SECONDS_MAX", -1.0)
    place.look()
    assert "has not asked for its metadata" in str(place.reason())
    place.print(b"Kernel panic - not syncing: x\n")
    assert "panicked" in str(place.reason())
    assert SILENT_SECONDS_MAX > 60


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> list[Lease]:
    """What the network agent tells: the last of the list."""
    told: list[Lease] = []
    monkeypatch.setattr("amiable.vm.fabric.lease_of", lambda *_: told[-1] if told else None)
    monkeypatch.setattr(boot_watch, "LEASE_PAUSE_SECONDS", 0.0)
    return told


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def test_dhcp_is_marked_with_the_time_of_our_own_answer_and_the_console_is_asked_where_there_is_none(
    make: Callable[..., Place], leases: list[Lease]
) -> None:
    place = make(50.0)
    leases.append(Lease(place.began - 10, place.began - 5, place.began - 5))
    place.look()
    assert place.boots()[0].marks == (), "that was the boot before"
    leases.append(Lease(place.began - 10, place.began + 30, place.began + 30))
    place.print(b"udhcpc: lease of 172.31.0.4 obtained\n")
    leases.append(Lease(place.began - 10, now(), now()))  # renewed: the first one counts
    place.look()
    (mark,) = place.boots()[0].marks
    assert mark.stage is Stage.DHCP and 29 < mark.seconds < 31 and not mark.is_at_latest

    leases.clear()
    place.watch.begin_again()
    place.print(b"udhcpc: lease of 172.31.0.4 obtained\n")
    (mark,) = place.boots()[-1].marks
    assert mark.stage is Stage.DHCP and mark.seconds < WAIT_SECONDS


def test_a_guest_that_got_no_address_and_then_one_has_got_over_it(
    make: Callable[..., Place], leases: list[Lease]
) -> None:
    place = make(50.0)
    leases.append(Lease(now() - 60, now()))
    place.print(b"udhcpc: no lease, failing\n")
    assert "The guest got no address" in str(place.reason())
    leases.append(Lease(now() - 60, now(), now()))
    place.look()
    assert place.reason() is None and place.boots()[0].cause is None


def test_a_silent_guest_that_has_not_even_an_address_is_told_so(
    make: Callable[..., Place], leases: list[Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_watch, "SILENT_SECONDS_MAX", -1.0)
    place = make(50.0)
    leases.append(Lease(now() - 60))
    place.look()
    assert NEVER_ASKED_DHCP in str(place.reason())


def test_another_reason_is_not_overwritten(make: Callable[..., Place], services: Services) -> None:
    from amiable.model.instance import Reason

    place = make()
    with services.database.write() as c:
        instances.set_reason(c, place.instance_id, Reason("Server.InsufficientVolumeCapacity", "full"))
    place.print(PANIC)
    assert place.row().state_reason_message == "full"


def test_the_password_is_kept_even_where_its_block_comes_in_pieces(
    make: Callable[..., Place], services: Services
) -> None:
    place = make()
    text = base64.b64encode(bytes(range(256))).decode()
    for piece in (b"<Pass", b"word>\r\n" + text[:100].encode(), text[100:].encode() + b"\r\n</Passw", b"ord>\r\n"):
        place.print(piece)
    with services.database.read() as c:
        found = consoles.find_password(c, place.instance_id)
    assert found is not None and found.text == text


def test_the_console_is_posted_when_it_has_come_to_rest(
    make: Callable[..., Place], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post() -> bytes | None:
        with services.database.read() as c:
            found = consoles.find_post(c, place.instance_id)
        return found.output if found else None

    place = make()
    place.print(KERNEL)
    assert post() is None
    monkeypatch.setattr(boot_watch, "QUIET_SECONDS", 0.0)
    place.look()
    assert post() == KERNEL
    place.print(b"later\n")
    assert post() == KERNEL, "a start is posted once"
    place.watch = place.new_watch()
    place.look()
    assert post() == KERNEL, "also by a later server"


def test_a_later_server_goes_on_with_the_same_boot(make: Callable[..., Place]) -> None:
    place = make(5.0)
    place.print(PANIC)
    place.watch = place.new_watch()
    place.print(b"Run /sbin/init as init process\n")
    (boot,) = place.boots()
    assert {mark.stage for mark in boot.marks} == {Stage.KERNEL, Stage.USERSPACE}
    assert boot.cause is not None and boot.cause.fault is Fault.KERNEL_PANIC


def test_a_log_that_was_cut_is_read_on_from_its_end(make: Callable[..., Place]) -> None:
    place = make()
    place.print(b"x" * 5000 + b"\n")
    place.log.write_bytes(b"x" * 10)
    place.watch.log_was_cut(10)
    place.print(KERNEL)
    assert [mark.stage for mark in place.boots()[0].marks] == [Stage.KERNEL]


def test_a_log_that_is_a_link_is_an_error_that_the_supervisor_survives(
    make: Callable[..., Place], tmp_path: Path
) -> None:
    place = make()
    place.log.unlink()
    place.log.symlink_to(tmp_path)
    with pytest.raises(OSError):
        place.look()


def test_what_a_full_disk_does_not_take_is_kept_once_there_is_room(
    make: Callable[..., Place], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> object:
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    text = base64.b64encode(bytes(256))
    with monkeypatch.context() as patch:
        patch.setattr(type(services.database), "write", lambda _self: full())
        place = make()
        with place.log.open("ab") as file:
            file.write(KERNEL + b"<Password>" + text + b"</Password>\n")
        place.watch.look(place.row())
    assert place.boots() == []
    place.watch.look(place.row())
    (boot,) = place.boots()
    assert [mark.stage for mark in boot.marks] == [Stage.KERNEL]
    with services.database.read() as c:
        assert consoles.find_password(c, place.instance_id) is not None


def test_a_guest_that_prints_without_end_is_read_behind_and_told_of_all_the_same(make: Callable[..., Place]) -> None:
    place = make()
    place.print(KERNEL + b"x\n" * boot_watch.LOOK_BYTES_MAX + PANIC)
    assert place.watch._position == boot_watch.LOOK_BYTES_MAX
    for _ in range(3):
        place.look()
    (boot,) = place.boots()
    assert boot.cause is not None and boot.cause.fault is Fault.KERNEL_PANIC


UEFI_ONLY = (bytes(446) + b"\0\0\0\0\xef\0\0\0\0\x08\0\0\0\x10\0\0" + bytes(48) + b"\x55\xaa").ljust(BLOCK_BYTES, b"\0")
BIOS_ONLY = b"\xeb\x63\x90".ljust(510, b"\x90")[:446] + bytes(64) + b"\x55\xaa"
SEABIOS = b"SeaBIOS (version 1.16.2)\nBooting from Hard Disk...\n"


def put_root(services: Services, place: Place, head: bytes, **facts: str) -> None:
    """Makes the instance's root of a snapshot that begins with ``head``."""
    row = place.row()
    owner = Principal(row.account_id, "", row.region)
    snapshot = make_snapshot(services, owner, state="pending", progress_percent=0, completed_at=None)
    services.blocks.write(snapshot, [(0, head.ljust(BLOCK_BYTES, b"\0"))])
    services.blocks.complete(snapshot)
    with services.database.write() as c:
        of_root = (volume.c.instance_id == row.id) & (volume.c.device_name == row.root_device_name)
        assert c.execute(update(volume).where(of_root).values(snapshot_id=snapshot)).rowcount == 1
        if facts:
            c.execute(update(instance).where(instance.c.id == row.id).values(**facts))


def test_a_bios_that_found_nothing_on_a_disk_for_uefi_advises_uefi(
    make: Callable[..., Place], services: Services
) -> None:
    place = make()
    put_root(services, place, UEFI_ONLY)
    place.print(SEABIOS + b"Boot failed: not a bootable disk\n\nNo bootable device.\n")
    (boot,) = place.boots()
    assert boot.cause is not None and boot.cause.fault is Fault.NO_BOOT_LOADER
    assert boot.cause.words.endswith("register it with BootMode=uefi.") and boot.cause.words in (place.reason() or "")


def test_uefi_that_found_nothing_on_a_disk_for_a_bios_advises_legacy_bios(
    make: Callable[..., Place], services: Services
) -> None:
    place = make()
    put_root(services, place, BIOS_ONLY, boot_mode="uefi")
    place.watch = place.new_watch()
    place.print(b"BdsDxe: No bootable option or device was found.\n")
    assert "register it with BootMode=legacy-bios." in (place.reason() or "")


def test_a_bios_that_jumped_into_zeros_is_told_once_it_is_silent_and_taken_back_when_it_goes_on(
    make: Callable[..., Place], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make()
    put_root(services, place, UEFI_ONLY)
    place.print(SEABIOS)
    assert place.reason() is None
    monkeypatch.setattr(boot_watch, "QUIET_SECONDS", 0.0)
    place.look()
    assert "register it with BootMode=uefi." in (place.reason() or "")
    assert [boot.cause is not None for boot in place.boots()] == [True]
    place.print(KERNEL)
    assert place.reason() is None


def test_a_silent_bios_of_a_disk_with_boot_code_has_not_failed(
    make: Callable[..., Place], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make()
    put_root(services, place, BIOS_ONLY)
    monkeypatch.setattr(boot_watch, "QUIET_SECONDS", 0.0)
    place.print(SEABIOS)
    place.look()
    assert place.reason() is None
