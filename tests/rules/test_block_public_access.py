"""What an account's guards let become public."""

import pytest

from amiable.model.block_public_access import (
    BLOCK_ALL_SHARING,
    BLOCK_NEW_SHARING,
    UNBLOCKED,
    BlockPublicAccess,
)
from amiable.model.errors import InvalidParameterValue, OperationNotPermitted
from amiable.rules.block_public_access import check_image_publish, check_snapshot_publish, check_snapshot_state


def test_a_new_accounts_images_are_guarded_and_its_snapshots_not() -> None:
    with pytest.raises(OperationNotPermitted, match="DisableImageBlockPublicAccess"):
        check_image_publish(BlockPublicAccess())
    check_snapshot_publish(BlockPublicAccess())


@pytest.mark.parametrize("state", [BLOCK_NEW_SHARING, BLOCK_ALL_SHARING])
def test_either_guard_binds_what_it_is_of_and_nothing_else(state: str) -> None:
    guard = BlockPublicAccess(images=UNBLOCKED, snapshots=state)
    check_image_publish(guard)
    with pytest.raises(OperationNotPermitted, match="DisableSnapshotBlockPublicAccess"):
        check_snapshot_publish(guard)
    check_snapshot_state(state)


def test_a_guard_is_not_enabled_by_lifting_it() -> None:
    with pytest.raises(InvalidParameterValue, match=r"Value \(unblocked\) for parameter State is invalid"):
        check_snapshot_state(UNBLOCKED)
