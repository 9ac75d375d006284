"""The registry's images and organizations."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IMAGE_COLUMNS = (
    ("uefi_data", sa.Text()),
    ("deprecation_at", sa.BigInteger()),
    ("deregistration_protection", sa.String(length=32)),
    ("protected_until", sa.BigInteger()),
    ("last_launched_at", sa.BigInteger()),
    ("source_instance_id", sa.String(length=32)),
    ("source_image_id", sa.String(length=32)),
    ("source_image_region", sa.String(length=32)),
    ("content_digest", sa.LargeBinary(length=32)),
    ("bin_exit_at", sa.BigInteger()),
)
INDEXED = ("source_image_id", "content_digest")
LISTS = {
    "ix_image_account_created": ["account_id", "region", "created_at", "id"],
    "ix_image_region_created": ["region", "created_at", "id"],
}


def upgrade() -> None:
    """Adds them."""
    for name, kind in IMAGE_COLUMNS:
        op.add_column("image", sa.Column(name, kind))
    for name in INDEXED:
        op.create_index(op.f(f"ix_image_{name}"), "image", [name])
    op.drop_index("ix_image_account_region", "image")
    for name, columns in LISTS.items():
        op.create_index(name, "image", columns)
    op.add_column("account", sa.Column("owner_alias", sa.String(length=32)))
    op.create_table(
        "organization",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_organization_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
    )
    op.create_table(
        "organizational_unit",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("parent_id", sa.String(length=80)),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name=op.f("fk_organizational_unit_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["organizational_unit.id"], name=op.f("fk_organizational_unit_parent_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizational_unit")),
    )
    op.create_index(op.f("ix_organizational_unit_organization_id"), "organizational_unit", ["organization_id"])
    op.create_table(
        "organization_member",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("unit_id", sa.String(length=80)),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_organization_member_account_id")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name=op.f("fk_organization_member_organization_id")
        ),
        sa.ForeignKeyConstraint(["unit_id"], ["organizational_unit.id"], name=op.f("fk_organization_member_unit_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_organization_member")),
    )
    op.create_index(op.f("ix_organization_member_organization_id"), "organization_member", ["organization_id"])


def downgrade() -> None:
    """Takes them away again."""
    for name in ("organization_member", "organizational_unit", "organization"):
        op.drop_table(name)
    op.drop_column("account", "owner_alias")
    for name in LISTS:
        op.drop_index(name, "image")
    op.create_index("ix_image_account_region", "image", ["account_id", "region"])
    for name in INDEXED:
        op.drop_index(op.f(f"ix_image_{name}"), "image")
    for name, _ in reversed(IMAGE_COLUMNS):
        op.drop_column("image", name)
