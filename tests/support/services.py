"""Services over a temporary data directory: real database, real store, a clock and chance of the test's choosing."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from amiable.api.accounts import NewAccount, create_account
from amiable.blocks.objects import ObjectFiles
from amiable.blocks.store import BlockStore
from amiable.database.connect import Database
from amiable.database.migrate import migrate
from amiable.model.principal import Principal
from amiable.model.settings import Settings, resolve
from amiable.services import Services
from amiable.services.installation import open_installation

FOLDERS = ("packs", "objects", "kernels", "exports", "exporter", "instances", "accounts")


def settings_for(data: Path, **changes: Any) -> Settings:
    """Default settings over ``data``, on a free port, with TCG."""
    named = {"region": changes["region"]} if "region" in changes else {}
    settings = resolve(named, {}, {}, default_data=str(data))
    return replace(settings, listen="127.0.0.1:0", accelerator="tcg", **changes)


def make_database(settings: Settings) -> None:
    """The database of ``settings``, migrated.  A new one is a copy: a migration of its own would take each test a sixth of a second."""
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    if settings.database_url.startswith("sqlite:///") and not path.exists():
        path.write_bytes(_new_database())
    else:
        migrate(settings.database_url)


@cache
def _new_database() -> bytes:
    with tempfile.TemporaryDirectory(prefix="amiable-database-") as folder:
        path = Path(folder) / "amiable.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


@contextmanager
def open_services(data: Path, *, clock: Callable[[], datetime] | None = None, **changes: Any) -> Iterator[Services]:
    """Services over ``data``; closed at the end.  No worker runs: jobs stay in the table."""
    settings = settings_for(data, **changes)
    clock = clock or (lambda: datetime.now(UTC))
    for name in FOLDERS:
        (data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    make_database(settings)
    database = Database(settings.database_url)
    services = Services(
        settings=settings,
        data=data,
        host="test-host",
        installation=open_installation(data),
        database=database,
        blocks=BlockStore.open(database, data / "packs", compression=settings.compression, clock=clock),
        objects=ObjectFiles.open(database, data / "objects"),
        clock=clock,
        entropy=os.urandom,
        wake=lambda: None,
    )
    try:
        yield services
    finally:
        services.blocks.close()
        database.close()


def make_account(
    services: Services, name: str = "someone", *, administrator: bool = False
) -> tuple[NewAccount, Principal]:
    """A new account and a principal that speaks for it."""
    made = create_account(services, name, administrator=administrator)
    return made, Principal(made.account_id, made.access_key_id, services.settings.region, administrator)
