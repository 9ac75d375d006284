"""How long a run was, which hours of it are charged, and what a month costs.

    run      ├──────────────────────────────┤            length by the steady clock (model/metering)
    hours    ├───1───┼───2───┼───3───┼──4──…┤            every hour begun is charged whole, the first one in any case
             ▲       ▲       ▲       ▲
             each hour belongs to the month, and costs the rate, of the instant at which it begins

A run goes on through a reboot; a stop, a crash or a termination ends it, and the next start begins another, with an hour of its own
(EC2 before per-second billing).  What was not seen to run is not charged: where nobody looked at the end, the run is as long as it
was last seen to be (:func:`length_ms`).

The monthly fee is charged by days (UTC): for each day on which the subscription stood for a moment, the fee that held at the first
such moment, divided by the days of the month.  The sum is rounded once, half up, to a millionth.

The seller's own instances are metered, and charged nothing.  Everything here follows from the records: nothing is kept of it.
"""

import calendar
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from amiable.model.errors import InvalidParameterValue
from amiable.model.metering import HourlyCharge, OpenRun, Run, StatementLine, SteadyInstant
from amiable.model.product import Price, Product, Subscription

HOUR: Final = timedelta(hours=1)
UNSEEN_MS_MAX: Final = 90_000
"""A run whose end comes later than this after it was last seen (each minute) is as long as it was then: nobody knows when it ended."""
_MONTH: Final = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month, UTC: ``begin`` is in it, ``end`` is not."""

    name: str
    begin: datetime
    end: datetime

    @property
    def days(self) -> int:
        return (self.end - self.begin).days


def read_month(text: str) -> Month:
    """The month that ``text`` names, like ``2026-11``."""
    found = _MONTH.fullmatch(text)
    if found is None:
        raise InvalidParameterValue(parameter="Month", value=text, why="Give year and month, like 2026-11.")
    begin = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
    return Month(text, begin, begin + timedelta(days=calendar.monthrange(begin.year, begin.month)[1]))


# ── lengths ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def seen_ms(run: OpenRun, now: SteadyInstant) -> int:
    """For how long the run is known to have run, seen running ``now``: never less than before."""
    return max(run.seen_ms, now.milliseconds - run.began.milliseconds) if now.boot == run.began.boot else run.seen_ms


def length_ms(run: OpenRun, now: SteadyInstant) -> int:
    """How long the run was, ending ``now``; as it was last seen, where the host has booted since or nobody looked for long."""
    measured = seen_ms(run, now)
    return measured if measured - run.seen_ms <= UNSEEN_MS_MAX else run.seen_ms


def began_at(now: datetime, *, earlier: datetime | None) -> datetime:
    """Where a new run begins in the calendar: not before the instance's ``earlier`` run ended, wherever the clock was set to."""
    return now if earlier is None else max(now, earlier)


# ── charges ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def hours_begun(run: Run) -> int:
    """Every hour begun counts, the first one as soon as the run begins."""
    return max(1, -(-timedelta(milliseconds=run.duration_ms) // HOUR))


def hours_between(run: Run, begin: datetime, end: datetime) -> int:
    """How many of the run's hours begin at ``begin`` or later, and before ``end``."""
    first = max(0, -((run.started_at - begin) // HOUR))
    beyond = min(hours_begun(run), -((run.started_at - end) // HOUR))
    return max(0, beyond - first)


def statement_lines(
    month: Month,
    until: datetime,
    *,
    products: Mapping[str, tuple[Product, Sequence[Price]]],
    runs: Iterable[Run],
    subscriptions: Iterable[Subscription],
) -> tuple[StatementLine, ...]:
    """What each subscriber owes for each of ``products``, by code and account; ``until`` bounds subscriptions that stand.

    Prices are in order.  Who owes nothing and used nothing has no line.
    """
    runs_of: dict[tuple[str, str], list[Run]] = {}
    stood: dict[tuple[str, str], list[Subscription]] = {}
    for run in runs:
        runs_of.setdefault((run.code, run.account_id), []).append(run)
    for each in subscriptions:
        stood.setdefault((each.code, each.account_id), []).append(each)
    lines = []
    for code, account_id in sorted({*runs_of, *stood}):
        product, prices = products[code]
        if account_id == product.account_id:
            continue
        hourly = _hourly(month, prices, runs_of.get((code, account_id), ()))
        days, fee = _fee(month, until, prices, stood.get((code, account_id), ()))
        if hourly or days:
            names = (code, product.name, product.account_id, account_id, product.currency)
            lines.append(StatementLine(*names, hourly, days, fee))
    return tuple(lines)


def _hourly(month: Month, prices: Sequence[Price], runs: Iterable[Run]) -> tuple[HourlyCharge, ...]:
    hours: dict[int, int] = {}
    held = list(runs)
    for index, price in enumerate(prices):
        begin = max(month.begin, price.since_at)
        end = min(month.end, prices[index + 1].since_at) if index + 1 < len(prices) else month.end
        count = sum(hours_between(run, begin, end) for run in held) if begin < end else 0
        if count:
            hours[price.hourly_micros] = hours.get(price.hourly_micros, 0) + count
    return tuple(HourlyCharge(rate, hours[rate]) for rate in sorted(hours))


def _fee(
    month: Month, until: datetime, prices: Sequence[Price], subscriptions: Iterable[Subscription]
) -> tuple[int, int]:
    """The days on which a subscription stood, and the fee for them."""
    first_moment: dict[date, datetime] = {}
    for each in subscriptions:
        begin = max(each.started_at, month.begin)
        end = min(max(each.ended_at or until, each.started_at + _MILLISECOND), month.end)
        day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < end:
            moment = max(day, begin)
            first_moment[day.date()] = min(moment, first_moment.get(day.date(), moment))
            day += timedelta(days=1)
    sum_micros = sum(_fee_at(prices, moment) for moment in first_moment.values())
    return len(first_moment), (2 * sum_micros + month.days) // (2 * month.days)


def _fee_at(prices: Sequence[Price], moment: datetime) -> int:
    return next((price.monthly_micros for price in reversed(prices) if price.since_at <= moment), 0)
