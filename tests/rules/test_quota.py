"""How many images an account may have."""

from collections.abc import Callable

import pytest

from amiable.model.errors import ResourceLimitExceeded
from amiable.model.volume_errors import SnapshotLimitExceeded
from amiable.rules.quota import check_image_quota, check_public_quota, check_snapshot_quota


@pytest.mark.parametrize("check", [check_image_quota, check_public_quota])
def test_the_last_one_fits_and_the_next_does_not(check: Callable[[int, int], None]) -> None:
    check(4, 5)
    for count in (5, 6):  # a quota that was lowered since
        with pytest.raises(
            ResourceLimitExceeded, match=f"The account has {count} .*images in this region and may have 5"
        ):
            check(count, 5)


def test_snapshots_have_a_quota_and_a_code_of_their_own() -> None:
    check_snapshot_quota(4, 5)
    with pytest.raises(SnapshotLimitExceeded, match="The account has 5 snapshots in this region and may have 5"):
        check_snapshot_quota(5, 5)
