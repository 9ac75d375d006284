"""The ruleset, compared whole with what is kept beside this file, and taken by nft; AMIABLE_WRITE_GOLDEN=1 writes it anew."""

import os
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.model.network import Firewall, SecurityGroupRule
from amiable.rules.firewall import CLOSED, ruleset, tap_name
from tests.rules.interfaces import interface

GOLDEN = Path(__file__).with_name("golden")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VPC = "vpc-1"


def rule(
    number: int, group: str, protocol: str = "-1", ports: tuple[int | None, int | None] = (None, None), **peer: Any
) -> SecurityGroupRule:
    facts: dict[str, Any] = {"is_egress": False, "from_port": ports[0], "to_port": ports[1], **peer}
    return SecurityGroupRule(f"sgr-{number:03}", "123456789012", "us-east-1", group, protocol=protocol, **facts)


ALL: dict[str, Any] = {"cidr_ipv4": "0.0.0.0/0"}
EVERY_KIND = (
    rule(1, "sg-a", is_egress=True, **ALL),
    rule(2, "sg-a", "tcp", (22, 22), cidr_ipv4="10.0.0.0/8"),
    rule(3, "sg-a", "tcp", (8000, 8999), referenced_group_id="sg-b"),
    rule(4, "sg-a", "udp", (0, 65535), cidr_ipv4="192.0.2.7/32"),
    rule(5, "sg-a", "icmp", (8, -1), **ALL),
    rule(6, "sg-a", "icmp", (3, 4), **ALL),
    rule(7, "sg-a", "icmp", (-1, -1), cidr_ipv4="198.51.100.9/24"),
    rule(8, "sg-a", "50", **ALL),
    rule(9, "sg-a", "tcp", (22, 22), cidr_ipv6="::/0"),
    rule(10, "sg-a", "icmpv6", (-1, -1), cidr_ipv6="::/0"),
    rule(11, "sg-a", "tcp", (22, 22), prefix_list_id="pl-1"),
    rule(12, "sg-a", referenced_group_id="sg-empty"),
)
CASES = {
    "closed": CLOSED,
    "two-groups": Firewall(
        (
            interface(4, "sg-a", "sg-b"),
            interface(5, "sg-b", checked=False),
            interface(6, "sg-a", vpc="vpc-2"),
            replace(interface(7, "sg-a"), attachment=None),
        ),
        {
            "sg-a": EVERY_KIND,
            "sg-b": (rule(20, "sg-b", "tcp", (443, 443), is_egress=True, referenced_group_id="sg-a"),),
        },
        {"sg-a": ("172.31.0.4",), "sg-b": ("172.31.0.5", "172.31.0.4"), "sg-empty": ()},
    ),
}


def take(text: str) -> subprocess.CompletedProcess[str]:
    """What nft says of the text, in a namespace that ends with it."""
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    nft = shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin")
    assert nft is not None
    return subprocess.run([*apart, nft, "-f", "-"], input=text, text=True, capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("name", CASES)
def test_the_ruleset_is_the_one_that_was_reviewed(name: str) -> None:
    path = GOLDEN / f"firewall-{name}.nft"
    text = ruleset(CASES[name], VPC)
    if os.environ.get("AMIABLE_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_a_tap_has_a_name_that_the_kernel_takes_and_no_two_interfaces_share() -> None:
    assert tap_name("eni-0123456789abcdef0") == "t3456789abcdef0"
    assert len(tap_name("eni-0123456789abcdef0")) == 15


@st.composite
def rules(draw: st.DrawFn, group: str) -> SecurityGroupRule:
    protocol = draw(st.sampled_from(["-1", "tcp", "udp", "icmp", "icmpv6", "6", "17", "1", "58", "47", "255", "0"]))
    first, last = sorted(draw(st.tuples(st.integers(-1, 65535), st.integers(-1, 65535))))
    ports: tuple[int | None, int | None] = (
        (first, last) if protocol in ("tcp", "udp", "6", "17") and first >= 0 else (None, None)
    )
    if protocol in ("icmp", "icmpv6", "1", "58"):
        ports = draw(st.integers(-1, 255)), draw(st.integers(-1, 255))
    peer = draw(
        st.one_of(
            st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda n: {"cidr_ipv4": _cidr(*n)}),
            st.sampled_from(["sg-0", "sg-1", "sg-2", "sg-none"]).map(lambda group: {"referenced_group_id": group}),
            st.just({"cidr_ipv6": "2001:db8::/32"}),
            st.just({"prefix_list_id": "pl-1"}),
        )
    )
    return rule(draw(st.integers(0, 999)), group, protocol, ports, is_egress=draw(st.booleans()), **peer)


def _cidr(address: int, bits: int) -> str:
    return f"{'.'.join(str(address >> shift & 255) for shift in (24, 16, 8, 0))}/{bits}"


@st.composite
def firewalls(draw: st.DrawFn) -> Firewall:
    names = ["sg-0", "sg-1", "sg-2"]
    some = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    interfaces = tuple(
        interface(4 + n, *draw(some), checked=draw(st.booleans())) for n in range(draw(st.integers(0, 4)))
    )
    return Firewall(
        interfaces,
        {name: tuple(draw(st.lists(rules(name), max_size=6))) for name in names},
        {name: tuple(each.private_ip for each in interfaces if name in each.group_ids) for name in names},
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(firewalls())
def test_nft_takes_whatever_groups_and_rules_there_are(firewall: Firewall) -> None:
    text = ruleset(firewall, VPC)
    done = take(text + text)  # the second replaces the first
    assert (done.returncode, done.stderr) == (0, "")


def test_the_most_that_quotas_allow_is_taken_in_time() -> None:
    groups = [f"sg-{number}" for number in range(5)]
    each = {
        name: tuple(
            rule(n, name, "tcp", (n, n), is_egress=n % 2 == 0, referenced_group_id=groups[n % 5]) for n in range(120)
        )
        for name in groups
    }
    many = tuple(interface(4 + n, *groups) for n in range(100))
    done = take(ruleset(Firewall(many, each, dict.fromkeys(groups, tuple(e.private_ip for e in many))), VPC))
    assert (done.returncode, done.stderr) == (0, "")
