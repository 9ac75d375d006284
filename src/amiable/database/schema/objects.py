"""S3: buckets, objects, uploads in parts."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Table, Text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

bucket = Table(
    "bucket",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("acl", String(32), nullable=False),  # canned name
    Column("created_at", Instant, nullable=False),
)
object_ = Table(
    "object",
    metadata,
    Column("bucket", ForeignKey("bucket.name"), primary_key=True),
    Column("key", String(1024), primary_key=True),
    Column("file", String(26), nullable=False),  # ULID below objects/
    Column("account_id", String(12), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", String(64), nullable=False),  # without quotes
    Column("content_type", String(255), nullable=False),
    Column("headers", Text, nullable=False),  # JSON: what is only given back (x-amz-meta-*, cache-control, …)
    Column("checksum_algorithm", String(16)),
    Column("checksum", String(128)),
    Column("acl", String(32), nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("upload_id", String(64)),  # of the upload in parts that made it
)
multipart_upload = Table(
    "multipart_upload",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("bucket", ForeignKey("bucket.name"), nullable=False, index=True),
    Column("key", String(1024), nullable=False),
    Column("account_id", String(12), nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("headers", Text, nullable=False),
    Column("checksum_algorithm", String(16)),
    Column("checksum_type", String(16)),
    Column("acl", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
)
multipart_part = Table(
    "multipart_part",
    metadata,
    Column("upload_id", ForeignKey("multipart_upload.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("file", String(26), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", String(64), nullable=False),
    Column("checksum", String(128)),
    Column("modified_at", Instant, nullable=False),
)
