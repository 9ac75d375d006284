"""Allowed images, watermarks, instance types, name guard."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""
    op.create_table(
        "allowed_images",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("criteria", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_allowed_images_account_id")),
        sa.PrimaryKeyConstraint("account_id", "region", name=op.f("pk_allowed_images")),
    )
    op.create_table(
        "image_watermark",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=141), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("source_image_id", sa.String(length=32), nullable=False),
        sa.Column("source_image_region", sa.String(length=32), nullable=False),
        sa.Column("source_image_created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_image_watermark_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "key", name=op.f("pk_image_watermark")),
    )
    op.create_index(op.f("ix_image_watermark_key"), "image_watermark", ["key"])
    op.create_table(
        "image_instance_type",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("pattern", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_image_instance_type_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "kind", "position", name=op.f("pk_image_instance_type")),
    )
    op.create_index(op.f("ix_image_instance_type_pattern"), "image_instance_type", ["pattern"])
    _make_name_guard()


def _make_name_guard() -> None:
    op.create_table(
        "name_guard",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("trusted", sa.String(length=2000), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_name_guard_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_name_guard")),
    )
    op.create_table(
        "name_lookup",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("pattern", sa.String(length=2000), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_name_lookup_account_id")),
        sa.PrimaryKeyConstraint("account_id", "region", "pattern", name=op.f("pk_name_lookup")),
    )
    op.create_table(
        "name_guard_finding",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("image_name", sa.String(length=128), nullable=False),
        sa.Column("image_owner_id", sa.String(length=12), nullable=False),
        sa.Column("pattern", sa.String(length=2000), nullable=False),
        sa.Column("trusted_image_id", sa.String(length=32), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_name_guard_finding_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_name_guard_finding")),
    )
    op.create_index(op.f("ix_name_guard_finding_account_id"), "name_guard_finding", ["account_id"])


def downgrade() -> None:
    """Takes it away again."""
    for name in ("name_guard_finding", "name_lookup", "name_guard"):
        op.drop_table(name)
    op.drop_table("image_instance_type")
    op.drop_table("image_watermark")
    op.drop_table("allowed_images")
