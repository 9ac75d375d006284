"""Networks of VPCs and subnets: parts of what they lie in, which overlap nothing."""

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import Refusal
from amiable.model.network import Subnet, Vpc
from amiable.rules.subnet import BITS_MAX, BITS_MIN, subnet_network, vpc_network

VPC = Vpc("vpc-1", "1", "r", "10.0.0.0/16", False)
CIDRS = st.builds(lambda address, bits: f"{address}/{bits}", st.ip_addresses(v=4), st.integers(0, 32))
INSIDE = st.builds(lambda low, bits: f"10.0.{low}.0/{bits}", st.integers(0, 255), st.integers(14, 30))


@given(CIDRS)
def test_a_vpc_has_a_network_of_its_size_or_none(cidr: str) -> None:
    try:
        kept = IPv4Network(vpc_network(cidr))
    except Refusal as refusal:
        assert refusal.code == "InvalidVpcRange"
    else:
        assert BITS_MIN <= kept.prefixlen <= BITS_MAX and not kept.is_loopback and not kept.is_link_local


@given(st.lists(CIDRS | INSIDE, max_size=30))
def test_subnets_that_are_taken_never_overlap_and_lie_in_their_vpc(cidrs: list[str]) -> None:
    there: list[Subnet] = []
    for number, cidr in enumerate(cidrs):
        try:
            kept = subnet_network(cidr, VPC, there)
        except Refusal as refusal:
            assert refusal.code in ("InvalidSubnet.Range", "InvalidSubnet.Conflict")
        else:
            there.append(Subnet(f"subnet-{number}", "1", "r", VPC.id, "z", kept, False))
    networks = [IPv4Network(subnet.cidr) for subnet in there]
    assert all(network.subnet_of(IPv4Network(VPC.cidr)) for network in networks)
    assert not any(a.overlaps(b) for place, a in enumerate(networks) for b in networks[:place])
