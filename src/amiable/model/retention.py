"""A retention rule: which deleted images or snapshots of an account the Recycle Bin keeps, and for how long.

    tag level      keeps what has one of ``resource_tags``
    Region level   no resource tags: keeps everything but what has one of ``exclude_tags``

    unlocked ──LockRule──▶ locked ──UnlockRule──▶ pending_unlock ──the delay is over──▶ unlocked
                             ▲────────LockRule────────┘

A rule that is locked, or waits to be unlocked, can be neither changed nor deleted.  Source: Recycle Bin API 2021-06-15.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

IMAGE: Final = "EC2_IMAGE"
SNAPSHOT: Final = "EBS_SNAPSHOT"
RETAINED: Final = (IMAGE, SNAPSHOT)
"""The resource types whose rules Amiable keeps."""
RULES_MAX: Final = 250
"""Per account and region."""
DAYS_MAX: Final = 365
RULES_PER_TAG_MAX: Final = 5
"""How many rules of a type may name the same key and value."""
RULE_TAGS_MAX: Final = 50


class LockState(StrEnum):
    UNLOCKED = "unlocked"
    LOCKED = "locked"
    PENDING_UNLOCK = "pending_unlock"


@dataclass(frozen=True, slots=True, order=True)
class TagMatch:
    """A tag that a rule names; no ``value`` stands for any."""

    key: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """One rule; its own tags are apart."""

    id: str
    account_id: str
    region: str
    resource_type: str  # EC2_IMAGE | EBS_SNAPSHOT
    description: str | None
    retention_days: int
    created_at: datetime
    resource_tags: tuple[TagMatch, ...] = ()
    exclude_tags: tuple[TagMatch, ...] = ()
    unlock_delay_days: int | None = None  # None: never locked
    unlocked_at: datetime | None = None  # the end of the delay; None with a delay: locked

    @property
    def is_tag_level(self) -> bool:
        return bool(self.resource_tags)

    @property
    def arn(self) -> str:
        return f"arn:aws:rbin:{self.region}:{self.account_id}:rule/{self.id}"

    def lock_state(self, now: datetime) -> LockState:
        """The state of its lock at ``now``."""
        if self.unlock_delay_days is None:
            return LockState.UNLOCKED
        if self.unlocked_at is None:
            return LockState.LOCKED
        return LockState.PENDING_UNLOCK if now < self.unlocked_at else LockState.UNLOCKED
