"""Networks: VPCs with what belongs to one, and the addresses that an account holds.  Routes, ACLs and gateways are record-only."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, false, text, true

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

vpc = Table(
    "vpc",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("cidr", String(32), nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("dhcp_options_id", String(32)),
    Column("has_dns_support", Boolean, nullable=False, server_default=true()),
    Column("has_dns_hostnames", Boolean, nullable=False, server_default=true()),
)
subnet = Table(
    "subnet",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("vpc_id", ForeignKey("vpc.id"), nullable=False),
    Column("zone", String(32), nullable=False),
    Column("cidr", String(32), nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("maps_public_ip", Boolean, nullable=False, server_default=false()),
)
default_network = Table(  # what an account was given once: what it deleted does not come back at the next start
    "default_network",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("zone", String(32), primary_key=True),
)
dhcp_options = Table(
    "dhcp_options",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
)
network_acl = Table(
    "network_acl",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("vpc_id", ForeignKey("vpc.id"), nullable=False, unique=True),
)
internet_gateway = Table(
    "internet_gateway",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("vpc_id", ForeignKey("vpc.id"), unique=True),  # NULL: detached
)
route_table = Table(
    "route_table",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("vpc_id", ForeignKey("vpc.id"), nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
)
route_table_association = Table(
    "route_table_association",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("route_table_id", ForeignKey("route_table.id"), nullable=False, index=True),
    Column("subnet_id", ForeignKey("subnet.id"), unique=True),  # NULL: the VPC's main table
)
route = Table(  # the local route is not a row
    "route",
    metadata,
    Column("route_table_id", ForeignKey("route_table.id"), primary_key=True),
    Column("destination", String(64), primary_key=True),  # an IPv4 or IPv6 network
    Column("gateway_id", String(32)),
    Column("interface_id", String(32)),
)
address = Table(
    "address",
    metadata,
    Column("id", String(32), primary_key=True),  # eipalloc-
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("public_ip", String(15), nullable=False, unique=True),
    Column("association_id", String(32), unique=True),
    Column("interface_id", ForeignKey("network_interface.id")),
    Column("private_ip", String(15)),
    Column("created_at", Instant, nullable=False),
    Index(
        "uq_address_interface_id",
        "interface_id",
        unique=True,
        sqlite_where=text("interface_id IS NOT NULL"),
        postgresql_where=text("interface_id IS NOT NULL"),
    ),
)
