"""Roles, instance profiles, metadata options."""

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""


def downgrade() -> None:
    """Takes it away again."""
