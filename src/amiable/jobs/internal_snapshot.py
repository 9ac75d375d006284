"""The snapshot that a job fills: internal, so that nobody sees it, until it is whole."""

from typing import Any, Final

from amiable.database import snapshots
from amiable.jobs.context import JobContext
from amiable.model import ids
from amiable.model.snapshot import Snapshot
from amiable.model.units import gib_ceil

NO_TIMEOUT_MINUTES: Final = 525_600
"""It waits for its job, however long the server is away."""


def begin(context: JobContext, *, account_id: str, region: str, size_bytes: int, description: str, **saved: Any) -> str:
    """The id of a new, empty one; the job's checkpoint names it (``snapshot_id``), with ``saved``, in the same transaction."""
    services = context.services
    now = services.now()
    snapshot = Snapshot(
        id=services.mint(ids.SNAPSHOT),
        account_id=account_id,
        region=region,
        state="pending",
        size_gib=gib_ceil(size_bytes),
        description=description,
        timeout_minutes=NO_TIMEOUT_MINUTES,
        started_at=now,
        touched_at=now,
        is_internal=True,
    )
    with services.database.write() as c:
        snapshots.insert_snapshot(c, snapshot)
        context.save(c, {**context.data, "snapshot_id": snapshot.id, **saved})
    return snapshot.id
