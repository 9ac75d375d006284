"""Durable jobs."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

job = Table(
    "job",
    metadata,
    Column("key", String(255), primary_key=True),  # resource id and verb: a job exists once
    Column("kind", String(64), nullable=False),
    Column("host", String(255)),  # None: any host may run it
    Column("state", String(16), nullable=False),  # queued | running | done | failed | cancelled
    Column("priority", Integer, nullable=False),
    Column("due", Instant, nullable=False),
    Column("lease_until", Instant),
    Column("owner", String(64)),
    Column("token", String(32)),  # fences every save
    Column("tries", Integer, nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("data", Text, nullable=False),  # the checkpoint: plain JSON, so an upgrade strands nothing
    Column("error", Text),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Index("ix_job_pick", "state", "due"),
)
