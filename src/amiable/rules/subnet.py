"""Which networks a VPC and its subnets may have.  Source: EC2 API, CreateVpc, CreateSubnet; VPC User Guide, "Subnet sizing"."""

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Final

from amiable.model.errors import InvalidParameterValue
from amiable.model.network import Subnet, Vpc
from amiable.model.network_errors import InvalidSubnetConflict, InvalidSubnetRange, InvalidVpcRange

VPCS_MAX: Final = 5
SUBNETS_MAX: Final = 200
BITS_MIN: Final = 16
BITS_MAX: Final = 28
UNUSABLE: Final = tuple(
    IPv4Network(each) for each in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)
"""What no host has as its address, and where the metadata service is."""


def vpc_network(cidr: str) -> str:
    """The network of a new VPC, without host bits."""
    network = read_network(cidr)
    if not BITS_MIN <= network.prefixlen <= BITS_MAX or any(network.overlaps(each) for each in UNUSABLE):
        raise InvalidVpcRange(cidr=cidr)
    return str(network)


def subnet_network(cidr: str, vpc: Vpc, there: Iterable[Subnet]) -> str:
    """The network of a new subnet, without host bits: a part of the VPC's that overlaps none of ``there``."""
    network = read_network(cidr)
    if not BITS_MIN <= network.prefixlen <= BITS_MAX or not network.subnet_of(IPv4Network(vpc.cidr)):
        raise InvalidSubnetRange(cidr=cidr, hint=f"a subnet is a /{BITS_MIN} to /{BITS_MAX} within {vpc.cidr}")
    for each in there:
        if each.vpc_id == vpc.id and network.overlaps(IPv4Network(each.cidr)):
            raise InvalidSubnetConflict(cidr=str(network), subnet_id=each.id, other=each.cidr)
    return str(network)


def read_network(cidr: str) -> IPv4Network:
    """The IPv4 network that the text names; refuses what is none."""
    try:
        if "/" not in cidr:
            raise ValueError("no prefix length")
        return IPv4Network(cidr, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise InvalidParameterValue(
            f"Value ({cidr}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ) from None
