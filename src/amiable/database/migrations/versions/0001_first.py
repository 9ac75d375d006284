"""Every table of the first version.

Until the first release this revision follows ``schema.py``; afterwards it is frozen and each change is a revision of its own.
"""

from alembic import op

from amiable.database.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates every table."""
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Drops every table."""
    metadata.drop_all(op.get_bind())
