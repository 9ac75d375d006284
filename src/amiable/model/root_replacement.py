"""A replace root volume task: an instance's root disk is swapped for a new one, at the same place.

    pending ──▶ in-progress ──▶ succeeded
                     └────────▶ failed       (the instance has its old root)

Source: EC2 API, ReplaceRootVolumeTask.taskState.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class ReplacementState(StrEnum):
    """EC2's states, as far as they occur."""

    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


LIVE: Final = (ReplacementState.PENDING, ReplacementState.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class RootReplacement:
    """One task.  ``image_id`` and ``snapshot_id`` are as asked for; neither: the root as it was launched."""

    id: str
    account_id: str
    region: str
    instance_id: str
    state: ReplacementState
    image_id: str | None
    snapshot_id: str | None
    old_volume_id: str
    new_volume_id: str
    deletes_old: bool
    started_at: datetime
    ended_at: datetime | None = None
