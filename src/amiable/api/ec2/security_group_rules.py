"""Authorize, Revoke, Modify, Update… and DescribeSecurityGroupRules: the rules of a group.

    request ─▶ permissions · (IpPermissions, or the flat ones of old) ─▶ rules, one a peer ─▶ rules/security_group · ═ all or none

A permission gathers peers; a rule is one.  They are told apart by what they let through, not by their descriptions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.listing import Listing, Tagged, list_page, put_born_tags, those_named
from amiable.api.ec2.permissions import PeerReader, flat_in, permissions_in, rules_in
from amiable.api.ec2.security_group_views import revoked, rule_of
from amiable.api.ec2.security_groups import find_group
from amiable.api.ec2.tags import birth_tags
from amiable.database import network, security_groups, tags
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, MissingParameter
from amiable.model.network import SecurityGroup, SecurityGroupRule
from amiable.model.network_errors import InvalidPermissionNotFound
from amiable.model.principal import Principal
from amiable.rules.identifiers import check_form
from amiable.rules.security_group import (
    check_added,
    check_once,
    check_rule_description,
    ipv4_network,
    ipv6_network,
    same,
    told,
    traffic_of,
)
from amiable.services import Services
from amiable.wire.generated import ec2

NOUN: Final = "security_group_rule"


def authorize_security_group_ingress(
    services: Services, principal: Principal, request: ec2.AuthorizeSecurityGroupIngressRequest
) -> ec2.AuthorizeSecurityGroupIngressResult:
    """Lets more reach the interfaces of a group."""
    rules = _authorize(services, principal, request, Direction(request.group_id, request.group_name, is_egress=False))
    return ec2.AuthorizeSecurityGroupIngressResult(return_=True, security_group_rules=rules)


def authorize_security_group_egress(
    services: Services, principal: Principal, request: ec2.AuthorizeSecurityGroupEgressRequest
) -> ec2.AuthorizeSecurityGroupEgressResult:
    """Lets the interfaces of a group reach more."""
    rules = _authorize(services, principal, request, Direction(request.group_id, None, is_egress=True))
    return ec2.AuthorizeSecurityGroupEgressResult(return_=True, security_group_rules=rules)


@dataclass(frozen=True, slots=True)
class Direction:
    """The group that a request names, and which of its rules it is about."""

    group_id: str | None
    group_name: str | None
    is_egress: bool

    def find(self, c: Connection, principal: Principal) -> SecurityGroup:
        """The group."""
        return find_group(c, principal, self.group_id, self.group_name)

    def rules(self, c: Connection, group: SecurityGroup) -> list[SecurityGroupRule]:
        """The group's rules of the direction."""
        return [rule for rule in security_groups.rules_of(c, [group.id])[group.id] if rule.is_egress is self.is_egress]


def _authorize(
    services: Services,
    principal: Principal,
    request: ec2.AuthorizeSecurityGroupIngressRequest | ec2.AuthorizeSecurityGroupEgressRequest,
    direction: Direction,
) -> list[ec2.SecurityGroupRule]:
    born = birth_tags(request.tag_specifications, ("security-group-rule",))
    asked = permissions_in(request)
    with services.database.write() as c:
        group = direction.find(c, principal)
        reader = PeerReader.open(c, principal, group)
        added = [
            replace(rule, id=services.mint(ids.SECURITY_GROUP_RULE))
            for rule in rules_in(asked, reader, is_egress=direction.is_egress)
        ]
        check_once(added)
        check_added(direction.rules(c, group), added)
        raise_if_dry_run(request)
        security_groups.insert_rules(c, added)
        given = [put_born_tags(c, principal, rule.id, "security-group-rule", born) for rule in added]
    return [
        rule_of(rule, tagged, reader.vpc_of(rule.referenced_group_id))
        for rule, tagged in zip(added, given, strict=True)
    ]


def revoke_security_group_ingress(
    services: Services, principal: Principal, request: ec2.RevokeSecurityGroupIngressRequest
) -> ec2.RevokeSecurityGroupIngressResult:
    """Takes rules of what may reach the interfaces of a group."""
    direction = Direction(request.group_id, request.group_name, is_egress=False)
    gone = _revoke(services, principal, request, direction)
    return ec2.RevokeSecurityGroupIngressResult(return_=True, revoked_security_group_rules=gone)


def revoke_security_group_egress(
    services: Services, principal: Principal, request: ec2.RevokeSecurityGroupEgressRequest
) -> ec2.RevokeSecurityGroupEgressResult:
    """Takes rules of what the interfaces of a group may reach."""
    gone = _revoke(services, principal, request, Direction(request.group_id, None, is_egress=True))
    return ec2.RevokeSecurityGroupEgressResult(return_=True, revoked_security_group_rules=gone)


def _revoke(
    services: Services,
    principal: Principal,
    request: ec2.RevokeSecurityGroupIngressRequest | ec2.RevokeSecurityGroupEgressRequest,
    direction: Direction,
) -> list[ec2.RevokedSecurityGroupRule]:
    rule_ids = list(dict.fromkeys(request.security_group_rule_ids or []))
    check_form(NOUN, ids.SECURITY_GROUP_RULE, rule_ids)
    others = [*(["IpPermissions"] if request.ip_permissions else []), *flat_in(request)]
    if rule_ids and others:
        raise InvalidParameterCombination(
            f"The parameters SecurityGroupRuleIds and {others[0]} cannot be used together."
        )
    asked = [] if rule_ids else permissions_in(request)
    with services.database.write() as c:
        group = direction.find(c, principal)
        there = direction.rules(c, group)
        if rule_ids:
            gone = those_named(NOUN, rule_ids, there, lambda rule: rule.id)
        else:
            reader = PeerReader.open(c, principal, group)
            gone = _matching(there, rules_in(asked, reader, is_egress=direction.is_egress))
        raise_if_dry_run(request)
        security_groups.delete_rules(c, [rule.id for rule in gone])
        for rule in gone:
            tags.forget(c, rule.id)
    return [revoked(rule) for rule in gone]


def _matching(there: Sequence[SecurityGroupRule], asked: Sequence[SecurityGroupRule]) -> list[SecurityGroupRule]:
    """The rules that are there for those that are asked for; refuses one that is not."""
    known = {same(rule): rule for rule in there}
    for rule in asked:
        if same(rule) not in known:
            raise InvalidPermissionNotFound(rule=told(rule))
    return list({same(rule): known[same(rule)] for rule in asked}.values())


# ── changing rules that are there ───────────────────────────────────────────────────────────────────────────────────────


class Descriptions(Protocol):
    """A request that changes descriptions."""

    @property
    def ip_permissions(self) -> list[ec2.IpPermission] | None: ...
    @property
    def security_group_rule_descriptions(self) -> list[ec2.SecurityGroupRuleDescription] | None: ...
    @property
    def dry_run(self) -> bool | None: ...


def update_security_group_rule_descriptions_ingress(
    services: Services, principal: Principal, request: ec2.UpdateSecurityGroupRuleDescriptionsIngressRequest
) -> ec2.UpdateSecurityGroupRuleDescriptionsIngressResult:
    """Changes the descriptions of ingress rules; one that is not given is taken away."""
    _describe_anew(services, principal, request, Direction(request.group_id, request.group_name, is_egress=False))
    return ec2.UpdateSecurityGroupRuleDescriptionsIngressResult(return_=True)


def update_security_group_rule_descriptions_egress(
    services: Services, principal: Principal, request: ec2.UpdateSecurityGroupRuleDescriptionsEgressRequest
) -> ec2.UpdateSecurityGroupRuleDescriptionsEgressResult:
    """Changes the descriptions of egress rules; one that is not given is taken away."""
    _describe_anew(services, principal, request, Direction(request.group_id, request.group_name, is_egress=True))
    return ec2.UpdateSecurityGroupRuleDescriptionsEgressResult(return_=True)


def _describe_anew(services: Services, principal: Principal, request: Descriptions, direction: Direction) -> None:
    by_id = request.security_group_rule_descriptions or []
    if bool(by_id) == bool(request.ip_permissions):
        raise InvalidParameterCombination("Exactly one of IpPermissions and SecurityGroupRuleDescriptions is given.")
    with services.database.write() as c:
        group = direction.find(c, principal)
        there = direction.rules(c, group)
        if by_id:
            changed = list(_described_by_id(there, by_id))
        else:
            reader = PeerReader.open(c, principal, group)
            asked = rules_in(request.ip_permissions or [], reader, is_egress=direction.is_egress)
            texts = {same(rule): rule.description for rule in asked}
            changed = [replace(rule, description=texts[same(rule)]) for rule in _matching(there, asked)]
        raise_if_dry_run(request)
        for rule in changed:
            security_groups.update_rule(c, rule)


def _described_by_id(
    there: Sequence[SecurityGroupRule], asked: Sequence[ec2.SecurityGroupRuleDescription]
) -> Iterator[SecurityGroupRule]:
    for number, each in enumerate(asked, start=1):
        if not each.security_group_rule_id:
            raise MissingParameter(parameter=f"SecurityGroupRuleDescription.{number}.SecurityGroupRuleId")
        check_form(NOUN, ids.SECURITY_GROUP_RULE, [each.security_group_rule_id])
        check_rule_description(each.description)
        (rule,) = those_named(NOUN, [each.security_group_rule_id], there, lambda rule: rule.id)
        yield replace(rule, description=each.description or None)


def modify_security_group_rules(
    services: Services, principal: Principal, request: ec2.ModifySecurityGroupRulesRequest
) -> ec2.ModifySecurityGroupRulesResult:
    """Replaces what rules of a group say, whole; each keeps its id and direction."""
    if not request.security_group_rules:
        raise MissingParameter(parameter="SecurityGroupRule")
    check_form(NOUN, ids.SECURITY_GROUP_RULE, [each.security_group_rule_id for each in request.security_group_rules])
    with services.database.write_and_answer() as c:
        group = find_group(c, principal, request.group_id, None)
        there = {rule.id: rule for rule in security_groups.rules_of(c, [group.id])[group.id]}
        those_named(NOUN, [each.security_group_rule_id for each in request.security_group_rules], [*there], str)
        reader = PeerReader.open(c, principal, group)
        changed = {
            each.security_group_rule_id: _replaced(there[each.security_group_rule_id], each, reader)
            for each in request.security_group_rules
        }
        for is_egress in (False, True):
            kept = [rule for rule in there.values() if rule.is_egress is is_egress and rule.id not in changed]
            new = [rule for rule in changed.values() if rule.is_egress is is_egress]
            check_once(new)
            check_added(kept, new)
        raise_if_dry_run(request)
        for rule in changed.values():
            security_groups.update_rule(c, rule)
    return ec2.ModifySecurityGroupRulesResult(return_=True)


def _replaced(rule: SecurityGroupRule, update: ec2.SecurityGroupRuleUpdate, reader: PeerReader) -> SecurityGroupRule:
    asked = update.security_group_rule
    if asked is None:
        raise MissingParameter(parameter="SecurityGroupRule.SecurityGroupRule")
    check_rule_description(asked.description)
    protocol, from_port, to_port = traffic_of(asked.ip_protocol, asked.from_port, asked.to_port)
    peers = [asked.cidr_ipv4, asked.cidr_ipv6, asked.prefix_list_id, asked.referenced_group_id]
    if sum(peer is not None for peer in peers) != 1:
        raise InvalidParameterCombination(
            "Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId is given for a security group rule."
        )
    return replace(
        rule,
        protocol=protocol,
        from_port=from_port,
        to_port=to_port,
        cidr_ipv4=None if asked.cidr_ipv4 is None else ipv4_network(asked.cidr_ipv4),
        cidr_ipv6=None if asked.cidr_ipv6 is None else ipv6_network(asked.cidr_ipv6),
        prefix_list_id=None if asked.prefix_list_id is None else reader.prefix_list(asked.prefix_list_id),
        referenced_group_id=None if asked.referenced_group_id is None else reader.group_of(asked.referenced_group_id),
        description=asked.description or None,
    )


# ── describing them ─────────────────────────────────────────────────────────────────────────────────────────────────────

LISTING: Final[Listing[SecurityGroupRule]] = Listing(
    noun=NOUN,
    prefix=ids.SECURITY_GROUP_RULE,
    fields={"group-id": lambda v: (v.it.group_id,), "security-group-rule-id": lambda v: (v.id,)},
    read=security_groups.list_rules,
)


def describe_security_group_rules(
    services: Services, principal: Principal, request: ec2.DescribeSecurityGroupRulesRequest
) -> ec2.DescribeSecurityGroupRulesResult:
    """The rules of the caller's groups, one by one."""
    shown, token = list_page(services, principal, request, LISTING, request.security_group_rule_ids)
    vpcs: Mapping[str | None, str] = {}
    if any(each.it.referenced_group_id for each in shown):
        with services.database.read() as c:
            mine = network.list_security_groups(c, principal.account_id, principal.region)
        vpcs = {group.id: group.vpc_id for group in mine}
    rules = [_told(each, vpcs) for each in shown]
    return ec2.DescribeSecurityGroupRulesResult(security_group_rules=rules, next_token=token)


def _told(rule: Tagged[SecurityGroupRule], vpcs: Mapping[str | None, str]) -> ec2.SecurityGroupRule:
    return rule_of(rule.it, rule.tags, vpcs.get(rule.it.referenced_group_id))
