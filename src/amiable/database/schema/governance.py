"""Which images an account allows itself, watermarks of images, and the instance types that may launch them."""

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

allowed_images = Table(
    "allowed_images",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("state", String(16), nullable=False),  # disabled | audit-mode | enabled
    Column("criteria", Text, nullable=False),  # JSON of model/allowed_images: read whole, never queried
)
name_guard = Table(
    "name_guard",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("mode", String(16), nullable=False),  # off | audit | enforce
    Column("trusted", String(2000), nullable=False),  # account ids, space-separated; read whole
)
name_lookup = Table(
    "name_lookup",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("pattern", String(2000), primary_key=True),
    Column("asked_at", Instant, nullable=False),
)
name_guard_finding = Table(
    "name_guard_finding",
    metadata,
    Column("id", String(26), primary_key=True),  # ULID
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("image_id", String(32), nullable=False),
    Column("image_name", String(128), nullable=False),
    Column("image_owner_id", String(12), nullable=False),
    Column("pattern", String(2000), nullable=False),
    Column("trusted_image_id", String(32), nullable=False),
    Column("mode", String(16), nullable=False),  # audit: it was launched; enforce: it was refused
    Column("found_at", Instant, nullable=False),
)
image_watermark = Table(
    "image_watermark",
    metadata,
    Column("image_id", ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(141), primary_key=True, index=True),  # account_id:name
    Column("position", Integer, nullable=False),  # order of attachment, from 0
    Column("name", String(128), nullable=False),
    Column("account_id", String(12), nullable=False),  # who attached it first; a copy's owner may be another
    Column("source_image_id", String(32), nullable=False),  # the image that it was attached to first
    Column("source_image_region", String(32), nullable=False),
    Column("source_image_created_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
)
image_instance_type = Table(
    "image_instance_type",
    metadata,
    Column("image_id", ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),  # supported | unsupported
    Column("position", Integer, primary_key=True),
    Column("pattern", String(24), nullable=False, index=True),  # t3.micro, t3.*
)
