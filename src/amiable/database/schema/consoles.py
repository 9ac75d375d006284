"""What is kept of an instance's console: the text that was posted last, a password that it printed, the course of its boots."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

console_post = Table(
    "console_post",
    metadata,
    Column("instance_id", ForeignKey("instance.id", ondelete="CASCADE"), primary_key=True),
    Column("posted_at", Instant, nullable=False),
    Column("output", LargeBinary, nullable=False),  # the last 64 KiB as they were then
)
password_data = Table(
    "password_data",
    metadata,
    Column("instance_id", ForeignKey("instance.id", ondelete="CASCADE"), primary_key=True),
    Column("seen_at", Instant, nullable=False),
    Column("password", Text, nullable=False),  # encrypted by the guest, base64
)
boot = Table(
    "boot",
    metadata,
    Column("instance_id", ForeignKey("instance.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),  # order, from 1
    Column("machine", Integer, nullable=False),  # which of the instance's machines: its boot count
    Column("is_reset", Boolean, nullable=False),  # began with a reset of a machine that ran already
    Column("began_at", Instant, nullable=False),
    Column("marks", Text, nullable=False),  # JSON of model/boot: read whole, never queried
    Column("cause", String(64)),  # what keeps it from going on
    Column("cause_words", String(1000)),
)
serial_console_access = Table(
    "serial_console_access",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("is_enabled", Boolean, nullable=False),
)
