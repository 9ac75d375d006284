"""What the Recycle Bin keeps, and for how long; and locks of snapshots.  What is in the bin says so in its own row."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

retention_rule = Table(
    "retention_rule",
    metadata,
    Column("id", String(11), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("resource_type", String(16), nullable=False),  # EC2_IMAGE | EBS_SNAPSHOT
    Column("description", String(255)),
    Column("retention_days", Integer, nullable=False),
    Column("unlock_delay_days", Integer),  # absent: never locked
    Column("unlocked_at", Instant),  # when the delay after UnlockRule ends; absent: locked, where there is a delay
    Column("created_at", Instant, nullable=False),
    Index("ix_retention_rule_account_region", "account_id", "region"),
)
retention_rule_match = Table(
    "retention_rule_match",
    metadata,
    Column("rule_id", ForeignKey("retention_rule.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("is_exclusion", Boolean, nullable=False),  # of a Region-level rule: what it leaves out
    Column("key", String(128), nullable=False),
    Column("value", String(256)),  # absent: any value
)
retention_rule_tag = Table(
    "retention_rule_tag",
    metadata,
    Column("rule_id", ForeignKey("retention_rule.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
)
snapshot_lock = Table(
    "snapshot_lock",
    metadata,
    Column("snapshot_id", ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True),
    Column("mode", String(16), nullable=False),  # governance | compliance
    Column("created_at", Instant, nullable=False),
    Column("counted_from", Instant, nullable=False),  # what the duration counts from, once the snapshot is completed
    Column("duration_days", Integer),  # this or the next
    Column("expiration_at", Instant),
    Column("cool_off_hours", Integer),
    Column("cool_off_until", Instant),
)
