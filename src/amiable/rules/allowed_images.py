"""Which images an account's settings allow, and which settings may be made.

An account's own images are always allowed.  Kernels and ramdisks are not restricted: their list is the administrator's.
``database/allowed_images`` says the same in SQL; a law of the tests holds the two against each other.
Source: EC2 API, ReplaceImageCriteriaInAllowedImagesSettings; User Guide, "Allowed AMIs".
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from amiable.model.allowed_images import AllowedImages, AllowedImagesState, ImageCriterion, WatermarkCriterion
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.ids import is_account
from amiable.model.image import OWNER_ALIASES, Image, ImageType
from amiable.model.watermark import Watermark
from amiable.rules.filters import matcher

CRITERIA_MAX: Final = 10
PROVIDERS_MAX: Final = 200
NAMES_MAX: Final = 50
PRODUCT_CODES_MAX: Final = 50
WATERMARKS_MAX: Final = 50
NO_PROVIDER: Final = "none"
"""The provider that stands for no foreign image at all."""
DAYS_MAX: Final = 36_500
"""Longer than any image here is old: a limit above it is none, and no moment is computed out of it."""

_NAME: Final = re.compile(r"[A-Za-z0-9()\[\]./\-'@_*? ]{1,128}")
_PRODUCT_CODE: Final = re.compile(r"[A-Za-z0-9]{1,25}")


def check_criteria(criteria: Sequence[ImageCriterion]) -> None:
    """Refuses criteria that EC2 would; all of them or none are taken."""
    if len(criteria) > CRITERIA_MAX:
        raise InvalidParameterValue(f"There may be {CRITERIA_MAX} image criteria at most; these are {len(criteria)}.")
    for number, criterion in enumerate(criteria, start=1):
        name = f"ImageCriterion.{number}"
        if criterion == ImageCriterion():
            raise InvalidParameterValue(f"{name} is empty: an image criterion must have at least one condition.")
        _check_providers(f"{name}.ImageProvider", criterion.providers)
        _check_texts(f"{name}.ImageName", criterion.names, NAMES_MAX, _NAME)
        for text in criterion.names:
            if "?" in text and len(text) < 3:
                raise InvalidParameterValue(
                    parameter=f"{name}.ImageName", value=text, why="A name with ? has at least 3 characters."
                )
        _check_texts(f"{name}.MarketplaceProductCode", criterion.product_codes, PRODUCT_CODES_MAX, _PRODUCT_CODE)
        _check_watermarks(f"{name}.ImageWatermark", criterion.watermarks)


def _check_providers(name: str, providers: Sequence[str]) -> None:
    if len(providers) > PROVIDERS_MAX:
        raise InvalidParameterValue(f"{name} may have {PROVIDERS_MAX} values at most.")
    for provider in providers:
        if provider not in (*OWNER_ALIASES, NO_PROVIDER) and not is_account(provider):
            why = f"Give an account id, {', '.join(OWNER_ALIASES)}, or {NO_PROVIDER}."
            raise InvalidParameterValue(parameter=name, value=provider, why=why)
    if NO_PROVIDER in providers and len(providers) > 1:
        raise InvalidParameterCombination(f"{name}: {NO_PROVIDER} cannot be combined with other image providers.")


def _check_watermarks(name: str, watermarks: Sequence[WatermarkCriterion]) -> None:
    if len(watermarks) > WATERMARKS_MAX:
        raise InvalidParameterValue(f"{name} may have {WATERMARKS_MAX} values at most.")
    for wanted in watermarks:
        if wanted == WatermarkCriterion() or "" in (wanted.key, wanted.source_image_region):
            raise InvalidParameterValue(f"{name} has an empty value.")
        for parameter, days in (
            ("MaximumDaysSinceSourceImageCreated", wanted.source_image_created_days_max),
            ("MaximumDaysSinceWatermarkCreated", wanted.created_days_max),
        ):
            if days is not None and days < 0:
                why = "Expecting a value greater than or equal to 0."
                raise InvalidParameterValue(parameter=f"{name}.{parameter}", value=days, why=why)


def _check_texts(name: str, texts: Sequence[str], count_max: int, form: re.Pattern[str]) -> None:
    if len(texts) > count_max:
        raise InvalidParameterValue(f"{name} may have {count_max} values at most.")
    for text in texts:
        if form.fullmatch(text) is None:
            raise InvalidParameterValue(parameter=name, value=text, why="It has the wrong length or characters.")


def is_allowed(settings: AllowedImages, image: Image, viewer: str, now: datetime) -> bool:
    """Whether the criteria allow ``viewer`` the image, whatever the state is."""
    if image.account_id == viewer or image.image_type is not ImageType.MACHINE:
        return True
    return any(_meets(criterion, image, now) for criterion in settings.criteria)


def is_hidden(settings: AllowedImages, image: Image, viewer: str, now: datetime) -> bool:
    """Whether the settings, being enabled, keep the image from ``viewer``."""
    return settings.state is AllowedImagesState.ENABLED and not is_allowed(settings, image, viewer, now)


def _meets(criterion: ImageCriterion, image: Image, now: datetime) -> bool:
    if criterion.scan_result is not None:
        return False
    if criterion.providers and not {image.account_id, image.owner_alias} & set(criterion.providers):
        return False
    if criterion.product_codes and not {each.code for each in image.product_codes} & set(criterion.product_codes):
        return False
    if criterion.names and not matcher(criterion.names)(image.name):
        return False
    if not _is_recent(image.created_at, criterion.created_days_max, now):
        return False
    if not _is_recently_deprecated(image.deprecation_at, criterion.deprecated_days_max, now):
        return False
    return not criterion.watermarks or any(
        _carries(wanted, mark, now) for wanted in criterion.watermarks for mark in image.watermarks
    )


def _is_recently_deprecated(moment: datetime | None, days_max: int | None, now: datetime) -> bool:
    """Whether the image is not deprecated, or not too long; 0 days allow no deprecated image."""
    if moment is None or moment > now or days_max is None:
        return True
    return days_max > 0 and moment >= earliest(days_max, now)


def _carries(wanted: WatermarkCriterion, mark: Watermark, now: datetime) -> bool:
    return (
        (wanted.key is None or matcher([wanted.key])(mark.key))
        and (wanted.source_image_region is None or matcher([wanted.source_image_region])(mark.source_image_region))
        and _is_recent(mark.source_image_created_at, wanted.source_image_created_days_max, now)
        and _is_recent(mark.created_at, wanted.created_days_max, now)
    )


def _is_recent(moment: datetime, days_max: int | None, now: datetime) -> bool:
    return days_max is None or moment >= earliest(days_max, now)


def earliest(days_max: int, now: datetime) -> datetime:
    """The earliest moment that lies at most ``days_max`` days back."""
    return now - timedelta(days=min(days_max, DAYS_MAX))
