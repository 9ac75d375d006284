"""What an installation holds, as its rows and files have it: to show that a refusal left nothing."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import Server


@dataclass(frozen=True)
class Holdings:
    """Everything that something half-made could have left behind."""

    images: frozenset[str]
    snapshots: frozenset[str]
    unfinished_jobs: frozenset[str]
    active_imports: frozenset[str]
    files: frozenset[str]
    pending_blocks: int


FOLDERS = ("objects", "kernels", "exports", "instances", "volumes")


def holdings(server: Server) -> Holdings:
    """Read straight from the database, internal snapshots included; packs are not compared: bytes of none stay reclaimable."""
    with closing(sqlite3.connect(f"file:{server.data}/amiable.db?mode=ro", uri=True)) as c:
        c.execute("PRAGMA busy_timeout = 30000")

        def column(query: str) -> frozenset[str]:
            return frozenset(row[0] for row in c.execute(query))

        return Holdings(
            images=column("SELECT id FROM image WHERE state <> 'deregistered'"),
            snapshots=column("SELECT id FROM snapshot"),
            unfinished_jobs=column("SELECT key FROM job WHERE state NOT IN ('done', 'failed', 'cancelled')"),
            active_imports=column("SELECT id FROM import_snapshot_task WHERE state = 'active'"),
            files=frozenset(_files(server.data)),
            pending_blocks=c.execute("SELECT count(*) FROM pending_block").fetchone()[0],
        )


def _files(data: Path) -> list[str]:
    found = [path for name in FOLDERS for path in (data / name).rglob("*")]
    return [str(path.relative_to(data)) for path in found]
