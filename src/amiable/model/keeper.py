"""What keeps an image or a snapshot alive, and the command that would free it."""

from dataclasses import dataclass
from enum import StrEnum


class KeeperKind(StrEnum):
    INSTANCE = "instance"
    VOLUME = "volume"
    IMAGE = "image"
    SNAPSHOT = "snapshot"
    SHARE = "share"
    CHANNEL = "channel"
    PARAMETER = "parameter"
    LAUNCH_TEMPLATE = "launch-template"
    SUBSCRIPTION = "subscription"
    LOCK = "lock"
    PROTECTION = "protection"
    BIN = "bin"


@dataclass(frozen=True, slots=True)
class Keeper:
    """One of them.  ``account_id`` is whose it is; ``command`` None: only time frees it, or nobody but its owner."""

    kind: KeeperKind
    resource_id: str
    account_id: str
    words: str
    command: str | None = None
    blocks: bool = False
    """Whether the deletion is refused because of it."""
    count: int = 1
    """How many there are, where another account's are told by their number only."""
