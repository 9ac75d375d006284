"""Launch templates, passwords, the serial console."""

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""


def downgrade() -> None:
    """Takes it away again."""
