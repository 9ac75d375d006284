"""Launch templates and their versions."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

launch_template = Table(
    "launch_template",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("name", String(128), nullable=False),
    Column("default_version", Integer, nullable=False),
    Column("latest_version", Integer, nullable=False),
    Column("last_number", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(255), nullable=False),
    UniqueConstraint("account_id", "region", "name"),
)
launch_template_version = Table(
    "launch_template_version",
    metadata,
    Column("template_id", ForeignKey("launch_template.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("description", String(255)),
    Column("data", LargeBinary, nullable=False),  # JSON of the request: read whole, never queried
    Column("image", String(1100)),  # its ImageId: an id, or resolve:…
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(255), nullable=False),
    Index("ix_launch_template_version_image", "image"),
)
