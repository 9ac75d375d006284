"""One change of a volume: what it was, what it is to be, and how far that is.

    modifying ──▶ completed
        └──────▶ failed

EC2's ``optimizing`` does not occur: nothing is moved here.  Source: EC2 API, VolumeModification.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ModificationState(StrEnum):
    MODIFYING = "modifying"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """One row; ``number`` counts the volume's changes from 1 on."""

    volume_id: str
    number: int
    state: ModificationState
    message: str | None = None
    original_size_gib: int
    original_type: str
    original_iops: int | None
    original_throughput: int | None
    target_size_gib: int
    target_type: str
    target_iops: int | None
    target_throughput: int | None
    started_at: datetime
    ended_at: datetime | None = None
