"""Allowed images: which foreign images an account lets itself see and launch in a region.

Criteria are alternatives; within one, every condition that is set must hold.  Source: EC2 API, ImageCriterion; User Guide,
"Allowed AMIs".
"""

from enum import StrEnum

import msgspec


class AllowedImagesState(StrEnum):
    DISABLED = "disabled"
    AUDIT_MODE = "audit-mode"  # every image says whether it would be allowed; none is hidden
    ENABLED = "enabled"


class WatermarkCriterion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A watermark that an image must carry: all that is set must hold of the same one.  Days are whole days of 24 hours."""

    key: str | None = None
    source_image_region: str | None = None
    source_image_created_days_max: int | None = None
    created_days_max: int | None = None


class ScanResultCriterion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a scan for vulnerabilities must have found.  No image is scanned here, so none meets it."""

    scanned_days_max: int | None = None
    severity_max: str | None = None
    informational_fix_days_max: int | None = None
    low_fix_days_max: int | None = None
    medium_fix_days_max: int | None = None
    high_fix_days_max: int | None = None
    critical_fix_days_max: int | None = None


class ImageCriterion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One criterion; an empty tuple or None is no condition."""

    providers: tuple[str, ...] = ()
    product_codes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    deprecated_days_max: int | None = None
    created_days_max: int | None = None
    watermarks: tuple[WatermarkCriterion, ...] = ()
    scan_result: ScanResultCriterion | None = None


class AllowedImages(msgspec.Struct, frozen=True):
    """An account's settings in a region; criteria are kept while the state is ``disabled``."""

    state: AllowedImagesState = AllowedImagesState.DISABLED
    criteria: tuple[ImageCriterion, ...] = ()
