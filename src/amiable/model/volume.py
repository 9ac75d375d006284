"""One disk of an instance: an EBS volume, or an instance-store disk kept in the same way.

``size_bytes`` is what the guest sees (an instance-store root is as long as its image); ``size_gib`` is what EC2 says.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class VolumeState(StrEnum):
    """EC2's volume states, as far as they occur."""

    CREATING = "creating"
    IN_USE = "in-use"
    AVAILABLE = "available"
    DELETING = "deleting"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Volume:
    """One row of the facts.  ``snapshot_id`` is what it was made of; None: it began empty."""

    id: str
    account_id: str
    region: str
    zone: str
    state: VolumeState
    snapshot_id: str | None
    size_gib: int
    size_bytes: int
    volume_type: str
    is_instance_store: bool
    instance_id: str | None
    device_name: str | None
    delete_on_termination: bool
    created_at: datetime
    attached_at: datetime | None
    iops: int | None = None  # as asked for; a record, no promise
    throughput: int | None = None
