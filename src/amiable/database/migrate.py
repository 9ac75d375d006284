"""Brings a database's tables to this version's schema, by Alembic's migrations."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from amiable.database.connect import Database

MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(url: str) -> None:
    """Upgrades the database at ``url`` to the newest revision; a new database gets every table."""
    database = Database(url)
    try:
        with database.write() as c:
            upgrade(c)
    finally:
        database.close()


def upgrade(c: Connection, revision: str = "head") -> None:
    """Runs the migrations that are missing up to ``revision``, inside the caller's transaction."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = c
    command.upgrade(config, revision)
