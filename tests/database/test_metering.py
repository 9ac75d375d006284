"""Runs begin and end with ``running``, in one transaction with it, and are as long as the steady clock says."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from amiable.database import instances, metering, schema
from amiable.model.errors import IncorrectInstanceState
from amiable.model.metering import Run
from amiable.model.principal import Principal
from amiable.model.product import ProductCode
from amiable.rules.lifecycle import Event
from amiable.services import Services
from tests.api.ec2.launching import make_image, run_one
from tests.support.services import make_account, open_services
from tests.support.steady import SimulatedHost

HOUR_MS = 3_600_000
LONG_AGO, FAR_OFF = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class Place:
    services: Services
    owner: Principal
    host: SimulatedHost

    def launch(self, *codes: str) -> str:
        """A pending instance with the codes."""
        image = make_image(self.services, self.owner, product_codes=tuple(ProductCode(code) for code in codes))
        return run_one(self.services, self.owner, image)

    def move(self, instance_id: str, *events: Event) -> None:
        with self.services.database.write() as c:
            for event in events:
                instances.set_state(c, instance_id, event, now=self.host.now())

    def see(self, *instance_ids: str) -> None:
        """Supervision's heartbeat."""
        with self.services.database.write() as c:
            found = [instances.get_instance(c, each) for each in instance_ids]
            metering.note_seen(c, [each for each in found if each is not None], now=self.host.now())

    def runs(self, *codes: str) -> list[Run]:
        with self.services.database.read() as c:
            return metering.list_runs(c, codes=codes or ("A",), after=LONG_AGO, before=FAR_OFF)

    def lengths(self) -> list[int]:
        return [run.duration_ms for run in self.runs()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    host = SimulatedHost()
    with open_services(tmp_path / "data", clock=host.now) as services:
        services.database.steady = host.steady
        yield Place(services, make_account(services, "owner")[1], host)


def test_a_run_is_the_time_in_running_and_nothing_else(place: Place) -> None:
    instance_id = place.launch("A")
    place.host.pass_(5_000)
    assert place.runs() == []
    began = place.host.now()
    place.move(instance_id, Event.BOOTED)
    place.host.pass_(1_234)
    place.move(instance_id, Event.REBOOT_ASKED)
    place.host.pass_(1_000)
    place.move(instance_id, Event.STOP_ASKED)
    place.host.pass_(9_000)
    place.move(instance_id, Event.STOPPED)
    assert place.runs() == [
        Run(instance_id, place.owner.account_id, "A", "us-east-1", "amiable.tiny", began, 2_234, False)
    ]
    place.move(instance_id, Event.START_ASKED, Event.BOOTED)
    place.host.pass_(60_000)
    place.see(instance_id)
    place.host.pass_(3_000)
    place.move(instance_id, Event.TERMINATE_ASKED, Event.TERMINATED)
    assert place.lengths() == [2_234, 63_000]


def test_a_reboot_that_takes_another_machine_ends_no_run(place: Place) -> None:
    instance_id = place.launch("A")
    place.move(instance_id, Event.BOOTED)
    place.host.pass_(60_000)
    place.move(instance_id, Event.STARTED_ANEW)
    place.host.pass_(5_000)
    place.move(instance_id, Event.BOOTED)
    place.host.pass_(1_000)
    place.move(instance_id, Event.STOP_ASKED, Event.STOPPED)
    assert place.lengths() == [66_000]
    place.move(instance_id, Event.START_ASKED, Event.BOOTED, Event.STARTED_ANEW, Event.START_FAILED)
    assert [run.is_open for run in place.runs()] == [False, False]


def test_a_run_that_the_hosts_restart_cut_off_on_its_way_to_another_machine_is_ended(place: Place) -> None:
    instance_id = place.launch("A")
    place.move(instance_id, Event.BOOTED)
    place.host.pass_(60_000)
    place.see(instance_id)
    place.move(instance_id, Event.STARTED_ANEW)
    place.host.boot()
    place.move(instance_id, Event.BOOTED)
    place.host.pass_(7_000)
    place.see(instance_id)
    assert place.lengths() == [60_000, 7_000]


def test_each_code_of_an_instance_has_runs_of_its_own_and_an_instance_without_has_none(place: Place) -> None:
    place.move(place.launch(), Event.BOOTED)
    instance_id = place.launch("A", "B")
    place.move(instance_id, Event.BOOTED)
    assert [(run.instance_id, run.code) for run in place.runs("A", "B")] == [(instance_id, "A"), (instance_id, "B")]
    assert [run.code for run in place.runs("B")] == ["B"]


def test_setting_the_clock_changes_no_length_and_makes_no_overlap(place: Place) -> None:
    instance_id, began = place.launch("A"), place.host.now()
    place.move(instance_id, Event.BOOTED)
    place.host.pass_(10_000)
    place.host.set_clock(-7 * HOUR_MS)
    place.host.pass_(10_000)
    place.move(instance_id, Event.STOP_ASKED, Event.STOPPED, Event.START_ASKED, Event.BOOTED)
    place.host.set_clock(+30 * HOUR_MS)
    place.host.pass_(5_000)
    place.move(instance_id, Event.STOP_ASKED)
    first, second = place.runs()
    assert (first.duration_ms, second.duration_ms) == (20_000, 5_000)
    assert (first.started_at, second.started_at) == (began, began + timedelta(seconds=20))


def test_a_server_that_was_away_counts_what_it_finds_running_and_not_what_it_finds_ended(place: Place) -> None:
    kept, lost = place.launch("A"), place.launch("A")
    place.move(kept, Event.BOOTED)
    place.move(lost, Event.BOOTED)
    place.host.pass_(50_000)
    place.see(kept, lost)
    place.host.pass_(5 * HOUR_MS)  # no server
    place.see(kept)
    place.move(lost, Event.PROCESS_DIED)
    place.host.pass_(1_000)
    place.move(kept, Event.STOP_ASKED)
    assert {run.instance_id: run.duration_ms for run in place.runs()} == {
        kept: 50_000 + 5 * HOUR_MS + 1_000,
        lost: 50_000,
    }


def test_after_a_restart_of_the_host_a_run_is_as_long_as_it_was_seen(place: Place) -> None:
    instance_id = place.launch("A")
    place.move(instance_id, Event.BOOTED)
    place.host.pass_(30_000)
    place.see(instance_id)
    place.host.pass_(10_000)
    place.host.boot()
    place.host.pass_(2 * HOUR_MS)
    place.move(instance_id, Event.PROCESS_DIED)
    assert place.lengths() == [30_000]


def test_a_heartbeat_opens_the_run_of_an_instance_that_ran_before_it_was_metered(place: Place) -> None:
    instance_id = place.launch("A")
    place.move(instance_id, Event.BOOTED)
    with place.services.database.write() as c:
        for table in (schema.metering_seen, schema.metering_run):
            c.execute(table.delete())
    place.host.pass_(1_000)
    place.see(instance_id)
    place.see(instance_id)
    (run,) = place.runs()
    assert (run.started_at, run.duration_ms, run.is_open) == (place.host.now(), 0, True)


def test_a_heartbeat_that_comes_late_opens_nothing_again(place: Place) -> None:
    instance_id = place.launch("A")
    place.move(instance_id, Event.BOOTED)
    with place.services.database.read() as c:
        stale = instances.get_instance(c, instance_id)
    assert stale is not None
    place.move(instance_id, Event.STOP_ASKED)
    with place.services.database.write() as c:
        metering.note_seen(c, [stale], now=place.host.now())
    assert [run.is_open for run in place.runs()] == [False]


def test_a_state_change_that_is_undone_leaves_no_record(place: Place) -> None:
    instance_id = place.launch("A")
    with pytest.raises(IncorrectInstanceState), place.services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=place.host.now())
        instances.set_state(c, instance_id, Event.STOPPED, now=place.host.now())
    assert place.runs() == []


def test_records_are_only_ever_added_and_outlive_their_instance(place: Place) -> None:
    instance_id = place.launch("A")
    place.move(instance_id, Event.BOOTED, Event.TERMINATE_ASKED, Event.TERMINATED)
    place.move(instance_id, Event.TERMINATED, Event.TERMINATE_ASKED)
    (run,) = place.runs()
    place.host.pass_(2 * HOUR_MS)
    with place.services.database.write() as c:
        c.execute(schema.volume.delete())
        assert instances.forget_terminated(c, now=place.host.now()) == [instance_id]
        assert c.execute(select(func.count()).select_from(schema.metering_seen)).scalar() == 0
    assert place.runs() == [run]


def test_only_runs_that_reach_into_the_time_asked_about_are_listed(place: Place) -> None:
    instance_id, began = place.launch("A"), place.host.now()
    place.move(instance_id, Event.BOOTED)
    place.host.pass_(60_000)
    place.move(instance_id, Event.STOP_ASKED)
    minute = timedelta(minutes=1)
    with place.services.database.read() as c:
        for after, before, count in (
            (began, began + minute, 1),
            (began + minute, began + 2 * minute, 1),
            (began + minute + timedelta(milliseconds=1), began + 2 * minute, 0),
            (began - minute, began, 0),
        ):
            assert len(metering.list_runs(c, codes=["A"], after=after, before=before)) == count
        nobody = "000000000000"
        assert metering.list_runs(c, codes=["A"], account_id=nobody, after=LONG_AGO, before=FAR_OFF) == []
