"""What a security group and its rules may say, and when two rules are the same one.

A rule is one protocol, one range of ports and one peer; its description does not tell it apart from another.  What EC2 writes
in other ways comes out in one: ``6`` is ``tcp``, networks lose their host bits, ports of protocols without any are dropped.
Source: EC2 API, IpPermission, CreateSecurityGroup; VPC User Guide, "Security group rules", "Amazon VPC quotas".
"""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError
from typing import Final

from amiable.model.errors import InvalidParameterValue, MissingParameter
from amiable.model.network import ALL_PROTOCOLS, SecurityGroupRule
from amiable.model.network_errors import (
    InvalidGroupReserved,
    InvalidPermissionDuplicate,
    RulesPerSecurityGroupLimitExceeded,
    SecurityGroupsPerInterfaceLimitExceeded,
)

GROUPS_MAX: Final = 2500
RULES_MAX: Final = 60
"""In each direction, of each IP version; a rule that names a group or a prefix list counts as one of both."""
GROUPS_PER_INTERFACE_MAX: Final = 5
TEXT_CHARACTERS_MAX: Final = 255
PORT_MAX: Final = 65_535
ICMP_MAX: Final = 255
PROTOCOL_DIGITS_MAX: Final = 3

NAMES: Final = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
"""Protocols that EC2 calls by name, whichever way they are asked for."""
WITH_PORTS: Final = ("tcp", "udp")
WITH_TYPES: Final = ("icmp", "icmpv6")

CHARACTERS: Final = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
_TEXT = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*")

Traffic = tuple[str, int | None, int | None]
Same = tuple[str, int | None, int | None, str | None, str | None, str | None, str | None]


def check_name(name: str) -> None:
    """Refuses a name that a group cannot have."""
    if not name:
        raise MissingParameter(parameter="GroupName")
    if len(name) > TEXT_CHARACTERS_MAX or not _TEXT.fullmatch(name) or name != name.strip():
        raise InvalidParameterValue(
            f"Value ({name[:TEXT_CHARACTERS_MAX]}) for parameter GroupName is invalid. "
            f"Character sets beyond {CHARACTERS} are not supported, nor more than {TEXT_CHARACTERS_MAX} characters."
        )
    if name.lower().startswith("sg-"):
        raise InvalidParameterValue("Group names may not be in the format sg-*.")
    if name == "default":
        raise InvalidGroupReserved(name=name)


def check_description(description: str) -> None:
    """Refuses a description that a group cannot have."""
    if not description:
        raise MissingParameter(parameter="GroupDescription")
    check_text(description, "security group")


def check_rule_description(description: str | None) -> None:
    """Refuses a description that a rule cannot have."""
    check_text(description or "", "rule")


def check_text(text: str, what: str) -> None:
    """Refuses a description of ``what`` that is too long or has characters that EC2 does not take."""
    if len(text) > TEXT_CHARACTERS_MAX or not _TEXT.fullmatch(text):
        raise InvalidParameterValue(
            f"Invalid {what} description. Valid descriptions are strings less than {TEXT_CHARACTERS_MAX + 1} characters "
            f"from the following set: {CHARACTERS}"
        )


def traffic_of(protocol: str | None, from_port: int | None, to_port: int | None) -> Traffic:
    """Protocol and ports as a rule keeps them; refuses what means nothing."""
    if protocol is None:
        raise MissingParameter(parameter="IpProtocol")
    name = NAMES.get(protocol, protocol.lower())
    if name in WITH_PORTS:
        return name, *_ports(from_port, to_port)
    if name in WITH_TYPES:
        return name, *_types(name, from_port, to_port)
    if name in (ALL_PROTOCOLS, "all"):
        return ALL_PROTOCOLS, None, None
    if not (name.isascii() and name.isdigit() and len(name) <= PROTOCOL_DIGITS_MAX and int(name) <= ICMP_MAX):
        raise InvalidParameterValue(f"Invalid value '{protocol[:40]}' for IP protocol. Unknown protocol.")
    return str(int(name)), None, None


def _ports(first: int | None, last: int | None) -> tuple[int, int]:
    if first is None or last is None:
        raise InvalidParameterValue("Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
    for port in (first, last):
        if not 0 <= port <= PORT_MAX:
            raise InvalidParameterValue(f"TCP/UDP port ({port}) out of range")
    if first > last:
        raise InvalidParameterValue(f"Invalid TCP/UDP port range ({first}:{last})")
    return first, last


def _types(name: str, type_: int | None, code: int | None) -> tuple[int, int]:
    if type_ is None and code is None and name == "icmpv6":
        return -1, -1
    if type_ is None or code is None:
        raise InvalidParameterValue("Invalid value 'Must specify both from and to ports with ICMP.' for portRange.")
    for what, number in (("type", type_), ("code", code)):
        if not -1 <= number <= ICMP_MAX:
            raise InvalidParameterValue(f"ICMP {what} ({number}) out of range")
    if type_ == -1 and code != -1:
        raise InvalidParameterValue(f"ICMP code ({code}) cannot be given without a type")
    return type_, code


def ipv4_network(cidr: str, what: str = "CIDR block") -> str:
    """The network without host bits; refuses what is none."""
    try:
        if "/" not in cidr:
            raise ValueError("no prefix length")
        return str(IPv4Network(cidr, strict=False))
    except (AddressValueError, NetmaskValueError, ValueError):
        raise InvalidParameterValue(f"{what} {cidr} is malformed") from None


def ipv6_network(cidr: str) -> str:
    """The network without host bits; refuses what is none."""
    try:
        if "/" not in cidr or "%" in cidr:
            raise ValueError("no prefix length, or a scope")
        return str(IPv6Network(cidr, strict=False))
    except (AddressValueError, NetmaskValueError, ValueError):
        raise InvalidParameterValue(f"CIDR block {cidr} is malformed") from None


def same(rule: SecurityGroupRule) -> Same:
    """What makes a rule of a group and a direction the one it is."""
    return (
        rule.protocol,
        rule.from_port,
        rule.to_port,
        rule.cidr_ipv4,
        rule.cidr_ipv6,
        rule.prefix_list_id,
        rule.referenced_group_id,
    )


def told(rule: SecurityGroupRule) -> str:
    """The rule in EC2's words: ``peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW``."""
    peer = rule.cidr_ipv4 or rule.cidr_ipv6 or rule.prefix_list_id or rule.referenced_group_id
    protocol = "ALL" if rule.protocol == ALL_PROTOCOLS else rule.protocol.upper()
    ports = "" if rule.from_port is None else f", from port: {rule.from_port}, to port: {rule.to_port}"
    return f"peer: {peer}, {protocol}{ports}, ALLOW"


def check_once(rules: Sequence[SecurityGroupRule]) -> None:
    """Refuses a request that says one rule twice."""
    if len({same(rule) for rule in rules}) < len(rules):
        raise InvalidParameterValue("The same permission must not appear multiple times")


def check_added(there: Sequence[SecurityGroupRule], added: Sequence[SecurityGroupRule]) -> None:
    """Refuses rules that a group has already in this direction, and more than it may have."""
    known = {same(rule) for rule in there}
    for rule in added:
        if same(rule) in known:
            raise InvalidPermissionDuplicate(rule=told(rule))
    after = [*there, *added]
    for other_version in ("cidr_ipv6", "cidr_ipv4"):
        if sum(getattr(rule, other_version) is None for rule in after) > RULES_MAX:
            raise RulesPerSecurityGroupLimitExceeded(maximum=RULES_MAX)


def check_groups(group_ids: Sequence[str]) -> None:
    """Refuses more groups than an interface may be in."""
    if len(group_ids) > GROUPS_PER_INTERFACE_MAX:
        raise SecurityGroupsPerInterfaceLimitExceeded(maximum=GROUPS_PER_INTERFACE_MAX)
