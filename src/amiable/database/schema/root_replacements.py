"""Tasks that replace instances' root volumes."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

root_replacement = Table(
    "root_replacement",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("instance_id", String(32), nullable=False, index=True),
    Column("state", String(16), nullable=False),  # pending | in-progress | succeeded | failed
    Column("image_id", String(32)),
    Column("snapshot_id", String(32)),
    Column("old_volume_id", String(32), nullable=False),
    Column("new_volume_id", String(32), nullable=False),
    Column("deletes_old", Boolean, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Index("ix_root_replacement_account_region", "account_id", "region"),
)
