"""An import of a disk image into a snapshot.

    active ──▶ completed
       └─────▶ error

The snapshot appears only when it is whole: an import that fails leaves none.  Source: EC2 API, SnapshotTaskDetail.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ImportState(StrEnum):
    ACTIVE = "active"
    COMPLETED = "completed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ImportTask:
    """One row of ``import_snapshot_task``.  ``snapshot_id`` is set once the task is completed."""

    id: str
    account_id: str
    region: str
    state: ImportState
    state_message: str
    progress_percent: int
    description: str
    bucket: str
    object_key: str
    format: str
    size_bytes: int | None
    snapshot_id: str | None
    created_at: datetime
