"""Alembic's entry: the connection is handed in by ``database/migrate.py``."""

from alembic import context

from amiable.database.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=False
)
context.run_migrations()
