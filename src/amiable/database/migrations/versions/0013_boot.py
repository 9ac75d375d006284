"""Firmware, variables, TPM, hardware profiles."""

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""


def downgrade() -> None:
    """Takes it away again."""
