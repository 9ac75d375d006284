"""Which rule keeps a deleted resource and until when; and what may be done to a rule.

Several rules may match: the longest retention wins.  Source: EBS user guide, "How Recycle Bin works", "Recycle Bin quotas".
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from amiable.model.retention import (
    DAYS_MAX,
    RETAINED,
    RULE_TAGS_MAX,
    RULES_MAX,
    RULES_PER_TAG_MAX,
    LockState,
    RetentionRule,
    TagMatch,
)
from amiable.model.retirement_errors import RbinRefusal
from amiable.model.tags import RESERVED_PREFIX

INVALID: Final = "INVALID_PARAMETER_VALUE"
QUOTA: Final = "SERVICE_QUOTA_EXCEEDED"
RULE_STATE: Final = "INVALID_RULE_STATE"


def matches(rule: RetentionRule, tags: Mapping[str, str]) -> bool:
    """Whether the rule keeps a resource of its type with these tags."""
    if rule.is_tag_level:
        return _has_one(rule.resource_tags, tags)
    return not _has_one(rule.exclude_tags, tags)


def _has_one(named: Iterable[TagMatch], tags: Mapping[str, str]) -> bool:
    return any(each.key in tags and each.value in (None, tags[each.key]) for each in named)


def choose(rules: Iterable[RetentionRule], resource_type: str, tags: Mapping[str, str]) -> RetentionRule | None:
    """The rule that keeps the resource longest; None where none keeps it."""
    kept = [rule for rule in rules if rule.resource_type == resource_type and matches(rule, tags)]
    return max(kept, key=lambda rule: (rule.retention_days, rule.id), default=None)


def exit_at(rule: RetentionRule, now: datetime) -> datetime:
    """When what enters the bin ``now`` by this rule leaves it for good."""
    return now + timedelta(days=rule.retention_days)


# ── making and changing rules ───────────────────────────────────────────────────────────────────────────────────────────


def check_type(resource_type: str) -> None:
    """Refuses a type of which Amiable keeps nothing."""
    if resource_type not in RETAINED:
        raise _invalid(f"Rules for {resource_type} are not implemented by Amiable: deleted volumes are not kept.")


def check(rule: RetentionRule) -> None:
    """Refuses a rule that cannot be; how many tags it may name the wire has checked."""
    check_type(rule.resource_type)
    if not 1 <= rule.retention_days <= DAYS_MAX:
        raise _invalid(f"A retention period of {rule.retention_days} days is invalid: expecting 1 to {DAYS_MAX} days.")
    if rule.resource_tags and rule.exclude_tags:
        raise _invalid("A tag-level rule cannot have exclusion tags: give ResourceTags or ExcludeResourceTags.")
    for name, tags in (("ResourceTags", rule.resource_tags), ("ExcludeResourceTags", rule.exclude_tags)):
        if len(set(tags)) < len(tags):
            raise _invalid(f"The same tag stands twice in {name}.")
    if rule.unlock_delay_days is not None and rule.unlocked_at is None:
        check_lockable(rule)


def check_room(rule: RetentionRule, others: Iterable[RetentionRule], *, is_new: bool) -> None:
    """Refuses more rules than an account may have in a region, and a tag that too many of them name."""
    present = list(others)
    if is_new and len(present) >= RULES_MAX:
        raise _quota(f"You can have {RULES_MAX} retention rules in a Region at most.")
    for tag in rule.resource_tags:
        same = [each.id for each in present if each.resource_type == rule.resource_type and tag in each.resource_tags]
        if len(same) >= RULES_PER_TAG_MAX:
            named = tag.key if tag.value is None else f"{tag.key}={tag.value}"
            raise _quota(
                f"The tag {named} is in {RULES_PER_TAG_MAX} retention rules already: {', '.join(sorted(same))}."
            )


def check_lockable(rule: RetentionRule) -> None:
    """Refuses to lock what is no Region-level rule without exclusions."""
    if rule.resource_tags or rule.exclude_tags:
        raise _invalid("Only a Region-level retention rule without exclusion tags can be locked.")


def check_change(before: RetentionRule, after: RetentionRule, now: datetime) -> None:
    """Refuses a change of a rule's kind or type, and any change of one that is locked."""
    check_unlocked(before, now)
    if before.resource_type != after.resource_type:
        raise _invalid("The resource type of a retention rule cannot be changed.")
    if before.is_tag_level != after.is_tag_level:
        raise _invalid("A tag-level retention rule stays one, and so does a Region-level one: make another rule.")
    check(after)


def check_unlocked(rule: RetentionRule, now: datetime) -> None:
    """Refuses to change or delete a rule that is locked or not unlocked yet."""
    state = rule.lock_state(now)
    if state is LockState.LOCKED:
        raise _conflict(f"The retention rule {rule.id} is locked. Unlock it first.")
    if state is LockState.PENDING_UNLOCK:
        raise _conflict(f"The retention rule {rule.id} is unlocked from {rule.unlocked_at:%Y-%m-%dT%H:%M:%SZ} on.")


def lock(rule: RetentionRule, unlock_delay_days: int, now: datetime) -> RetentionRule:
    """The rule locked; refuses one that is, one that cannot be, and a delay that would end before the one that runs."""
    if rule.lock_state(now) is LockState.LOCKED:
        raise _conflict(f"The retention rule {rule.id} is locked already.")
    check_lockable(rule)
    if rule.unlocked_at is not None and now + timedelta(days=unlock_delay_days) < rule.unlocked_at:
        raise _conflict(
            f"The retention rule {rule.id} is unlocked from {rule.unlocked_at:%Y-%m-%dT%H:%M:%SZ} on: "
            "a lock must not end that delay sooner. Give a longer UnlockDelay."
        )
    return replace(rule, unlock_delay_days=unlock_delay_days, unlocked_at=None)


def unlock(rule: RetentionRule, now: datetime) -> RetentionRule:
    """The rule as it waits for its delay to end; refuses one that is not locked."""
    if rule.lock_state(now) is not LockState.LOCKED:
        raise _conflict(f"The retention rule {rule.id} is not locked.")
    assert rule.unlock_delay_days is not None
    return replace(rule, unlocked_at=now + timedelta(days=rule.unlock_delay_days))


def check_tags(present: Mapping[str, str], added: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A rule's own tags after ``added`` is put over ``present``; refuses reserved keys, keys given twice and too many."""
    given: dict[str, str] = {}
    for key, value in added:
        if key.lower().startswith(RESERVED_PREFIX):
            raise _invalid(f"The tag key {key} is invalid: keys that begin with {RESERVED_PREFIX} are reserved.")
        if key in given:
            raise _invalid(f"The tag key {key} stands twice.")
        given[key] = value
    after = {**present, **given}
    if len(after) > RULE_TAGS_MAX:
        raise _quota(f"A retention rule may have {RULE_TAGS_MAX} tags at most; this one would have {len(after)}.")
    return after


def not_found(rule_id: str) -> RbinRefusal:
    """The refusal of an identifier or ARN that names no rule of the caller's."""
    return RbinRefusal("ResourceNotFoundException", "RULE_NOT_FOUND", f"The retention rule {rule_id} does not exist.")


def _invalid(message: str) -> RbinRefusal:
    return RbinRefusal("ValidationException", INVALID, message)


def _quota(message: str) -> RbinRefusal:
    return RbinRefusal("ServiceQuotaExceededException", QUOTA, message)


def _conflict(message: str) -> RbinRefusal:
    return RbinRefusal("ConflictException", RULE_STATE, message)
