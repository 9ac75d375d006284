"""Which rule keeps what, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.retention import IMAGE, SNAPSHOT, LockState, RetentionRule, TagMatch
from amiable.model.retirement_errors import RbinRefusal
from amiable.rules import retention

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEYS, VALUES = st.sampled_from("ab"), st.sampled_from("xy")
MATCHES = st.lists(st.builds(TagMatch, KEYS, st.none() | VALUES), max_size=3, unique=True).map(tuple)
TAGS = st.dictionaries(KEYS, VALUES)


def rule(days: int, resource_tags: tuple[TagMatch, ...] = (), exclude_tags: tuple[TagMatch, ...] = ()) -> RetentionRule:
    return RetentionRule(f"{days:011d}", "1", "us-east-1", IMAGE, None, days, NOW, resource_tags, exclude_tags)


RULES = st.lists(
    st.builds(rule, st.integers(1, 365), MATCHES) | st.builds(rule, st.integers(1, 365), st.just(()), MATCHES)
)


@given(RULES, TAGS)
def test_the_longest_of_the_rules_that_match_is_chosen(rules: list[RetentionRule], tags: dict[str, str]) -> None:
    fit = [each.retention_days for each in rules if retention.matches(each, tags)]
    chosen = retention.choose(rules, IMAGE, tags)
    assert (None if chosen is None else chosen.retention_days) == max(fit, default=None)
    assert retention.choose(rules, SNAPSHOT, tags) is None


@given(MATCHES, TAGS)
def test_a_tag_keeps_by_one_kind_of_rule_what_it_leaves_out_by_the_other(
    named: tuple[TagMatch, ...], tags: dict[str, str]
) -> None:
    if named:
        assert retention.matches(rule(1, named), tags) != retention.matches(rule(1, (), named), tags)


def test_a_tag_without_a_value_stands_for_any() -> None:
    assert retention.matches(rule(1, (TagMatch("a"),)), {"a": "anything"})
    assert not retention.matches(rule(1, (TagMatch("a", ""),)), {"a": "anything"})
    assert retention.matches(rule(1, (TagMatch("a", ""),)), {"a": ""})


def test_a_lock_goes_round_and_may_be_put_on_again_while_it_waits() -> None:
    plain = rule(1)
    locked = retention.lock(plain, 7, NOW)
    waiting = retention.unlock(locked, NOW)
    states = [each.lock_state(NOW) for each in (plain, locked, waiting)]
    assert states == [LockState.UNLOCKED, LockState.LOCKED, LockState.PENDING_UNLOCK]
    assert waiting.lock_state(NOW + timedelta(days=7)) is LockState.UNLOCKED
    assert retention.lock(waiting, 9, NOW).lock_state(NOW + timedelta(days=30)) is LockState.LOCKED
    later = retention.unlock(retention.lock(plain, 30, NOW), NOW)
    with pytest.raises(RbinRefusal, match="sooner") as refusal:  # or 30 days would be 7, by one lock more
        retention.lock(later, 7, NOW)
    assert refusal.value.code == "ConflictException"
    assert retention.lock(later, 30, NOW).unlock_delay_days == 30
    assert retention.lock(later, 7, NOW + timedelta(days=23)).unlock_delay_days == 7
    for each in (locked, waiting):
        with pytest.raises(RbinRefusal, match=each.id):
            retention.check_unlocked(each, NOW)
    with pytest.raises(RbinRefusal, match="is not locked"):
        retention.unlock(waiting, NOW)
