"""Bundles and kernels: what part 2 adds."""

from alembic import op  # noqa: F401 - until the first column

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds what ``schema.py`` has over revision 0001."""


def downgrade() -> None:
    """Takes it away again."""
