"""A snapshot: an immutable disk of blocks, once it is completed.

    pending ──complete──▶ completed
       └──timeout, bad checksum──▶ error

Source: EC2 API, Snapshot.status; EBS direct API, StartSnapshot.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from amiable.model.units import BLOCKS_PER_GIB

PENDING: Final = "pending"
COMPLETED: Final = "completed"
ERROR: Final = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One row of ``snapshot``."""

    id: str
    account_id: str
    region: str
    state: str
    state_message: str | None = None
    progress_percent: int = 0
    size_gib: int
    description: str = ""
    parent_id: str | None = None
    volume_id: str | None = None
    timeout_minutes: int = 60
    started_at: datetime
    touched_at: datetime
    completed_at: datetime | None = None
    is_internal: bool = False
    changed_block_count: int | None = None
    """Blocks written into this snapshot itself, known once it is sealed: from then on it takes no more blocks."""
    content_digest: bytes | None = None
    """Of the whole disk (``rules/content_digest``), known once it is completed; None of one that an earlier version completed."""
    binned_at: datetime | None = None
    bin_exit_at: datetime | None = None

    @property
    def block_count(self) -> int:
        """Blocks that the disk is long; indexes run from 0 to one less."""
        return self.size_gib * BLOCKS_PER_GIB

    def has_timed_out(self, now: datetime) -> bool:
        """Whether a snapshot that still takes blocks has waited for one longer than its timeout."""
        waits = self.state == PENDING and self.changed_block_count is None
        return waits and now - self.touched_at > timedelta(minutes=self.timeout_minutes)
