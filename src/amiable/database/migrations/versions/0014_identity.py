"""Roles, instance profiles, metadata options."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds them."""
    _add_roles()
    _add_profiles()
    op.create_table(
        "metadata_default",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("http_tokens", sa.String(length=16)),
        sa.Column("http_hop_limit", sa.Integer()),
        sa.Column("http_endpoint", sa.String(length=16)),
        sa.Column("instance_metadata_tags", sa.String(length=16)),
        sa.Column("http_tokens_enforced", sa.String(length=16)),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_metadata_default_account_id")),
        sa.PrimaryKeyConstraint("account_id", "region", name=op.f("pk_metadata_default")),
    )
    op.add_column(
        "instance", sa.Column("http_protocol_ipv6", sa.String(length=16), nullable=False, server_default="disabled")
    )


def _add_roles() -> None:
    op.create_table(
        "role",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("name_key", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("description", sa.String(length=1000)),
        sa.Column("trust_policy", sa.Text(), nullable=False),
        sa.Column("session_seconds_max", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_role_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role")),
        sa.UniqueConstraint("account_id", "name_key", name=op.f("uq_role_account_id_name_key")),
    )
    op.create_table(
        "role_policy",
        sa.Column("role_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["role.id"], name=op.f("fk_role_policy_role_id")),
        sa.PrimaryKeyConstraint("role_id", "name", name=op.f("pk_role_policy")),
    )


def _add_profiles() -> None:
    op.create_table(
        "instance_profile",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("name_key", sa.String(length=128), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("role_id", sa.String(length=32)),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_instance_profile_account_id")),
        sa.ForeignKeyConstraint(["role_id"], ["role.id"], name=op.f("fk_instance_profile_role_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_profile")),
        sa.UniqueConstraint("account_id", "name_key", name=op.f("uq_instance_profile_account_id_name_key")),
    )
    op.create_index(op.f("ix_instance_profile_role_id"), "instance_profile", ["role_id"])
    table = "instance_profile_association"
    op.create_table(
        table,
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("instance_id", sa.String(length=32), nullable=False),
        sa.Column("profile_id", sa.String(length=32), nullable=False),
        sa.Column("profile_arn", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f(f"fk_{table}_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("instance_id", name=op.f(f"uq_{table}_instance_id")),
    )
    op.create_index(op.f(f"ix_{table}_account_id"), table, ["account_id"])


def downgrade() -> None:
    """Takes them away again."""
    op.drop_column("instance", "http_protocol_ipv6")
    for name in ("metadata_default", "instance_profile_association", "instance_profile", "role_policy", "role"):
        op.drop_table(name)
