"""Who may make volumes of a snapshot, and what an account lets be shared in a region.  Launch permissions are in ``images``."""

from sqlalchemy import Column, ForeignKey, Index, String, Table

from amiable.database.schema.metadata import metadata

create_volume_permission = Table(
    "create_volume_permission",
    metadata,
    Column("snapshot_id", ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True),
    Column("grantee", String(12), primary_key=True),  # 12 digits, or the word all
    Index("ix_create_volume_permission_grantee", "grantee"),
)
account_region_setting = Table(
    "account_region_setting",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("image_block_public_access", String(32)),  # block-new-sharing | unblocked; absent: block-new-sharing
    Column("snapshot_block_public_access", String(32)),  # block-(all|new)-sharing | unblocked; absent: unblocked
)
