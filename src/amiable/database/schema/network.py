"""Networks: record-only but for the addresses."""

from sqlalchemy import Boolean, Column, ForeignKey, String, Table

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
)
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
