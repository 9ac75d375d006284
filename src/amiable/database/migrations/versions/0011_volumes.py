"""Volumes on their own: attachments, modifications."""

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""


def downgrade() -> None:
    """Takes it away again."""
