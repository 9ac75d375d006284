"""Networks: groups, rules, interfaces, routes, addresses."""

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""


def downgrade() -> None:
    """Takes it away again."""
