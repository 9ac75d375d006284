"""The network that an account sees: record-only but for the addresses, which its guests really get."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vpc:
    """One virtual network."""

    id: str
    account_id: str
    region: str
    cidr: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class Subnet:
    """One zone's part of a VPC."""

    id: str
    account_id: str
    region: str
    vpc_id: str
    zone: str
    cidr: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A named group of interfaces; it has no rules yet, which is what the *slirp* mode does: nothing in, nothing out."""

    id: str
    account_id: str
    region: str
    vpc_id: str
    name: str
    description: str
