"""Volumes on their own: attachments, modifications."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds them; a volume that has an instance is attached to it."""
    op.add_column("volume", sa.Column("attachment_state", sa.String(length=16)))
    op.add_column("volume", sa.Column("virtual_name", sa.String(length=16)))
    op.add_column("volume", sa.Column("auto_enable_io", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE volume SET attachment_state = 'attached' WHERE instance_id IS NOT NULL")
    op.create_table(
        "volume_modification",
        sa.Column("volume_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("message", sa.String(length=1000)),
        *_figures("original"),
        *_figures("target"),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["volume_id"], ["volume.id"], name=op.f("fk_volume_modification_volume_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("volume_id", "number", name=op.f("pk_volume_modification")),
    )


def _figures(when: str) -> list[sa.Column[int] | sa.Column[str]]:
    return [
        sa.Column(f"{when}_size_gib", sa.Integer(), nullable=False),
        sa.Column(f"{when}_type", sa.String(length=16), nullable=False),
        sa.Column(f"{when}_iops", sa.Integer()),
        sa.Column(f"{when}_throughput", sa.Integer()),
    ]


def downgrade() -> None:
    """Takes them away again."""
    op.drop_table("volume_modification")
    for name in ("auto_enable_io", "virtual_name", "attachment_state"):
        op.drop_column("volume", name)
