"""Tasks that replace instances' root volumes."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds them."""
    op.create_table(
        "root_replacement",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("instance_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("image_id", sa.String(length=32)),
        sa.Column("snapshot_id", sa.String(length=32)),
        sa.Column("old_volume_id", sa.String(length=32), nullable=False),
        sa.Column("new_volume_id", sa.String(length=32), nullable=False),
        sa.Column("deletes_old", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_root_replacement_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_root_replacement")),
    )
    op.create_index(op.f("ix_root_replacement_instance_id"), "root_replacement", ["instance_id"])
    op.create_index("ix_root_replacement_account_region", "root_replacement", ["account_id", "region"])


def downgrade() -> None:
    """Takes them away again."""
    op.drop_table("root_replacement")
