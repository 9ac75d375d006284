"""What the retention rules come to for an image, before its deletion and after."""

from datetime import UTC, datetime, timedelta

import pytest

from amiable.model.recycle_bin import PlannedImage
from amiable.model.retention import IMAGE, SNAPSHOT, RetentionRule
from amiable.rules.recycle_bin import Tagged, plan

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SNAP = "snap-0123456789abcdef0"


def rule(resource_type: str, days: int) -> RetentionRule:
    return RetentionRule(f"{days:011d}", "1", "us-east-1", resource_type, None, days, NOW)


def tagged(*rules: RetentionRule) -> Tagged:
    return Tagged(rules, {}, {})


def binned(days_left: int) -> PlannedImage:
    return PlannedImage("ami-1", "web", "binned", NOW + timedelta(days=days_left), (SNAP,))


@pytest.mark.parametrize(
    ("days", "days_left", "warning"),
    [
        (None, 9, None),  # no rule keeps it: its deletion is refused while the image is in the bin
        (9, 9, None),
        (
            7,
            9,
            f"{SNAP} would be kept for 7 days by rule 00000000007, the image is in the bin until 2026-03-10T00:00:00Z",
        ),
        (7, 5, None),  # the image has been there for a while
    ],
)
def test_a_snapshot_that_is_there_is_warned_of_where_it_would_go_before_its_binned_image(
    days: int | None, days_left: int, warning: str | None
) -> None:
    rules = [rule(IMAGE, 30), *([] if days is None else [rule(SNAPSHOT, days)])]
    found = plan(binned(days_left), {SNAP: None}, tagged(*rules), NOW).warnings
    assert found == () if warning is None else [each.startswith(warning) for each in found] == [True]


def test_a_snapshot_in_the_bin_or_gone_is_warned_of_beside_its_binned_image() -> None:
    def said(leaves_in_days: int) -> tuple[str, ...]:
        there = {SNAP: NOW + timedelta(days=leaves_in_days)}
        return plan(binned(9), there, tagged(rule(SNAPSHOT, 1)), NOW).warnings

    assert said(9) == ()
    assert [each.startswith(f"{SNAP} leaves the bin at 2026-03-09T00:00:00Z") for each in said(8)] == [True]
    assert plan(binned(9), {}, tagged(), NOW).warnings == (f"{SNAP} is gone: the image cannot be restored any more",)
