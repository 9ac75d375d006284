"""One disk of an instance, or one that waits for an instance: an EBS volume, or an instance-store disk kept in the same way.

    creating ──▶ available ──attach──▶ in-use ──detach──▶ available ──delete──▶ deleting ──▶ (no row)
                                   attaching ─▶ attached ─▶ detaching

``size_bytes`` is what the guest sees (an instance-store root is as long as its image); ``size_gib`` is what EC2 says.  A volume
that is being detached is in use until its guest has let go of it.  Source: EC2 API, Volume.status, VolumeAttachment.status.
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


class AttachmentState(StrEnum):
    """EC2's states of an attachment, as far as they are kept: a detached volume has no attachment."""

    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"


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
    iops: int | None = None  # as asked for; None: the type's own
    throughput: int | None = None  # MiB/s
    attachment_state: AttachmentState | None = None
    virtual_name: str | None = None  # ephemeral0: a local disk, emptied at each stop
    auto_enable_io: bool = False

    @property
    def is_leaving(self) -> bool:
        """Whether its instance has been asked to let go of it."""
        return self.attachment_state is AttachmentState.DETACHING
