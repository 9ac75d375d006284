"""Bundles and kernels: what part 2 adds."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds what ``schema.py`` has over revision 0001."""
    op.create_table(
        "bundle_task",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("instance_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("bucket", sa.String(length=255), nullable=False),
        sa.Column("prefix", sa.String(length=1024), nullable=False),
        sa.Column("object_owner_id", sa.String(length=12), nullable=False),
        sa.Column("acl", sa.String(length=64), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=1000), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_bundle_task_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundle_task")),
    )
    op.create_index("ix_bundle_task_account_region", "bundle_task", ["account_id", "region"], unique=False)
    op.create_index(op.f("ix_bundle_task_instance_id"), "bundle_task", ["instance_id"], unique=False)
    op.add_column("account", sa.Column("is_partner", sa.Boolean()))
    op.add_column("image", sa.Column("approved_at", sa.BigInteger()))
    op.add_column("image", sa.Column("kernel_kind", sa.String(length=16)))
    op.add_column("image", sa.Column("kernel_version", sa.String(length=255)))
    op.add_column("image", sa.Column("kernel_kind_why", sa.String(length=255)))
    op.add_column("image", sa.Column("boots_directly", sa.Boolean()))
    op.add_column("image", sa.Column("product_codes", sa.String(length=1000)))
    op.add_column("image", sa.Column("ancestor_ami_ids", sa.Text()))
    # Until now the administrator alone could register kernels: all are approved.
    op.execute("UPDATE image SET approved_at = created_at WHERE image_type IN ('kernel', 'ramdisk')")


def downgrade() -> None:
    """Takes it away again."""
    op.drop_table("bundle_task")
    for name in (
        "ancestor_ami_ids",
        "product_codes",
        "boots_directly",
        "kernel_kind_why",
        "kernel_version",
        "kernel_kind",
        "approved_at",
    ):
        op.drop_column("image", name)
    op.drop_column("account", "is_partner")
