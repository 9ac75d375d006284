"""Public access, snapshots' permissions.

Who made an image public before there was a guard goes on as before; every other account is guarded, as new ones are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""
    op.create_table(
        "create_volume_permission",
        sa.Column("snapshot_id", sa.String(length=32), nullable=False),
        sa.Column("grantee", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshot.id"],
            name=op.f("fk_create_volume_permission_snapshot_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "grantee", name=op.f("pk_create_volume_permission")),
    )
    op.create_index("ix_create_volume_permission_grantee", "create_volume_permission", ["grantee"])
    op.create_table(
        "account_region_setting",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("image_block_public_access", sa.String(length=32)),
        sa.Column("snapshot_block_public_access", sa.String(length=32)),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_account_region_setting_account_id")),
        sa.PrimaryKeyConstraint("account_id", "region", name=op.f("pk_account_region_setting")),
    )
    op.execute(
        "INSERT INTO account_region_setting (account_id, region, image_block_public_access) "
        "SELECT DISTINCT image.account_id, image.region, 'unblocked' FROM image "
        "JOIN launch_permission ON launch_permission.image_id = image.id WHERE launch_permission.grantee = 'all'"
    )
    op.create_index(
        "ix_image_binned",
        "image",
        ["account_id", "region"],
        sqlite_where=sa.text("state = 'binned'"),
        postgresql_where=sa.text("state = 'binned'"),
    )


def downgrade() -> None:
    """Takes it away again."""
    op.drop_index("ix_image_binned", "image")
    op.drop_table("account_region_setting")
    op.drop_table("create_volume_permission")
