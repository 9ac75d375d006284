"""Parameters of Parameter Store in versions, channels in versions, and what a channel shows as a parameter."""

from sqlalchemy import Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, String, Table, Text, text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

parameter = Table(
    "parameter",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(1011), primary_key=True),
    Column("version", Integer, nullable=False),  # the newest
    Column("is_public", Boolean, nullable=False),  # below /aws/service/: everybody of the region reads it
    Column("image_id", String(32), index=True),  # the image that the newest version names, of data type aws:ec2:image
    Column("channel", String(128)),  # the account's channel that it shows; absent: an ordinary parameter
    Index(
        "uq_parameter_public",
        "region",
        "name",
        unique=True,
        sqlite_where=text("is_public"),
        postgresql_where=text("is_public"),
    ),
)
parameter_version = Table(
    "parameter_version",
    metadata,
    Column("account_id", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(1011), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("type", String(16), nullable=False),  # String | StringList | SecureString
    Column("value", Text, nullable=False),  # of a SecureString: sealed, base64
    Column("data_type", String(32), nullable=False),  # text | aws:ec2:image
    Column("description", String(1024)),
    Column("allowed_pattern", String(1024)),
    Column("key_id", String(256)),
    Column("tier", String(16), nullable=False),  # Standard | Advanced
    Column("modified_at", Instant, nullable=False),
    Column("modified_by", String(255), nullable=False),
    ForeignKeyConstraint(
        ["account_id", "region", "name"],
        ["parameter.account_id", "parameter.region", "parameter.name"],
        ondelete="CASCADE",
    ),
)
parameter_tag = Table(
    "parameter_tag",
    metadata,
    Column("account_id", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(1011), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
    ForeignKeyConstraint(
        ["account_id", "region", "name"],
        ["parameter.account_id", "parameter.region", "parameter.name"],
        ondelete="CASCADE",
    ),
)
channel = Table(
    "channel",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("description", String(255)),
    Column("is_public", Boolean, nullable=False),
    Column("is_house", Boolean, nullable=False),  # the administrator's: public without an account's number
    Column("version", Integer, nullable=False),  # the current one
    Column("created_at", Instant, nullable=False),
)
channel_version = Table(
    "channel_version",
    metadata,
    Column("account_id", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("image_id", String(32), nullable=False, index=True),
    Column("restores", Integer),  # a rollback: the version that it went back to
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(32), nullable=False),  # an access key
    ForeignKeyConstraint(
        ["account_id", "region", "name"],
        ["channel.account_id", "channel.region", "channel.name"],
        ondelete="CASCADE",
    ),
)
