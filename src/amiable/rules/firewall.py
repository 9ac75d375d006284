"""Interfaces, groups and rules as one nftables ruleset: a function of values, golden-tested; ``nft -f -`` takes it whole or not at all.

    tap ─▶ spoof (raw): frame's MAC and source address are the interface's own, or it is dropped
        ─▶ input:    metadata, DHCP, a ping of the router; nothing else of the fabric itself is reached
        ─▶ forward:  established ─▶ accept;  new ─▶ out_<tap> ─▶ egress_<group>: mark;  in_<tap> ─▶ ingress_<group>: accept
    host ─▶ forward: new ─▶ in_<tap> ─▶ ingress_<group>: accept;  the way to the host is open to answers only

The absence of a rule is a drop.  What a group that a rule names has as members is a set.  There is one VPC in a fabric, so other
accounts' guests are not in it at all.  IPv6 is not carried: rules for it, and for prefix lists, let nothing in.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import Final

from amiable.model.link import TAP_PREFIX
from amiable.model.network import Firewall, NetworkInterface, SecurityGroupRule

TABLE: Final = "inet amiable"
METADATA_ADDRESS: Final = "169.254.169.254"
CLOSED: Final = Firewall((), {}, {})
"""No interface: nothing passes."""

_PORTS: Final = {"tcp": "tcp", "udp": "udp", "6": "tcp", "17": "udp"}
_NO_IPV4: Final = {"icmpv6", "58"}


def tap_name(interface_id: str) -> str:
    """The interface's tap in its VPC's fabric; a link's name has 15 characters."""
    return TAP_PREFIX + interface_id.removeprefix("eni-")[-14:]


def ruleset(firewall: Firewall, vpc_id: str) -> str:
    """The text that replaces what was enforced in the VPC's fabric before; connections that are tracked go on."""
    interfaces = [each for each in firewall.interfaces if each.vpc_id == vpc_id and each.attachment is not None]
    groups = sorted({group_id for interface in interfaces for group_id in interface.group_ids})
    rules = {group_id: firewall.rules.get(group_id, ()) for group_id in groups}
    named = sorted({rule.referenced_group_id or "" for some in rules.values() for rule in some} - {""})
    lines = [f"table {TABLE} {{}}", f"delete table {TABLE}", f"table {TABLE} {{"]
    lines += _identity_sets(interfaces)
    for group_id in named:
        lines += _set(f"members_{group_id}", "ipv4_addr", firewall.members.get(group_id, ()))
    lines += SPOOF
    lines += INPUT
    for group_id in groups:
        lines += _chain(f"egress_{group_id}", _permissions(rules[group_id], is_egress=True))
        lines += _chain(f"ingress_{group_id}", _permissions(rules[group_id], is_egress=False))
    for interface in interfaces:
        tap = tap_name(interface.id)
        lines += _chain(f"in_{tap}", [f"jump ingress_{each}" for each in interface.group_ids])
    lines += _chain("ingress", _dispatch("oifname", "in", interfaces))
    for interface in interfaces:
        tap = tap_name(interface.id)
        lines += _chain(f"out_{tap}", [f"jump egress_{each}" for each in interface.group_ids])
    lines += _chain("egress", _dispatch("iifname", "out", interfaces))
    lines += FORWARD
    return "\n".join([*lines, "}", ""])


def _block(kind: str, name: str, lines: Iterable[str]) -> list[str]:
    return [f"  {kind} {name} {{", *(f"    {line}" for line in lines), "  }"]


def _chain(name: str, lines: Iterable[str]) -> list[str]:
    return _block("chain", name, lines)


def _set(name: str, type_: str, elements: Iterable[str]) -> list[str]:
    inside = ", ".join(sorted(set(elements)))
    return _block("set", name, [f"type {type_}", *([f"elements = {{ {inside} }}"] if inside else [])])


def _identity_sets(interfaces: Iterable[NetworkInterface]) -> list[str]:
    checked, free = [], []
    for each in interfaces:
        tap = f'"{tap_name(each.id)}" . {each.mac}'
        free.append(tap)
        if each.has_source_dest_check:
            checked.append(f"{tap} . {each.private_ip}")
        else:
            checked.append(f"{tap} . 0.0.0.0/0")
    return [
        *_set("frames", "ifname . ether_addr", free),
        *_block(
            "set",
            "sources",
            [
                "type ifname . ether_addr . ipv4_addr",
                "flags interval",
                *([f"elements = {{ {', '.join(sorted(checked))} }}"] if checked else []),
            ],
        ),
    ]


SPOOF: Final = _chain(
    "spoof",
    [
        "type filter hook prerouting priority raw; policy accept;",
        f'iifname != "{TAP_PREFIX}*" accept',
        "meta nfproto != ipv4 drop",
        "iifname . ether saddr != @frames drop",
        "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
        "iifname . ether saddr . ip saddr != @sources drop",
        f"ip daddr {METADATA_ADDRESS} tcp dport 80 notrack",
    ],
) + _chain(
    "answers",
    [
        "type filter hook output priority raw; policy accept;",
        f"ip saddr {METADATA_ADDRESS} tcp sport 80 notrack",
    ],
)
"""A guest's metadata connections are not tracked: it cannot fill the table that its neighbours' connections are in."""

INPUT: Final = _chain(
    "input",
    [
        "type filter hook input priority filter; policy drop;",
        'iifname "lo" accept',
        f'iifname "{TAP_PREFIX}*" ip daddr {METADATA_ADDRESS} tcp dport 80 accept',
        f'iifname "{TAP_PREFIX}*" udp dport 67 accept',
        "ct state established,related accept",
        f'iifname "{TAP_PREFIX}*" icmp type echo-request limit rate 100/second accept',
        f'iifname "{TAP_PREFIX}*" meta l4proto {{ tcp, udp }} th dport 53 reject',
    ],
)
"""There is no resolver: a question is refused at once, so that no guest waits for an answer."""

FORWARD: Final = _chain(
    "forward",
    [
        "type filter hook forward priority filter; policy drop;",
        "ct state established,related accept",
        "ct state invalid drop",
        f'iifname "{TAP_PREFIX}*" meta mark set 0 jump egress',
        f'iifname "{TAP_PREFIX}*" meta mark 0 drop',
        "goto ingress",
    ],
)
"""Egress marks what it permits and returns: would it go on to ingress itself, the kernel would follow every pair of both."""


def _dispatch(key: str, chain: str, interfaces: Iterable[NetworkInterface]) -> list[str]:
    taps = [tap_name(each.id) for each in interfaces]
    pairs = ", ".join(f'"{tap}" : goto {chain}_{tap}' for tap in taps)
    return [f"{key} vmap {{ {pairs} }}"] if pairs else []


def _permissions(rules: Iterable[SecurityGroupRule], *, is_egress: bool) -> Iterator[str]:
    verdict = "meta mark set 1 return" if is_egress else "accept"
    for rule in sorted(rules, key=lambda each: each.id):
        peer = _peer(rule)
        if rule.is_egress is is_egress and peer is not None and rule.protocol not in _NO_IPV4:
            yield " ".join(filter(None, (peer, _traffic(rule), verdict)))


def _peer(rule: SecurityGroupRule) -> str | None:
    """The match on the other side's address; '' for all, None where it is none that IPv4 has."""
    field = "ip daddr" if rule.is_egress else "ip saddr"
    if rule.referenced_group_id is not None:
        return f"{field} @members_{rule.referenced_group_id}"
    if rule.cidr_ipv4 is None:
        return None
    network = IPv4Network(rule.cidr_ipv4, strict=False)
    return f"{field} {network}" if network.prefixlen else ""


def _traffic(rule: SecurityGroupRule) -> str:
    protocol, first, last = rule.protocol, rule.from_port, rule.to_port
    if protocol == "-1":
        return ""
    if protocol in _PORTS:
        name = _PORTS[protocol]
        if first is None or first < 0 or (first, last) == (0, 65535):
            return f"meta l4proto {name}"
        return f"{name} dport {first}" if last in (first, None) else f"{name} dport {first}-{last}"
    if protocol in ("icmp", "1"):
        if first is None or first < 0:
            return "meta l4proto icmp"
        return f"icmp type {first}" + (f" icmp code {last}" if last is not None and last >= 0 else "")
    return f"meta l4proto {int(protocol)}"
