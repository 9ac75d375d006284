"""Instances with a TPM."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""
    op.add_column("instance", sa.Column("tpm_support", sa.String(length=8)))


def downgrade() -> None:
    """Takes it away again."""
    op.drop_column("instance", "tpm_support")
