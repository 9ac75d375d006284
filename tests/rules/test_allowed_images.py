"""What allowed images settings may say, and what they allow, of values."""

import pytest

from amiable.model.allowed_images import AllowedImages, AllowedImagesState, ImageCriterion, WatermarkCriterion
from amiable.model.errors import InvalidParameterValue
from amiable.rules.allowed_images import check_criteria, earliest
from tests.support.clock import Clock


@pytest.mark.parametrize("empty", [ImageCriterion(), ImageCriterion(watermarks=(WatermarkCriterion(),))])
def test_a_criterion_without_a_condition_is_refused(empty: ImageCriterion) -> None:
    """It would allow every image."""
    with pytest.raises(InvalidParameterValue, match="empty"):
        check_criteria([empty])


def test_nothing_is_said_where_nothing_was() -> None:
    assert AllowedImages() == AllowedImages(AllowedImagesState.DISABLED, ())


def test_the_longest_time_that_ec2_takes_is_no_overflow() -> None:
    assert earliest(2_147_483_647, Clock()()).year > 1900
