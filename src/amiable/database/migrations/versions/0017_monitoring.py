"""Which instances are to be monitored in detail."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""
    column: sa.Column[bool] = sa.Column("detailed_monitoring", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("instance", column)


def downgrade() -> None:
    """Takes it away again."""
    op.drop_column("instance", "detailed_monitoring")
