"""How the rules of security groups look on the wire: one by one, and gathered by protocol and ports as EC2 always told them."""

from collections.abc import Mapping, Sequence
from typing import Final

from amiable.api.ec2.tags import tag_set
from amiable.model.network import ALL_PROTOCOLS, SecurityGroupRule
from amiable.rules.security_group import Traffic
from amiable.wire.generated import ec2

NO_PORT: Final = -1
"""What DescribeSecurityGroupRules says of a rule without ports."""


def permissions_of(rules: Sequence[SecurityGroupRule]) -> list[ec2.IpPermission]:
    """The rules of one direction, a permission for each protocol and range of ports, peers in order."""
    gathered: dict[Traffic, list[SecurityGroupRule]] = {}
    for rule in sorted(rules, key=_order):
        gathered.setdefault((rule.protocol, rule.from_port, rule.to_port), []).append(rule)
    return [_permission(traffic, some) for traffic, some in gathered.items()]


def _order(rule: SecurityGroupRule) -> tuple[str, int, int, str]:
    peer = rule.cidr_ipv4 or rule.cidr_ipv6 or rule.prefix_list_id or rule.referenced_group_id or ""
    first, last = (NO_PORT if port is None else port for port in (rule.from_port, rule.to_port))
    return rule.protocol, first, last, peer


def _permission(traffic: Traffic, rules: Sequence[SecurityGroupRule]) -> ec2.IpPermission:
    protocol, from_port, to_port = traffic
    return ec2.IpPermission(
        ip_protocol=protocol,
        from_port=from_port,
        to_port=to_port,
        ip_ranges=[
            ec2.IpRange(cidr_ip=rule.cidr_ipv4, description=rule.description) for rule in rules if rule.cidr_ipv4
        ],
        ipv6_ranges=[
            ec2.Ipv6Range(cidr_ipv6=rule.cidr_ipv6, description=rule.description) for rule in rules if rule.cidr_ipv6
        ],
        prefix_list_ids=[
            ec2.PrefixListId(prefix_list_id=rule.prefix_list_id, description=rule.description)
            for rule in rules
            if rule.prefix_list_id
        ],
        user_id_group_pairs=[
            ec2.UserIdGroupPair(
                group_id=rule.referenced_group_id, user_id=rule.account_id, description=rule.description
            )
            for rule in rules
            if rule.referenced_group_id
        ],
    )


def rule_of(rule: SecurityGroupRule, tags: Mapping[str, str], vpc_id: str | None = None) -> ec2.SecurityGroupRule:
    """One rule; ``vpc_id`` is that of the group that it names."""
    reference = ec2.ReferencedSecurityGroup(group_id=rule.referenced_group_id, user_id=rule.account_id, vpc_id=vpc_id)
    return ec2.SecurityGroupRule(
        security_group_rule_id=rule.id,
        group_id=rule.group_id,
        group_owner_id=rule.account_id,
        is_egress=rule.is_egress,
        ip_protocol=rule.protocol,
        from_port=port_told(rule, rule.from_port),
        to_port=port_told(rule, rule.to_port),
        cidr_ipv4=rule.cidr_ipv4,
        cidr_ipv6=rule.cidr_ipv6,
        prefix_list_id=rule.prefix_list_id,
        referenced_group_info=reference if rule.referenced_group_id else None,
        description=rule.description,
        tags=tag_set(tags),
        security_group_rule_arn=f"arn:aws:ec2:{rule.region}:{rule.account_id}:security-group-rule/{rule.id}",
    )


def port_told(rule: SecurityGroupRule, port: int | None) -> int | None:
    """A port as rules are told one by one: -1 where the protocol is all of them."""
    return NO_PORT if rule.protocol == ALL_PROTOCOLS else port


def revoked(rule: SecurityGroupRule) -> ec2.RevokedSecurityGroupRule:
    """One rule that is gone."""
    return ec2.RevokedSecurityGroupRule(
        security_group_rule_id=rule.id,
        group_id=rule.group_id,
        is_egress=rule.is_egress,
        ip_protocol=rule.protocol,
        from_port=port_told(rule, rule.from_port),
        to_port=port_told(rule, rule.to_port),
        cidr_ipv4=rule.cidr_ipv4,
        cidr_ipv6=rule.cidr_ipv6,
        prefix_list_id=rule.prefix_list_id,
        referenced_group_id=rule.referenced_group_id,
        description=rule.description,
    )
