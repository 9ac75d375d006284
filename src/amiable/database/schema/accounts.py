"""The installation's accounts, their keys and certificates."""

from sqlalchemy import Boolean, Column, ForeignKey, LargeBinary, String, Table, Text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

account = Table(
    "account",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("is_administrator", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("is_partner", Boolean),  # may register kernels; absent: no
    Column("owner_alias", String(32)),  # amazon, …: what DescribeImages says of its images; set by the administrator
)
organization = Table(
    "organization",
    metadata,
    Column("id", String(40), primary_key=True),  # o- and 10 to 32 letters and digits
    Column("account_id", ForeignKey("account.id"), nullable=False),  # the management account
    Column("name", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
)
organizational_unit = Table(
    "organizational_unit",
    metadata,
    Column("id", String(80), primary_key=True),  # ou-ROOT-UNIT
    Column("organization_id", ForeignKey("organization.id"), nullable=False, index=True),
    Column("parent_id", ForeignKey("organizational_unit.id")),  # absent: directly below the root
    Column("name", String(128), nullable=False),
)
organization_member = Table(
    "organization_member",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),  # an account is in one organization at most
    Column("organization_id", ForeignKey("organization.id"), nullable=False, index=True),
    Column("unit_id", ForeignKey("organizational_unit.id")),  # absent: directly below the root
)
access_key = Table(
    "access_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("secret_sealed", LargeBinary, nullable=False),  # by the installation's key
    Column("state", String(16), nullable=False),  # active | inactive
    Column("created_at", Instant, nullable=False),
)
signing_certificate = Table(
    "signing_certificate",
    metadata,
    Column("id", String(64), primary_key=True),  # 24 to 64 letters and digits
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("pem", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
)
