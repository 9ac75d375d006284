"""Parameters, channels, and content digests of snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("parameter_tag", "parameter_version", "parameter", "channel_version", "channel")


def upgrade() -> None:
    """Adds it."""
    op.add_column("snapshot", sa.Column("content_digest", sa.LargeBinary(length=32)))
    _add_parameters()
    _add_channels()


def _named(name_length: int) -> list[sa.Column[str]]:
    """Account, region and name."""
    return [
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=name_length), nullable=False),
    ]


def _belongs_to(parent: str, table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["account_id", "region", "name"],
        [f"{parent}.account_id", f"{parent}.region", f"{parent}.name"],
        name=op.f(f"fk_{table}_account_id_region_name"),
        ondelete="CASCADE",
    )


def _add_parameters() -> None:
    op.create_table(
        "parameter",
        *_named(1011),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("image_id", sa.String(length=32)),
        sa.Column("channel", sa.String(length=128)),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_parameter_account_id")),
        sa.PrimaryKeyConstraint("account_id", "region", "name", name=op.f("pk_parameter")),
    )
    op.create_index(
        "uq_parameter_public",
        "parameter",
        ["region", "name"],
        unique=True,
        sqlite_where=sa.text("is_public"),
        postgresql_where=sa.text("is_public"),
    )
    op.create_index(op.f("ix_parameter_image_id"), "parameter", ["image_id"])
    op.create_table(
        "parameter_version",
        *_named(1011),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("data_type", sa.String(length=32), nullable=False),
        sa.Column("description", sa.String(length=1024)),
        sa.Column("allowed_pattern", sa.String(length=1024)),
        sa.Column("key_id", sa.String(length=256)),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_by", sa.String(length=255), nullable=False),
        _belongs_to("parameter", "parameter_version"),
        sa.PrimaryKeyConstraint("account_id", "region", "name", "version", name=op.f("pk_parameter_version")),
    )
    op.create_table(
        "parameter_tag",
        *_named(1011),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        _belongs_to("parameter", "parameter_tag"),
        sa.PrimaryKeyConstraint("account_id", "region", "name", "key", name=op.f("pk_parameter_tag")),
    )


def _add_channels() -> None:
    op.create_table(
        "channel",
        *_named(128),
        sa.Column("description", sa.String(length=255)),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("is_house", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_channel_account_id")),
        sa.PrimaryKeyConstraint("account_id", "region", "name", name=op.f("pk_channel")),
    )
    op.create_table(
        "channel_version",
        *_named(128),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("restores", sa.Integer()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=32), nullable=False),
        _belongs_to("channel", "channel_version"),
        sa.PrimaryKeyConstraint("account_id", "region", "name", "number", name=op.f("pk_channel_version")),
    )
    op.create_index(op.f("ix_channel_version_image_id"), "channel_version", ["image_id"])


def downgrade() -> None:
    """Takes it away again."""
    for name in TABLES:
        op.drop_table(name)
    op.drop_column("snapshot", "content_digest")
