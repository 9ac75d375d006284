"""An account's guard against public sharing in one region: one state for images, one for snapshots.

    images       block-new-sharing ◀─enable── ──disable─▶ unblocked      nothing new becomes public; what is public stays so
    snapshots    block-new-sharing, unblocked                            the same
                 block-all-sharing                                       what is public is hidden too, until the guard is lifted

An account begins with images guarded and snapshots not, as on EC2.  Source: EC2 API, EnableImageBlockPublicAccess,
EnableSnapshotBlockPublicAccess.
"""

from dataclasses import dataclass
from typing import Final

BLOCK_ALL_SHARING: Final = "block-all-sharing"
BLOCK_NEW_SHARING: Final = "block-new-sharing"
UNBLOCKED: Final = "unblocked"


@dataclass(frozen=True, slots=True)
class BlockPublicAccess:
    """The two states of one account in one region; the defaults are a new account's."""

    images: str = BLOCK_NEW_SHARING
    snapshots: str = UNBLOCKED
