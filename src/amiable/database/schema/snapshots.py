"""Snapshots and the tasks that make them."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

snapshot = Table(
    "snapshot",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # pending | completed | error
    Column("state_message", String(1000)),
    Column("progress_percent", Integer, nullable=False),
    Column("size_gib", Integer, nullable=False),
    Column("description", String(255), nullable=False),
    Column("parent_id", String(32), index=True),
    Column("volume_id", String(32)),
    Column("timeout_minutes", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("touched_at", Instant, nullable=False),  # last block or start: what the timeout counts from
    Column("completed_at", Instant),
    Column("is_internal", Boolean, nullable=False),  # the converted root of an instance-store image: never listed
    Column("changed_block_count", BigInteger),
    Column("binned_at", Instant),  # in the Recycle Bin since
    Column("bin_exit_at", Instant, index=True),  # binned: when it goes for good
    Column("content_digest", LargeBinary(32)),  # of the disk (rules/content_digest); absent: not computed yet
    Index("ix_snapshot_account_region", "account_id", "region"),
)
snapshot_leaf = Table(
    "snapshot_leaf",
    metadata,
    Column("snapshot_id", ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),  # GiB of the disk, from 0
    Column("leaf", ForeignKey("leaf.digest"), nullable=False, index=True),
)
pending_block = Table(
    "pending_block",
    metadata,
    Column("snapshot_id", ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True),
    Column("index", BigInteger, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),  # of a zero block too; a zero block has no block row
)
import_snapshot_task = Table(
    "import_snapshot_task",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # active | completed | error  (EC2: Status)
    Column("state_message", String(1000), nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("description", String(255), nullable=False),
    Column("bucket", String(255), nullable=False),
    Column("object_key", String(1024), nullable=False),
    Column("format", String(16), nullable=False),
    Column("size_bytes", BigInteger),
    Column("snapshot_id", String(32)),
    Column("created_at", Instant, nullable=False),
    Index("ix_import_snapshot_task_account_region", "account_id", "region"),
)
