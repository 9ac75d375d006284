"""The Recycle Bin's own service: retention rules, their locks and their tags.

Rules bite at once: a rule's status is ``available`` as soon as CreateRule has answered.  What a rule put into the bin keeps the
time that it got, whatever becomes of the rule.  Source: Recycle Bin API reference 2021-06-15.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from amiable.api.paging import PAGE_SIZE_MAX, Page, PageBounds, open_page
from amiable.database import retention as rows
from amiable.model.errors import InvalidPaginationToken, InvalidParameterValue
from amiable.model.principal import Principal
from amiable.model.retention import RetentionRule, TagMatch
from amiable.model.retirement_errors import RbinRefusal
from amiable.rules import retention
from amiable.services import Services
from amiable.services.audit import note_made
from amiable.wire.generated import rbin

ID_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH: Final = 11
STATUS: Final = "available"
_TO_WIRE: Final = str.maketrans("-_", "+/")
_FROM_WIRE: Final = str.maketrans("+/", "-_")
"""The model's pattern of a page token has the ordinary alphabet of base64."""


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def create_rule(services: Services, principal: Principal, request: rbin.CreateRuleRequest) -> rbin.CreateRuleResponse:
    """A new rule, locked where the request says so."""
    lock = request.lock_configuration
    rule = RetentionRule(
        id=_mint(services),
        account_id=principal.account_id,
        region=principal.region,
        resource_type=request.resource_type,
        description=request.description,
        retention_days=request.retention_period.retention_period_value,
        created_at=services.now(),
        resource_tags=_matches(request.resource_tags),
        exclude_tags=_matches(request.exclude_resource_tags),
        unlock_delay_days=None if lock is None else lock.unlock_delay.unlock_delay_value,
    )
    retention.check(rule)
    tags = retention.check_tags({}, _pairs(request.tags))
    with services.database.write_and_answer() as c:
        retention.check_room(rule, rows.list_rules(c, principal.account_id, principal.region), is_new=True)
        rows.insert_rule(c, rule)
        rows.put_tags(c, rule.id, tags)
    return rbin.CreateRuleResponse(
        **_facts(rule, services.now()),
        lock_configuration=_lock_configuration(rule),
        tags=[rbin.Tag(key=key, value=value) for key, value in tags.items()],
    )


def get_rule(services: Services, principal: Principal, request: rbin.GetRuleRequest) -> rbin.GetRuleResponse:
    """One rule of the account."""
    with services.database.read() as c:
        rule = _find(c, principal, request.identifier)
    return rbin.GetRuleResponse(
        **_facts(rule, services.now()), lock_configuration=_lock_configuration(rule), lock_end_time=rule.unlocked_at
    )


def list_rules(services: Services, principal: Principal, request: rbin.ListRulesRequest) -> rbin.ListRulesResponse:
    """The account's rules of one type; of those that name each given tag, and whose lock is in the given state."""
    retention.check_type(request.resource_type)
    page = _open_page(services, principal, request)
    wanted, excluded = set(_matches(request.resource_tags)), set(_matches(request.exclude_resource_tags))
    now = services.now()
    with services.database.read() as c:
        found = [
            rule
            for rule in rows.list_rules(c, principal.account_id, principal.region)
            if rule.resource_type == request.resource_type
            and wanted <= set(rule.resource_tags)
            and excluded <= set(rule.exclude_tags)
            and request.lock_state in (None, rule.lock_state(now))
        ]
    shown, token = page.cut(found, lambda rule: rule.id)
    return rbin.ListRulesResponse(
        rules=[
            rbin.RuleSummary(
                identifier=rule.id,
                description=rule.description,
                retention_period=_period(rule),
                lock_state=rule.lock_state(now),
                rule_arn=rule.arn,
            )
            for rule in shown
        ],
        next_token=None if token is None else token.translate(_TO_WIRE),
    )


def update_rule(services: Services, principal: Principal, request: rbin.UpdateRuleRequest) -> rbin.UpdateRuleResponse:
    """Changes what the request names; a rule that is locked stays as it is."""
    now = services.now()
    with services.database.write_and_answer() as c:
        before = _find(c, principal, request.identifier)
        after = _changed(before, request)
        retention.check_change(before, after, now)
        others = [rule for rule in rows.list_rules(c, principal.account_id, principal.region) if rule.id != before.id]
        retention.check_room(after, others, is_new=False)
        rows.put(c, after)
    return rbin.UpdateRuleResponse(**_facts(after, now), lock_end_time=after.unlocked_at)


def _changed(rule: RetentionRule, request: rbin.UpdateRuleRequest) -> RetentionRule:
    changes: dict[str, Any] = {}
    if request.retention_period is not None:
        changes["retention_days"] = request.retention_period.retention_period_value
    if request.description is not None:
        changes["description"] = request.description
    if request.resource_type is not None:
        changes["resource_type"] = request.resource_type
    if request.resource_tags is not None:
        changes["resource_tags"] = _matches(request.resource_tags)
    if request.exclude_resource_tags is not None:
        changes["exclude_tags"] = _matches(request.exclude_resource_tags)
    return replace(rule, **changes)


def delete_rule(services: Services, principal: Principal, request: rbin.DeleteRuleRequest) -> rbin.DeleteRuleResponse:
    """Removes a rule; what is in the bin stays there for its time."""
    with services.database.write_and_answer() as c:
        rule = _find(c, principal, request.identifier)
        retention.check_unlocked(rule, services.now())
        rows.delete_rule(c, rule.id)
    return rbin.DeleteRuleResponse()


# ── locks ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def lock_rule(services: Services, principal: Principal, request: rbin.LockRuleRequest) -> rbin.LockRuleResponse:
    """Locks a Region-level rule; it can be unlocked only with the delay that is given here."""
    with services.database.write_and_answer() as c:
        days = request.lock_configuration.unlock_delay.unlock_delay_value
        rule = retention.lock(_find(c, principal, request.identifier), days, services.now())
        rows.put(c, rule)
    return rbin.LockRuleResponse(**_facts(rule, services.now()), lock_configuration=_lock_configuration(rule))


def unlock_rule(services: Services, principal: Principal, request: rbin.UnlockRuleRequest) -> rbin.UnlockRuleResponse:
    """Begins the delay after which the rule can be changed and deleted again."""
    with services.database.write_and_answer() as c:
        rule = retention.unlock(_find(c, principal, request.identifier), services.now())
        rows.put(c, rule)
    return rbin.UnlockRuleResponse(
        **_facts(rule, services.now()), lock_configuration=_lock_configuration(rule), lock_end_time=rule.unlocked_at
    )


# ── the rules' own tags ─────────────────────────────────────────────────────────────────────────────────────────────────


def tag_resource(
    services: Services, principal: Principal, request: rbin.TagResourceRequest
) -> rbin.TagResourceResponse:
    """Puts tags on a rule, over those with the same keys."""
    with services.database.write_and_answer() as c:
        rule = _find_arn(c, principal, request.resource_arn)
        rows.put_tags(c, rule.id, retention.check_tags(rows.tags(c, rule.id), _pairs(request.tags)))
    return rbin.TagResourceResponse()


def untag_resource(
    services: Services, principal: Principal, request: rbin.UntagResourceRequest
) -> rbin.UntagResourceResponse:
    """Takes the tags of these keys off a rule."""
    with services.database.write_and_answer() as c:
        rule = _find_arn(c, principal, request.resource_arn)
        left = {key: value for key, value in rows.tags(c, rule.id).items() if key not in request.tag_keys}
        rows.put_tags(c, rule.id, left)
    return rbin.UntagResourceResponse()


def list_tags_for_resource(
    services: Services, principal: Principal, request: rbin.ListTagsForResourceRequest
) -> rbin.ListTagsForResourceResponse:
    """The tags of a rule."""
    with services.database.read() as c:
        tags = rows.tags(c, _find_arn(c, principal, request.resource_arn).id)
    return rbin.ListTagsForResourceResponse(tags=[rbin.Tag(key=key, value=value) for key, value in tags.items()])


# ── what they share ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _find(c: Connection, principal: Principal, rule_id: str) -> RetentionRule:
    rule = rows.get(c, principal.account_id, principal.region, rule_id)
    if rule is None:
        raise retention.not_found(rule_id)
    return rule


def _find_arn(c: Connection, principal: Principal, arn: str) -> RetentionRule:
    rule = rows.get(c, principal.account_id, principal.region, arn.rpartition("/")[2])
    if rule is None or rule.arn != arn:
        raise retention.not_found(arn)
    return rule


def _mint(services: Services) -> str:
    """A new identifier: 11 letters and digits."""
    number = int.from_bytes(services.entropy(ID_LENGTH))
    made = "".join(ID_DIGITS[number // len(ID_DIGITS) ** place % len(ID_DIGITS)] for place in range(ID_LENGTH))
    note_made(made)
    return made


def _open_page(services: Services, principal: Principal, request: rbin.ListRulesRequest) -> Page:
    token = request.next_token
    asked = request if token is None else msgspec.structs.replace(request, next_token=token.translate(_FROM_WIRE))
    try:
        return open_page(services, principal, asked, PageBounds(size_max=PAGE_SIZE_MAX))
    except InvalidPaginationToken as refusal:
        raise RbinRefusal("ValidationException", "INVALID_PAGE_TOKEN", refusal.message) from None
    except InvalidParameterValue as refusal:
        raise RbinRefusal("ValidationException", retention.INVALID, refusal.message) from None


def _matches(tags: Sequence[rbin.ResourceTag] | None) -> tuple[TagMatch, ...]:
    return tuple(TagMatch(tag.resource_tag_key, tag.resource_tag_value) for tag in tags or [])


def _pairs(tags: Sequence[rbin.Tag] | None) -> list[tuple[str, str]]:
    return [(tag.key, tag.value) for tag in tags or []]


def _facts(rule: RetentionRule, now: datetime) -> dict[str, Any]:
    """What every answer says of a rule."""
    return {
        "identifier": rule.id,
        "description": rule.description,
        "resource_type": rule.resource_type,
        "retention_period": _period(rule),
        "resource_tags": _resource_tags(rule.resource_tags),
        "exclude_resource_tags": _resource_tags(rule.exclude_tags),
        "status": STATUS,
        "lock_state": rule.lock_state(now),
        "rule_arn": rule.arn,
    }


def _period(rule: RetentionRule) -> rbin.RetentionPeriod:
    return rbin.RetentionPeriod(retention_period_value=rule.retention_days, retention_period_unit="DAYS")


def _resource_tags(tags: Sequence[TagMatch]) -> list[rbin.ResourceTag]:
    return [rbin.ResourceTag(resource_tag_key=tag.key, resource_tag_value=tag.value) for tag in tags]


def _lock_configuration(rule: RetentionRule) -> rbin.LockConfiguration | None:
    if rule.unlock_delay_days is None:
        return None
    delay = rbin.UnlockDelay(unlock_delay_value=rule.unlock_delay_days, unlock_delay_unit="DAYS")
    return rbin.LockConfiguration(unlock_delay=delay)


OPERATIONS: Final[dict[str, Callable[[Services, Principal, Any], Any]]] = {
    "CreateRule": create_rule,
    "GetRule": get_rule,
    "ListRules": list_rules,
    "UpdateRule": update_rule,
    "DeleteRule": delete_rule,
    "LockRule": lock_rule,
    "UnlockRule": unlock_rule,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags_for_resource,
}
