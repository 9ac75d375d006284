"""Times of deprecation and protection."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import OperationNotPermitted
from amiable.rules import retirement
from tests.rules.images import AN_IMAGE

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@given(MOMENTS)
def test_a_rounded_moment_is_a_whole_minute_and_no_other_is_nearer(moment: datetime) -> None:
    rounded = retirement.to_minute(moment)
    assert (rounded.second, rounded.microsecond) == (0, 0)
    assert abs(rounded - moment) <= timedelta(seconds=30)


def test_a_leap_day_has_anniversaries() -> None:
    assert retirement.add_years(datetime(2024, 2, 29, 5, tzinfo=UTC), 2) == datetime(2026, 2, 28, 5, tzinfo=UTC)
    assert retirement.add_years(datetime(2024, 2, 29, 5, tzinfo=UTC), 4) == datetime(2028, 2, 29, 5, tzinfo=UTC)


@given(st.lists(st.sampled_from(("with", "without", "off"))))
def test_no_order_of_calls_cuts_a_cooldown_short(calls: list[str]) -> None:
    protected = replace(AN_IMAGE, deregistration_protection=retirement.WITH_COOLDOWN)
    kinds = {"with": retirement.WITH_COOLDOWN, "without": retirement.WITHOUT_COOLDOWN, "off": None}
    for call in [*calls, "off"]:
        until = retirement.protected_until(protected, NOW)
        protected = replace(protected, deregistration_protection=kinds[call], protected_until=until)
    with pytest.raises(OperationNotPermitted):
        retirement.check_may_deregister(protected, NOW + retirement.COOLDOWN - timedelta(seconds=1))
    retirement.check_may_deregister(protected, NOW + retirement.COOLDOWN)
