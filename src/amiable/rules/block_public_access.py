"""Whether something may become public under its account's guard, and which states a guard may be put into."""

from typing import Final

from amiable.model.block_public_access import BLOCK_ALL_SHARING, BLOCK_NEW_SHARING, UNBLOCKED, BlockPublicAccess
from amiable.model.errors import InvalidParameterValue, OperationNotPermitted

SNAPSHOT_STATES: Final = (BLOCK_ALL_SHARING, BLOCK_NEW_SHARING)
"""What EnableSnapshotBlockPublicAccess may be asked for; of images the guard has the one state."""


def check_snapshot_state(state: str) -> None:
    """Refuses ``unblocked``, which is a state of EC2's model and yet none that EnableSnapshotBlockPublicAccess takes."""
    if state not in SNAPSHOT_STATES:
        why = f"Expecting {' or '.join(SNAPSHOT_STATES)}; DisableSnapshotBlockPublicAccess lifts the guard."
        raise InvalidParameterValue(parameter="State", value=state, why=why)


def check_image_publish(guard: BlockPublicAccess) -> None:
    """Refuses to make an image public while the account's guard for images stands."""
    if guard.images != UNBLOCKED:
        raise OperationNotPermitted(
            "You can't publicly share this image because block public access for AMIs is enabled for this account. "
            "To publicly share the image, you must call the DisableImageBlockPublicAccess API.",
            hint="amiable image public-access allow",
        )


def check_snapshot_publish(guard: BlockPublicAccess) -> None:
    """Refuses to make a snapshot public while the account's guard for snapshots stands."""
    if guard.snapshots != UNBLOCKED:
        raise OperationNotPermitted(
            "You can't publicly share this snapshot because block public access for snapshots is enabled for this account. "
            "To publicly share the snapshot, you must call the DisableSnapshotBlockPublicAccess API.",
            hint="aws ec2 disable-snapshot-block-public-access",
        )
