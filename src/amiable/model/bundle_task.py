"""The bundling of an instance's root volume into a bucket, by the server.

States are EC2's (``BundleTask.state``); how one follows another is ``rules/bundle_task``.  A task that was cancelled ends as failed,
with ``CANCELLED`` as its error's code.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class BundleState(StrEnum):
    """EC2's states of a bundle task."""

    PENDING = "pending"
    WAITING_FOR_SHUTDOWN = "waiting-for-shutdown"
    BUNDLING = "bundling"
    STORING = "storing"
    CANCELLING = "cancelling"
    COMPLETE = "complete"
    FAILED = "failed"


ENDED: Final = (BundleState.COMPLETE, BundleState.FAILED)
CANCELLED: Final = "Client.Cancelled"


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task failed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BundleTask:
    """One row of ``bundle_task``.  ``object_owner_id``: the account whose access key signed the upload policy; what is written is its own.

    ``prefix`` is a key's beginning: the manifest is ``<prefix>.manifest.xml``, a part ``<prefix>.part.<number>``.
    """

    id: str
    account_id: str
    region: str
    instance_id: str
    state: BundleState
    progress_percent: int
    bucket: str
    prefix: str
    object_owner_id: str
    acl: str
    error: TaskError | None
    started_at: datetime
    updated_at: datetime

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state not in ENDED

    @property
    def name(self) -> str:
        """The bundle's name: the prefix without its folder."""
        return self.prefix.rpartition("/")[2]

    def key_of(self, filename: str) -> str:
        """The key of one of the bundle's files."""
        folder, slash, _ = self.prefix.rpartition("/")
        return f"{folder}{slash}{filename}"

    @property
    def manifest_key(self) -> str:
        """The key of the manifest: there once the task is complete."""
        return f"{self.prefix}.manifest.xml"
