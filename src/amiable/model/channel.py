"""A channel: a named pointer to an image that moves, and remembers where it pointed.

    create ═ version 1 ══ promote ═ version 2 ══ promote ═ version 3 ══ rollback ═ version 4, which restores 2

A version never changes; a move adds one.  A channel is read as a parameter of data type ``aws:ec2:image``, with the same version
numbers: ``/amiable/channel/NAME`` by its owner, and, where the channel is public, below ``/aws/service/amiable/`` by everybody.
Who may launch through a channel is decided by the image alone.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelVersion:
    """Where a channel pointed from ``created_at`` until the next version; ``restores`` is the version that a rollback went back to."""

    number: int
    image_id: str
    created_at: datetime
    created_by: str  # an access key
    restores: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel and its current version."""

    account_id: str
    region: str
    name: str
    description: str | None
    is_public: bool
    is_house: bool  # the administrator's
    created_at: datetime
    current: ChannelVersion
