"""Products, and which resources carry their codes."""

from sqlalchemy import Column, Integer, String, Table

from amiable.database.schema.metadata import metadata

resource_product_code = Table(
    "resource_product_code",
    metadata,
    Column("resource_id", String(32), primary_key=True),  # of a snapshot, an image, an instance or a volume
    Column("code", String(64), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
    Column("type", String(16), nullable=False),  # devpay | marketplace
)
