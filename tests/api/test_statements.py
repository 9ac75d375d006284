"""Statements against an independent sum: lives of instances under simulated time, priced hour by hour and day by day."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.api import products
from amiable.api.products import Asked
from amiable.api.statements import get_statement
from amiable.database import instances, metering
from amiable.database.instances import insert_instance, insert_reservation
from amiable.model.errors import InvalidParameterValue
from amiable.model.instance import Reservation, State
from amiable.model.metering import StatementLine
from amiable.model.principal import Principal
from amiable.model.product import ProductCode
from amiable.rules.lifecycle import Event
from amiable.rules.money import write_amount
from amiable.services import Services
from tests.rules.instances import AN_INSTANCE
from tests.support.services import make_account, open_services
from tests.support.steady import SimulatedHost

HOUR_MS = 3_600_000
UNSEEN_MS_MAX = 90_000
MONTHS = ("2026-10", "2026-11", "2026-12", "2027-01")


@dataclass
class Place:
    services: Services
    host: SimulatedHost
    seller: Principal
    buyers: tuple[Principal, Principal]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    host = SimulatedHost()
    with open_services(tmp_path_factory.mktemp("place") / "data", clock=host.now) as services:
        services.database.steady = host.steady
        one, two, three = (make_account(services, name)[1] for name in ("seller", "buyer", "other"))
        yield Place(services, host, one, (two, three))


# ── the second implementation: what is true of each instance, and a sum of single hours and days ────────────────────────


@dataclass
class Life:
    """What is true of one instance; a run is its start by the wall clock, and its length."""

    account_id: str
    state: str = "pending"
    runs: list[tuple[datetime, int]] = field(default_factory=list)
    is_alive: bool = False  # whether a guest runs, whatever the rows say
    true_ms: int = 0
    seen_ms: int = 0
    started: datetime | None = None
    free_from: datetime | None = None  # the last run's end in the calendar


@dataclass
class World:
    place: Place
    code: str
    lives: dict[str, Life] = field(default_factory=dict)
    prices: list[tuple[datetime, int, int]] = field(default_factory=list)
    subscriptions: dict[str, list[list[datetime | None]]] = field(default_factory=dict)

    # what happens, to the real thing and to the model

    def pass_(self, milliseconds: int) -> None:
        self.place.host.pass_(milliseconds)
        for life in self.lives.values():
            if life.is_alive:
                life.true_ms += milliseconds

    def launch(self, owner: Principal) -> None:
        services, now = self.place.services, self.place.host.now()
        made = replace(
            AN_INSTANCE, id=services.mint("i"), account_id=owner.account_id, reservation_id=services.mint("r"),
            state=State.PENDING, product_codes=(ProductCode(self.code),), launched_at=now,
            subnet_id=services.mint("subnet"),
        )  # fmt: skip
        with services.database.write() as c:
            insert_reservation(c, Reservation(made.reservation_id, made.account_id, made.region, now))
            insert_instance(c, made)
        self.lives[made.id] = Life(owner.account_id)

    def begin(self, instance_id: str, life: Life) -> None:
        if life.state == "pending":
            self._move(instance_id, Event.BOOTED)
            now = self.place.host.now()
            life.state, life.is_alive, life.true_ms, life.seen_ms = "running", True, 0, 0
            life.started = now if life.free_from is None else max(now, life.free_from)

    def end(self, instance_id: str, life: Life, how: str) -> None:
        """stop, terminate, or (``crash``) supervision finds it dead."""
        if how == "terminate" and life.state in ("running", "stopped"):
            self._move(instance_id, Event.TERMINATE_ASKED, Event.TERMINATED)
            self._close(life)
            life.state = "terminated"
        elif how in ("stop", "crash") and life.state == "running":
            self._move(instance_id, Event.PROCESS_DIED if how == "crash" else Event.STOP_ASKED, Event.STOPPED)
            self._close(life)
            life.state = "stopped"

    def start(self, instance_id: str, life: Life) -> None:
        if life.state == "stopped":
            self._move(instance_id, Event.START_ASKED)
            life.state = "pending"

    def see(self) -> None:
        """Supervision's heartbeat finds every guest that is there."""
        with self.place.services.database.write() as c:
            rows = [instances.get_instance(c, each) for each, life in self.lives.items() if life.is_alive]
            metering.note_seen(c, [row for row in rows if row is not None], now=self.place.host.now())
        for life in self.lives.values():
            if life.is_alive:
                life.seen_ms = life.true_ms

    def kill_all(self, *, boots: bool) -> None:
        """The host is restarted, or every QEMU is killed, while no server lives; the next server finds it."""
        if boots:
            self.place.host.boot()
        for life in self.lives.values():
            life.is_alive = False
            life.true_ms = life.seen_ms
        self.pass_(10 * UNSEEN_MS_MAX)
        for instance_id, life in self.lives.items():
            self.end(instance_id, life, "crash")

    def _close(self, life: Life) -> None:
        if life.state != "running":
            return
        length = life.true_ms if life.true_ms - life.seen_ms <= UNSEEN_MS_MAX else life.seen_ms
        assert life.started is not None
        life.runs.append((life.started, length))
        life.free_from = life.started + timedelta(milliseconds=length)
        life.is_alive = False

    def _move(self, instance_id: str, *events: Event) -> None:
        with self.place.services.database.write() as c:
            for event in events:
                instances.set_state(c, instance_id, event, now=self.place.host.now())

    def set_price(self, hourly: int, monthly: int) -> None:
        asked = Asked(write_amount(hourly), write_amount(monthly))
        offer = products.set_price(self.place.services, self.place.seller, self.code, asked)
        self.prices.append((offer.price.since_at, hourly, monthly))

    def subscribe(self, buyer: Principal) -> None:
        products.subscribe(self.place.services, buyer, self.code)
        held = self.subscriptions.setdefault(buyer.account_id, [])
        if not held or held[-1][1] is not None:
            held.append([self.place.host.now(), None])

    def unsubscribe(self, buyer: Principal) -> None:
        held = self.subscriptions.get(buyer.account_id)
        if held and held[-1][1] is None:
            products.unsubscribe(self.place.services, buyer, self.code)
            assert held[-1][0] is not None
            held[-1][1] = max(held[-1][0], self.place.host.now())

    # what it comes to

    def owed(self, account_id: str, month: str) -> tuple[int, int, int, int]:
        """Hours, their cost, days, their fee."""
        starts = [each for life in self.lives.values() if life.account_id == account_id for each in self._hours(life)]
        mine = [each for each in starts if f"{each:%Y-%m}" == month and each >= self.prices[0][0]]
        cost = sum(self._price_at(each)[0] for each in mine)
        days, fee = self._days(account_id, month), Fraction(0)
        length = calendar.monthrange(int(month[:4]), int(month[5:]))[1]
        for moment in days.values():
            fee += Fraction(self._price_at(moment)[1], length)
        return len(mine), cost, len(days), int(fee + Fraction(1, 2))

    def _hours(self, life: Life) -> Iterator[datetime]:
        open_run = [] if life.state != "running" or life.started is None else [(life.started, life.seen_ms)]
        for started, length in [*life.runs, *open_run]:
            yield started
            moment = started + timedelta(hours=1)
            while moment < started + timedelta(milliseconds=length):
                yield moment
                moment += timedelta(hours=1)

    def _price_at(self, moment: datetime) -> tuple[int, int]:
        return next(((hourly, monthly) for since, hourly, monthly in reversed(self.prices) if since <= moment), (0, 0))

    def _days(self, account_id: str, month: str) -> dict[date, datetime]:
        found: dict[date, datetime] = {}
        for begin, end in self.subscriptions.get(account_id, []):
            assert begin is not None
            last = max(end or self.place.host.now(), begin + timedelta(milliseconds=1))
            moment = begin
            while moment < last:
                if f"{moment:%Y-%m}" == month:
                    found[moment.date()] = min(moment, found.get(moment.date(), moment))
                moment = datetime.combine(moment.date() + timedelta(days=1), datetime.min.time(), UTC)
        return found


STEPS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from((1, 59_000, 89_999, 90_001, HOUR_MS - 1, HOUR_MS, 26 * HOUR_MS, 200 * HOUR_MS))),
    st.tuples(st.just("clock"), st.sampled_from((-40 * HOUR_MS, -HOUR_MS, -1, 1, HOUR_MS, 300 * HOUR_MS))),
    st.tuples(st.sampled_from(("launch", "subscribe", "unsubscribe")), st.integers(0, 1)),
    st.tuples(st.sampled_from(("begin", "stop", "start", "terminate", "crash", "begin", "start")), st.integers(0, 3)),
    st.tuples(st.just("see"), st.just(0)),
    st.tuples(st.sampled_from(("reboot of the host", "kill")), st.just(0)),
    st.tuples(st.just("price"), st.integers(0, 3)),
)  # fmt: skip


def take(world: World, step: tuple[str, int]) -> None:
    """One thing happens."""
    verb, number = step
    living = list(world.lives.items())
    if verb == "pass":
        world.pass_(number)
    elif verb == "clock":
        world.place.host.set_clock(number)
    elif verb in ("launch", "subscribe", "unsubscribe"):
        getattr(world, verb)(world.place.buyers[number])
    elif verb == "see":
        world.see()
    elif verb in ("reboot of the host", "kill"):
        world.kill_all(boots=verb != "kill")
    elif verb == "price":
        world.set_price((0, 50_000, 3_500, 999_999)[number], (10_000_000, 0, 7, 1_234_567)[number])
    elif living:
        instance_id, life = living[number % len(living)]
        if verb in ("begin", "start"):
            getattr(world, verb)(instance_id, life)
        else:
            world.end(instance_id, life, verb)


def lines_of(world: World, month: str) -> dict[str, StatementLine]:
    """Account → its line, as the seller reads them; the subscribers must read the same."""
    services, seller = world.place.services, world.place.seller
    sold = get_statement(services, seller, month, is_seller=True)
    lines = {line.subscriber_id: line for line in sold.lines if line.code == world.code}
    for buyer in world.place.buyers:
        bought = get_statement(services, buyer, month, is_seller=False)
        mine = [line for line in bought.lines if line.code == world.code]
        assert mine == [line for account_id, line in lines.items() if account_id == buyer.account_id]
    return lines


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(STEPS, min_size=5, max_size=30))
def test_a_statement_is_the_sum_of_single_hours_and_days(place: Place, steps: list[tuple[str, int]]) -> None:
    host = place.host
    host.wall, host.steady_ms = SimulatedHost().wall, host.steady_ms + 1
    offer = products.create_product(place.services, place.seller, products.NewProduct("x", "USD", Asked("0.05", "10")))
    world = World(place, offer.product.code, prices=[(offer.price.since_at, 50_000, 10_000_000)])
    for step in [("launch", 0), ("begin", 0), *steps]:
        take(world, step)
    for month in MONTHS:
        lines = lines_of(world, month)
        for buyer in place.buyers:
            hours, cost, days, fee = world.owed(buyer.account_id, month)
            line = lines.get(buyer.account_id)
            if line is None:
                assert (hours, days) == (0, 0)
            else:
                assert (line.hours, line.total_micros - line.fee_micros) == (hours, cost)
                assert (line.fee_days, line.fee_micros) == (days, fee)


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_totals_are_by_currency(tmp_path: Path) -> None:
    host = SimulatedHost()
    with open_services(tmp_path / "data", clock=host.now) as services:
        services.database.steady = host.steady
        seller, buyer = make_account(services, "seller")[1], make_account(services, "buyer")[1]
        for currency, fee in (("USD", "30"), ("EUR", "60"), ("USD", "0.3")):
            made = products.create_product(services, seller, products.NewProduct(fee, currency, Asked("0", fee)))
            products.subscribe(services, buyer, made.product.code)
        host.pass_(HOUR_MS)
        for who, is_seller in ((buyer, False), (seller, True)):
            found = get_statement(services, who, "2026-11", is_seller=is_seller)
            assert found.totals_micros == {"EUR": 2_000_000, "USD": 1_010_000}
            assert list(found.totals_micros) == ["EUR", "USD"]
        assert get_statement(services, seller, "2026-11", is_seller=False).lines == ()
        assert get_statement(services, buyer, "2026-12", is_seller=False).lines == ()


def test_a_statement_can_be_computed_again_and_stays_the_same(place: Place) -> None:
    first = get_statement(place.services, place.seller, "2026-11", is_seller=True)
    place.host.pass_(0)
    assert get_statement(place.services, place.seller, "2026-11", is_seller=True) == first


def test_a_month_that_is_none_is_refused(place: Place) -> None:
    with pytest.raises(InvalidParameterValue, match="Give year and month"):
        get_statement(place.services, place.seller, "November", is_seller=False)
