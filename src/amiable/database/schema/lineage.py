"""Reports of who uses an image, and the log of what was done to the installation.

The log is append-only, and the database itself holds it so: triggers of migration 0008 refuse every UPDATE and DELETE.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

image_usage_report = Table(
    "image_usage_report",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("image_id", String(32), nullable=False, index=True),
    Column("state", String(16), nullable=False),  # pending | available | error
    Column("state_reason", String(1000)),
    Column("account_ids", Text),  # space-separated: whose use counts; absent: everybody's
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Index("ix_image_usage_report_account_region", "account_id", "region"),
)
image_usage_report_type = Table(
    "image_usage_report_type",
    metadata,
    Column("report_id", ForeignKey("image_usage_report.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("resource_type", String(64), nullable=False),
    Column("version_depth", Integer),  # of launch templates: how many versions count
)
image_usage_report_entry = Table(
    "image_usage_report_entry",
    metadata,
    Column("report_id", ForeignKey("image_usage_report.id", ondelete="CASCADE"), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("account_id", String(12), primary_key=True),
    Column("usage_count", BigInteger, nullable=False),
)
event = Table(
    "event",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("request_id", String(36), nullable=False, index=True),
    Column("account_id", String(12), nullable=False),
    Column("access_key_id", String(32), nullable=False),
    Column("address", String(64), nullable=False),
    Column("user_agent", String(255), nullable=False),
    Column("region", String(32), nullable=False),
    Column("service", String(32), nullable=False),
    Column("action", String(64), nullable=False),
    Column("resource_ids", Text, nullable=False),  # space-separated, named and made ones; not queried
    Column("parameters", Text, nullable=False),  # JSON, without secrets; not queried
    Column("outcome", String(16), nullable=False),  # done | refused | failed
    Column("error_code", String(128)),
    Column("created_at", Instant, nullable=False),
    Column("principal_arn", String(255)),  # None: written before it was kept
    Index("ix_event_account_number", "account_id", "number"),
    Index("ix_event_created_at", "created_at"),
    sqlite_autoincrement=True,  # numbers are never used again
)
