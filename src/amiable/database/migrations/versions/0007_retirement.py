"""The Recycle Bin, locks, retention.  What is public is deprecated two years after its creation from now on."""

from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PUBLIC_YEARS: Final = 2


def upgrade() -> None:
    """Adds it."""
    op.add_column("image", sa.Column("binned_from", sa.String(length=16)))
    op.create_index(op.f("ix_image_bin_exit_at"), "image", ["bin_exit_at"])
    _deprecate_public_images()
    op.add_column("snapshot", sa.Column("binned_at", sa.BigInteger()))
    op.add_column("snapshot", sa.Column("bin_exit_at", sa.BigInteger()))
    op.create_index(op.f("ix_snapshot_bin_exit_at"), "snapshot", ["bin_exit_at"])
    op.create_index(op.f("ix_tag_resource_id"), "tag", ["resource_id"])
    _make_rules()
    _make_locks()


def _make_rules() -> None:
    op.create_table(
        "retention_rule",
        sa.Column("id", sa.String(length=11), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("resource_type", sa.String(length=16), nullable=False),
        sa.Column("description", sa.String(length=255)),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("unlock_delay_days", sa.Integer()),
        sa.Column("unlocked_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_retention_rule_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_rule")),
    )
    op.create_index("ix_retention_rule_account_region", "retention_rule", ["account_id", "region"])
    op.create_table(
        "retention_rule_match",
        sa.Column("rule_id", sa.String(length=11), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_exclusion", sa.Boolean(), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=256)),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["retention_rule.id"], name=op.f("fk_retention_rule_match_rule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rule_id", "position", name=op.f("pk_retention_rule_match")),
    )
    op.create_table(
        "retention_rule_tag",
        sa.Column("rule_id", sa.String(length=11), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["retention_rule.id"], name=op.f("fk_retention_rule_tag_rule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rule_id", "key", name=op.f("pk_retention_rule_tag")),
    )


def _make_locks() -> None:
    op.create_table(
        "snapshot_lock",
        sa.Column("snapshot_id", sa.String(length=32), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("counted_from", sa.BigInteger(), nullable=False),
        sa.Column("duration_days", sa.Integer()),
        sa.Column("expiration_at", sa.BigInteger()),
        sa.Column("cool_off_hours", sa.Integer()),
        sa.Column("cool_off_until", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name=op.f("fk_snapshot_lock_snapshot_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("snapshot_id", name=op.f("pk_snapshot_lock")),
    )


def _deprecate_public_images() -> None:
    public = "image_type = 'machine' AND id IN (SELECT image_id FROM launch_permission WHERE grantee = 'all')"
    update = sa.text("UPDATE image SET deprecation_at = :moment WHERE id = :id AND deprecation_at IS NULL")
    for row in op.get_bind().execute(sa.text(f"SELECT id, created_at FROM image WHERE {public}")).all():
        op.get_bind().execute(update, {"id": row.id, "moment": _two_years_after(row.created_at)})


def _two_years_after(created_ms: int) -> int:
    """The nearest whole minute, in milliseconds; 29 February becomes 28 February."""
    created = EPOCH + timedelta(milliseconds=created_ms)
    day = 28 if (created.month, created.day) == (2, 29) else created.day
    moment = created.replace(year=created.year + PUBLIC_YEARS, day=day) + timedelta(seconds=30)
    return (moment.replace(second=0, microsecond=0) - EPOCH) // timedelta(milliseconds=1)


def downgrade() -> None:
    """Takes it away again."""
    for name in ("snapshot_lock", "retention_rule_tag", "retention_rule_match", "retention_rule"):
        op.drop_table(name)
    op.drop_index(op.f("ix_tag_resource_id"), "tag")
    op.drop_index(op.f("ix_snapshot_bin_exit_at"), "snapshot")
    op.drop_column("snapshot", "bin_exit_at")
    op.drop_column("snapshot", "binned_at")
    op.drop_index(op.f("ix_image_bin_exit_at"), "image")
    op.drop_column("image", "binned_from")
