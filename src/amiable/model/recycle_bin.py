"""What is in the Recycle Bin.

    image or snapshot ──deleted, and a retention rule matches──▶ in the bin ──restored──▶ as it was
                                                                     └──its time is over──▶ gone

While it is there it is listed, tagged and restored, and nothing else.  Snapshots are :class:`~amiable.model.snapshot.Snapshot` rows.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BinnedImage:
    """An image in the bin; ``binned_from`` is the state that a restore brings back."""

    id: str
    account_id: str
    name: str
    description: str | None
    entered_at: datetime
    exit_at: datetime
    binned_from: str


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image that is there or in the bin, and what its retention rules come to."""

    id: str
    name: str
    state: str
    exit_at: datetime | None  # binned: when it leaves the bin
    snapshot_ids: tuple[str, ...]
    rule_id: str | None = None  # what would keep it
    days: int | None = None
    warnings: tuple[str, ...] = ()
