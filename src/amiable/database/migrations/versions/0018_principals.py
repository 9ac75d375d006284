"""For whom the access key of a log's line spoke: of a role's session the key alone tells nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it; of lines that are there it is not known."""
    column: sa.Column[str] = sa.Column("principal_arn", sa.String(255))
    op.add_column("event", column)


def downgrade() -> None:
    """Takes it away again."""
    op.drop_column("event", "principal_arn")
