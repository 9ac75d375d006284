"""Blocks and the packs that hold them."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, String, Table

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

generation = Table(
    "generation", metadata, Column("number", BigInteger, primary_key=True)
)  # one row: the collector's clock (R1)
pack = Table(
    "pack",
    metadata,
    Column("id", String(26), primary_key=True),  # ULID, the file's name in packs/
    Column("state", String(16), nullable=False),  # open | closed
    Column("size_bytes", BigInteger, nullable=False),  # durable bytes; what lies behind them in the file is garbage
    Column("created_at", Instant, nullable=False),
)
block = Table(
    "block",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),  # SHA-256 of the plain bytes
    Column("pack", ForeignKey("pack.id"), nullable=False, index=True),
    Column("offset", BigInteger, nullable=False),  # of the record in the pack
    Column("stored_length", Integer, nullable=False),  # of the payload
    Column("codec", Integer, nullable=False),
    Column("key_id", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # live | condemned
    Column("generation", BigInteger, nullable=False),
)
leaf = Table(
    "leaf",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
