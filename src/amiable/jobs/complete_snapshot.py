"""complete-snapshot: turns the pending blocks of a large sealed snapshot into leaves; data {"snapshot_id": …}.

Safe to run twice, and at once: each leaf is a transaction that finds out what is left.
"""

from amiable.database import snapshots
from amiable.jobs.context import JobContext
from amiable.model.errors import NotFound, SnapshotNotPending


def complete_snapshot(context: JobContext) -> None:
    """Completes the snapshot; nothing where it is gone or in error."""
    try:
        context.services.blocks.complete(context.data["snapshot_id"])
    except (NotFound, SnapshotNotPending):
        return


def give_up(context: JobContext, message: str) -> None:
    """Puts the snapshot into error."""
    with context.services.database.write() as c:
        snapshots.fail(c, context.data["snapshot_id"], message)
