"""What was measured of instances that carry product codes, and what is charged for it.

A *run* is the time that an instance was in ``running`` without a break.  Its length is measured by the host's steady clock, which
no one sets; its place in the calendar is the wall clock's reading at its beginning.  So a clock that is set changes no length.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SteadyInstant:
    """A reading of the host's steady clock (CLOCK_MONOTONIC): two of one ``boot`` can be subtracted, others cannot."""

    boot: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has not ended: where it began, and for how long it was last seen to have run."""

    id: int
    began: SteadyInstant
    seen_ms: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one instance under one code; of an open one ``duration_ms`` is how long it was last seen to have run."""

    instance_id: str
    account_id: str
    code: str
    region: str
    instance_type: str
    started_at: datetime
    duration_ms: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class HourlyCharge:
    """Hours begun at one rate."""

    hourly_micros: int
    hours: int

    @property
    def micros(self) -> int:
        return self.hourly_micros * self.hours


@dataclass(frozen=True, slots=True)
class StatementLine:
    """What one subscriber owes for one product in one month."""

    code: str
    name: str
    seller_id: str
    subscriber_id: str
    currency: str
    hourly: tuple[HourlyCharge, ...]  # by rate
    fee_days: int  # days of the month on which the subscription stood
    fee_micros: int

    @property
    def hours(self) -> int:
        return sum(each.hours for each in self.hourly)

    @property
    def total_micros(self) -> int:
        return sum(each.micros for each in self.hourly) + self.fee_micros


@dataclass(frozen=True, slots=True)
class Statement:
    """One account's month (UTC): as subscriber, or as the seller of its products."""

    month: str  # 2026-11
    account_id: str
    is_seller: bool
    as_of: datetime
    lines: tuple[StatementLine, ...]

    @property
    def totals_micros(self) -> dict[str, int]:
        """Currency → sum, currencies in order."""
        totals: dict[str, int] = {}
        for line in sorted(self.lines, key=lambda line: line.currency):
            totals[line.currency] = totals.get(line.currency, 0) + line.total_micros
        return totals
