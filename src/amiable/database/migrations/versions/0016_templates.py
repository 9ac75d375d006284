"""Launch templates, passwords, the serial console."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = (
    "launch_template_version",
    "launch_template",
    "serial_console_access",
    "boot",
    "password_data",
    "console_post",
)


def upgrade() -> None:
    """Adds it."""
    op.create_table(
        "console_post",
        *_of_instance("console_post"),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.Column("output", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_console_post")),
    )
    op.create_table(
        "password_data",
        *_of_instance("password_data"),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_password_data")),
    )
    op.create_table(
        "boot",
        *_of_instance("boot"),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("machine", sa.Integer(), nullable=False),
        sa.Column("is_reset", sa.Boolean(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("marks", sa.Text(), nullable=False),
        sa.Column("cause", sa.String(length=64)),
        sa.Column("cause_words", sa.String(length=1000)),
        sa.PrimaryKeyConstraint("instance_id", "position", name=op.f("pk_boot")),
    )
    _add_templates()
    op.create_table(
        "serial_console_access",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_serial_console_access_account_id")),
        sa.PrimaryKeyConstraint("account_id", "region", name=op.f("pk_serial_console_access")),
    )


def _add_templates() -> None:
    op.create_table(
        "launch_template",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("default_version", sa.Integer(), nullable=False),
        sa.Column("latest_version", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_launch_template_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_launch_template")),
        sa.UniqueConstraint("account_id", "region", "name", name=op.f("uq_launch_template_account_id_region_name")),
    )
    op.create_table(
        "launch_template_version",
        sa.Column("template_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(length=255)),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("image", sa.String(length=1100)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["launch_template.id"],
            name=op.f("fk_launch_template_version_template_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("template_id", "number", name=op.f("pk_launch_template_version")),
    )
    op.create_index("ix_launch_template_version_image", "launch_template_version", ["image"])


def _of_instance(table: str) -> list[sa.schema.SchemaItem]:
    name = op.f(f"fk_{table}_instance_id")
    return [
        sa.Column("instance_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=name, ondelete="CASCADE"),
    ]


def downgrade() -> None:
    """Takes it away again."""
    for name in TABLES:
        op.drop_table(name)
