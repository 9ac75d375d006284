"""Security groups with their rules, and the interfaces that they guard."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint, text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

security_group = Table(
    "security_group",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("vpc_id", ForeignKey("vpc.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", String(255), nullable=False),
)
security_group_rule = Table(  # one source or destination; exactly one of the four that name it is there
    "security_group_rule",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("group_id", ForeignKey("security_group.id"), nullable=False, index=True),
    Column("is_egress", Boolean, nullable=False),
    Column("protocol", String(8), nullable=False),  # tcp | udp | icmp | icmpv6 | a number | -1: all
    Column("from_port", Integer),  # of icmp its type; NULL: protocols without ports
    Column("to_port", Integer),  # of icmp its code
    Column("cidr_ipv4", String(18)),
    Column("cidr_ipv6", String(43)),
    Column("prefix_list_id", String(32)),
    Column("referenced_group_id", ForeignKey("security_group.id"), index=True),
    Column("description", String(255)),
)
network_interface = Table(
    "network_interface",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("zone", String(32), nullable=False),
    Column("vpc_id", ForeignKey("vpc.id"), nullable=False, index=True),
    Column("subnet_id", ForeignKey("subnet.id"), nullable=False),
    Column("private_ip", String(15), nullable=False),
    Column("mac", String(17), nullable=False),
    Column("description", String(255), nullable=False),
    Column("has_source_dest_check", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("instance_id", ForeignKey("instance.id"), index=True),  # NULL: detached, as the rest of the attachment
    Column("attachment_id", String(32), unique=True),
    Column("device_index", Integer),
    Column("attached_at", Instant),
    Column("delete_on_termination", Boolean),
    UniqueConstraint("subnet_id", "private_ip"),
    Index("ix_network_interface_account_region", "account_id", "region"),
    Index(
        "uq_network_interface_device",
        "instance_id",
        "device_index",
        unique=True,
        sqlite_where=text("instance_id IS NOT NULL"),
        postgresql_where=text("instance_id IS NOT NULL"),
    ),
)
network_interface_group = Table(
    "network_interface_group",
    metadata,
    Column("interface_id", ForeignKey("network_interface.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", ForeignKey("security_group.id"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
)
