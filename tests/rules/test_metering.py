"""Lengths by a clock that no one sets, whole hours, the rate of each hour's beginning, fees by days."""

from datetime import UTC, datetime, timedelta

import pytest

from amiable.model.errors import InvalidParameterValue
from amiable.model.metering import HourlyCharge, OpenRun, Run, StatementLine, SteadyInstant
from amiable.model.product import Price, Product, Subscription
from amiable.rules.metering import (
    UNSEEN_MS_MAX,
    began_at,
    hours_begun,
    hours_between,
    length_ms,
    read_month,
    seen_ms,
    statement_lines,
)

HOUR_MS = 3_600_000
SELLER, BUYER = "111111111111", "222222222222"
NOVEMBER = read_month("2026-11")
CREATED = datetime(2026, 10, 1, tzinfo=UTC)
PRODUCT = Product("A", SELLER, "A Suite", "USD", CREATED)
OPEN = OpenRun(1, SteadyInstant("boot", 5_000), 60_000)


def day(number: int, **time: int) -> datetime:
    return datetime(2026, 11, number, tzinfo=UTC) + timedelta(**time)


def run(started_at: datetime, duration_ms: int, account_id: str = BUYER) -> Run:
    return Run("i-1", account_id, "A", "us-east-1", "amiable.tiny", started_at, duration_ms, False)


def price(since_at: datetime, hourly: int, monthly: int = 0) -> Price:
    return Price("A", since_at, hourly, monthly)


def lines(
    runs: list[Run], prices: list[Price], subscriptions: list[Subscription], until: datetime = NOVEMBER.end
) -> tuple[StatementLine, ...]:
    offers = {"A": (PRODUCT, prices)}
    return statement_lines(NOVEMBER, until, products=offers, runs=runs, subscriptions=subscriptions)


# ── lengths ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_as_long_as_the_steady_clock_says() -> None:
    assert length_ms(OPEN, SteadyInstant("boot", 5_000 + 61_000)) == 61_000
    assert seen_ms(OPEN, SteadyInstant("boot", 5_000 + 10 * HOUR_MS)) == 10 * HOUR_MS


def test_what_nobody_saw_is_not_counted() -> None:
    just, late = 65_000 + UNSEEN_MS_MAX, 65_001 + UNSEEN_MS_MAX
    assert length_ms(OPEN, SteadyInstant("boot", just)) == 60_000 + UNSEEN_MS_MAX
    assert length_ms(OPEN, SteadyInstant("boot", late)) == 60_000


def test_after_another_boot_of_the_host_a_run_is_as_long_as_it_was_seen() -> None:
    assert length_ms(OPEN, SteadyInstant("next", 70_000)) == 60_000
    assert seen_ms(OPEN, SteadyInstant("next", 9 * HOUR_MS)) == 60_000


def test_a_length_never_shrinks() -> None:
    assert length_ms(OPEN, SteadyInstant("boot", 0)) == 60_000
    assert seen_ms(OPEN, SteadyInstant("boot", 0)) == 60_000


def test_runs_of_an_instance_do_not_overlap_wherever_the_clock_is_set() -> None:
    assert began_at(day(2), earlier=None) == day(2)
    assert began_at(day(2), earlier=day(1)) == day(2)
    assert began_at(day(2), earlier=day(3)) == day(3)


# ── hours ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("duration_ms", "hours"),
    [(0, 1), (1, 1), (HOUR_MS, 1), (HOUR_MS + 1, 2), (24 * HOUR_MS, 24), (24 * HOUR_MS + 1, 25)],
)
def test_every_hour_begun_counts_and_the_first_in_any_case(duration_ms: int, hours: int) -> None:
    assert hours_begun(run(day(1), duration_ms)) == hours


def test_an_hour_belongs_where_it_begins() -> None:
    it = run(day(1, minutes=-90), 4 * HOUR_MS)  # hours at 22:30, 23:30, 00:30, 01:30
    assert hours_between(it, NOVEMBER.begin - timedelta(days=31), NOVEMBER.begin) == 2
    assert hours_between(it, NOVEMBER.begin, NOVEMBER.end) == 2
    assert hours_between(it, day(1, minutes=30), day(1, minutes=31)) == 1
    assert hours_between(it, day(1, minutes=31), day(1, minutes=90)) == 0


# ── statements ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_hour_costs_the_rate_that_held_when_it_began() -> None:
    prices = [price(CREATED, 50_000), price(day(1, hours=2), 70_000)]
    (line,) = lines([run(day(1), 3 * HOUR_MS)], prices, [])
    assert line.hourly == (HourlyCharge(50_000, 2), HourlyCharge(70_000, 1))
    assert (line.hours, line.total_micros) == (3, 170_000)


def test_hours_before_there_was_a_price_are_free() -> None:
    assert lines([run(day(1), HOUR_MS)], [price(day(2), 50_000)], []) == ()


def test_two_starts_within_an_hour_are_two_hours() -> None:
    (line,) = lines([run(day(1), 60_000), run(day(1, minutes=5), 60_000)], [price(CREATED, 1)], [])
    assert line.hours == 2


def test_the_seller_owes_itself_nothing() -> None:
    assert lines([run(day(1), HOUR_MS, SELLER)], [price(CREATED, 1)], []) == ()


def test_the_fee_of_a_whole_month_is_the_fee() -> None:
    (line,) = lines([], [price(CREATED, 0, 10_000_000)], [Subscription(BUYER, "A", CREATED)])
    assert (line.fee_days, line.fee_micros, line.hours) == (30, 10_000_000, 0)


def test_the_fee_is_charged_by_days_each_once_and_rounded_once() -> None:
    stood = [
        Subscription(BUYER, "A", day(10, hours=23), day(11, hours=1)),
        Subscription(BUYER, "A", day(11, hours=2), day(11, hours=3)),
        Subscription(BUYER, "A", day(20), day(20)),
    ]
    (line,) = lines([], [price(CREATED, 0, 100)], stood)
    assert (line.fee_days, line.fee_micros) == (3, 10)
    (line,) = lines([], [price(CREATED, 0, 5)], stood)
    assert line.fee_micros == 1  # half a millionth, up


def test_a_subscription_that_ends_at_midnight_did_not_stand_on_that_day() -> None:
    (line,) = lines([], [price(CREATED, 0, 30)], [Subscription(BUYER, "A", day(1), day(3))])
    assert (line.fee_days, line.fee_micros) == (2, 2)


def test_a_day_costs_the_fee_that_held_at_its_first_moment_under_subscription() -> None:
    prices = [price(CREATED, 0, 30), price(day(2, hours=1), 0, 60)]
    (line,) = lines([], prices, [Subscription(BUYER, "A", day(2), day(4))])
    assert line.fee_micros == 1 + 2
    (line,) = lines([], prices, [Subscription(BUYER, "A", day(2, hours=2), day(4))])
    assert line.fee_micros == 2 + 2


def test_a_month_that_goes_on_counts_the_days_so_far_and_one_to_come_none() -> None:
    standing = [Subscription(BUYER, "A", CREATED)]
    (line,) = lines([], [price(CREATED, 0, 30)], standing, until=day(3, hours=5))
    assert line.fee_days == 3
    assert lines([], [price(CREATED, 0, 30)], standing, until=CREATED) == ()


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-1", "26-11", "2026-11-01", "1999-01", "2026/11", "x"])
def test_a_month_is_a_year_and_a_month(text: str) -> None:
    assert (read_month("2028-02").days, read_month("2026-12").end) == (29, datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidParameterValue, match="Give year and month, like 2026-11"):
        read_month(text)
