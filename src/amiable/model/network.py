"""The network that an account sees.

    vpc ─┬─ subnet ──── network interface ──── instance
         │                 │        └──────── (elastic) address
         ├─ security group ┘── rules
         ├─ route table ── routes, associations
         ├─ internet gateway
         └─ network ACL, DHCP options

Addresses are really given to guests.  Which of the rest is enforced, and which only recorded: ``docs/network.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

ALL_PROTOCOLS: Final = "-1"


@dataclass(frozen=True, slots=True)
class Vpc:
    """One virtual network."""

    id: str
    account_id: str
    region: str
    cidr: str
    is_default: bool
    dhcp_options_id: str | None = None
    has_dns_support: bool = True
    has_dns_hostnames: bool = True


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
    maps_public_ip: bool = False


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A named group of interfaces."""

    id: str
    account_id: str
    region: str
    vpc_id: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class SecurityGroupRule:
    """What may reach a group's interfaces (or, egress, what they may reach): one protocol, one range of ports, one peer.

    ``protocol`` is tcp, udp, icmp, icmpv6, another number, or ``-1`` for all.  Ports are those of tcp and udp; of icmp and icmpv6
    ``from_port`` is the type and ``to_port`` the code, -1 any; else None.  Exactly one of the four peers is there.
    """

    id: str
    account_id: str
    region: str
    group_id: str
    is_egress: bool
    protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidr_ipv4: str | None = None
    cidr_ipv6: str | None = None
    prefix_list_id: str | None = None
    referenced_group_id: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """An interface's place in an instance; index 0 is the primary one, which comes and goes with it."""

    id: str
    instance_id: str
    device_index: int
    attached_at: datetime
    delete_on_termination: bool


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """One interface with its one private address; in no instance while ``attachment`` is None."""

    id: str
    account_id: str
    region: str
    zone: str
    vpc_id: str
    subnet_id: str
    private_ip: str
    mac: str
    group_ids: tuple[str, ...]
    description: str
    has_source_dest_check: bool
    created_at: datetime
    attachment: Attachment | None = None

    @property
    def status(self) -> str:
        """EC2's word."""
        return "available" if self.attachment is None else "in-use"


@dataclass(frozen=True, slots=True)
class Firewall:
    """What a host enforces: its interfaces, the rules of their groups, and the addresses that the groups stand for.

    ``rules`` has a row for each group of ``interfaces``; ``members`` one for each group that a rule refers to: the private
    addresses of its attached interfaces, on whatever host.
    """

    interfaces: tuple[NetworkInterface, ...]
    rules: Mapping[str, tuple[SecurityGroupRule, ...]]
    members: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class DhcpOptions:
    """What guests are told by DHCP: one set an account and region, EC2's defaults."""

    id: str
    account_id: str
    region: str


@dataclass(frozen=True, slots=True)
class NetworkAcl:
    """A VPC's only access list: it lets everything through."""

    id: str
    account_id: str
    region: str
    vpc_id: str


@dataclass(frozen=True, slots=True)
class InternetGateway:
    """A gateway; ``vpc_id`` None: attached to none."""

    id: str
    account_id: str
    region: str
    vpc_id: str | None


@dataclass(frozen=True, slots=True)
class Route:
    """Where a table sends what goes to ``destination`` (a network); the VPC's own (``local``) is not among them."""

    destination: str
    gateway_id: str | None = None
    interface_id: str | None = None


@dataclass(frozen=True, slots=True)
class RouteTableAssociation:
    """A table serves a subnet, or (None) is its VPC's main table."""

    id: str
    route_table_id: str
    subnet_id: str | None

    @property
    def is_main(self) -> bool:
        return self.subnet_id is None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A table with its routes and whom it serves."""

    id: str
    account_id: str
    region: str
    vpc_id: str
    routes: tuple[Route, ...] = ()
    associations: tuple[RouteTableAssociation, ...] = ()

    @property
    def is_main(self) -> bool:
        return any(each.is_main for each in self.associations)


@dataclass(frozen=True, slots=True)
class Address:
    """An elastic address, and the interface that it stands for while ``association_id`` is there."""

    id: str
    account_id: str
    region: str
    public_ip: str
    created_at: datetime
    association_id: str | None = None
    interface_id: str | None = None
    private_ip: str | None = None
