"""Tags, and the tokens of idempotent calls."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table, Text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

tag = Table(
    "tag",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),  # the tagger: sharers see only their own
    Column("resource_id", String(64), primary_key=True, index=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
    Column("region", String(32), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Index("ix_tag_key_value", "account_id", "region", "key", "value"),
)
client_token = Table(
    "client_token",
    metadata,
    Column("account_id", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("action", String(64), primary_key=True),
    Column("token", String(255), primary_key=True),
    Column("request_hash", LargeBinary(32), nullable=False),
    Column("resource_ids", Text, nullable=False),  # space-separated
    Column("created_at", Instant, nullable=False, index=True),
)
