"""Whether something may become public under its account's guard, and which states a guard may be put into."""

from typing import Final

from amiable.model.block_public_access import BLOCK_ALL_SHARING, BLOCK_NEW_SHARING, UNBLOCKED, BlockPublicAccess
from amiable.model.errors import InvalidParameterValue, OperationNotPermitted

IMAGE_STATES: Final = (BLOCK_NEW_SHARING,)
SNAPSHOT_STATES: Final = (BLOCK_ALL_SHARING, BLOCK_NEW_SHARING)
"""What Enable… may be asked for; ``unblocked`` is what Disable… leaves."""


def check_image_state(state: str) -> None:
    """Refuses a state that EnableImageBlockPublicAccess does not put images into."""
    _check_state(state, IMAGE_STATES, "imageBlockPublicAccessState")


def check_snapshot_state(state: str) -> None:
    """Refuses a state that EnableSnapshotBlockPublicAccess does not put snapshots into."""
    _check_state(state, SNAPSHOT_STATES, "state")


def _check_state(state: str, expected: tuple[str, ...], parameter: str) -> None:
    if state not in expected:
        raise InvalidParameterValue(parameter=parameter, value=state, why=f"Expecting {' or '.join(expected)}.")


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
