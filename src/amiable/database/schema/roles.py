"""Roles with their policies, instance profiles, which instance has which, and an account's defaults of metadata options."""

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

role = Table(
    "role",
    metadata,
    Column("id", String(32), primary_key=True),  # AROA…
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("name_key", String(64), nullable=False),  # in lower case: names differ by more than case
    Column("path", String(512), nullable=False),
    Column("description", String(1000)),
    Column("trust_policy", Text, nullable=False),
    Column("session_seconds_max", Integer, nullable=False),
    Column("tags", Text, nullable=False),  # JSON pairs; not queried
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "name_key"),
)
role_policy = Table(
    "role_policy",
    metadata,
    Column("role_id", ForeignKey("role.id"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("document", Text, nullable=False),
)
instance_profile = Table(
    "instance_profile",
    metadata,
    Column("id", String(32), primary_key=True),  # AIPA…
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("name_key", String(128), nullable=False),
    Column("path", String(512), nullable=False),
    Column("role_id", ForeignKey("role.id"), index=True),  # absent: none yet
    Column("tags", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "name_key"),
)
instance_profile_association = Table(
    "instance_profile_association",
    metadata,
    Column("id", String(32), primary_key=True),  # iip-assoc-
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("instance_id", String(32), nullable=False, unique=True),  # one profile an instance
    Column("profile_id", String(32), nullable=False),  # also of one that was deleted since
    Column("profile_arn", String(1024), nullable=False),
    Column("created_at", Instant, nullable=False),
)
metadata_default = Table(
    "metadata_default",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("http_tokens", String(16)),  # absent, as in each: no preference
    Column("http_hop_limit", Integer),
    Column("http_endpoint", String(16)),
    Column("instance_metadata_tags", String(16)),
    Column("http_tokens_enforced", String(16)),
)
