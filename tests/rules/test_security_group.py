"""Rules of security groups come into one spelling, whichever way they were asked for."""

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import InvalidParameterValue, Refusal
from amiable.model.network import SecurityGroupRule
from amiable.rules.security_group import (
    NAMES,
    RULES_MAX,
    check_added,
    check_name,
    ipv4_network,
    ipv6_network,
    same,
    told,
    traffic_of,
)

PORTS = st.none() | st.integers(-2, 65_537)


def rule(number: int = 0, **facts: Any) -> SecurityGroupRule:
    values: dict[str, Any] = {
        "protocol": "tcp",
        "from_port": 22,
        "to_port": 22,
        "cidr_ipv4": f"10.{number}.0.0/16",
        **facts,
    }
    return SecurityGroupRule("sgr-1", "1", "r", "sg-1", False, **values)


@given(
    st.one_of(st.sampled_from(["tcp", "UDP", "icmp", "icmpv6", "-1", "all", *NAMES]), st.text(max_size=4)), PORTS, PORTS
)
def test_traffic_is_refused_or_stays_as_it_came_out(protocol: str, first: int | None, last: int | None) -> None:
    try:
        kept = traffic_of(protocol, first, last)
    except InvalidParameterValue:
        return
    assert traffic_of(*kept) == kept
    assert kept[0] not in NAMES and kept[0] == kept[0].lower()


@pytest.mark.parametrize("protocol", ["256", "1" * 5000, "٢٢", "-2", "tcp\n"], ids=len)
def test_a_protocol_that_is_none_is_refused(protocol: str) -> None:
    with pytest.raises(InvalidParameterValue, match="Unknown protocol"):
        traffic_of(protocol, 1, 1)


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_an_ipv4_network_loses_its_host_bits_and_stays(address: object, bits: int) -> None:
    kept = ipv4_network(f"{address}/{bits}")
    assert ipv4_network(kept) == kept == str(ip_network(kept))


@given(st.ip_addresses(v=6), st.integers(0, 128))
def test_an_ipv6_network_loses_its_host_bits_and_stays(address: object, bits: int) -> None:
    kept = ipv6_network(f"{address}/{bits}")
    assert ipv6_network(kept) == kept == str(ip_network(kept))


@given(st.text(max_size=20))
def test_what_is_no_network_is_refused_by_name(text: str) -> None:
    for read in (ipv4_network, ipv6_network):
        try:
            kept = read(text)
        except InvalidParameterValue as refusal:
            assert "is malformed" in refusal.message
        else:
            assert str(ip_network(kept)) == kept


def test_a_description_does_not_tell_rules_apart() -> None:
    assert same(rule(description="a")) == same(rule())
    assert same(rule(protocol="udp")) != same(rule())
    assert told(rule()) == "peer: 10.0.0.0/16, TCP, from port: 22, to port: 22, ALLOW"


def test_a_rule_that_names_a_group_counts_for_both_ip_versions() -> None:
    group = rule(cidr_ipv4=None, referenced_group_id="sg-2")
    check_added([rule(number) for number in range(RULES_MAX - 1)], [group])
    with pytest.raises(Refusal) as full:
        check_added([rule(number) for number in range(RULES_MAX)], [group])
    assert full.value.code == "RulesPerSecurityGroupLimitExceeded"
    ipv6 = [rule(cidr_ipv4=None, cidr_ipv6=f"fd00:{number:x}::/32") for number in range(RULES_MAX)]
    check_added([rule(number) for number in range(RULES_MAX)], ipv6)


@pytest.mark.parametrize("name", ["web", "Web 1.0 (a)", "launch-wizard-1", "#,@[]+=&;{}!$*"])
def test_names_that_ec2_takes(name: str) -> None:
    check_name(name)
