"""Allowed images: enabled, audited, disabled, and their criteria replaced as a whole."""

from amiable.api.dry_run import MayBeDry, raise_if_dry_run
from amiable.database import allowed_images as rows
from amiable.model.allowed_images import (
    AllowedImages,
    AllowedImagesState,
    ImageCriterion,
    ScanResultCriterion,
    WatermarkCriterion,
)
from amiable.model.principal import Principal
from amiable.rules.allowed_images import check_criteria
from amiable.services import Services
from amiable.wire.generated import ec2

MANAGED_BY = "account"


def enable_allowed_images_settings(
    services: Services, principal: Principal, request: ec2.EnableAllowedImagesSettingsRequest
) -> ec2.EnableAllowedImagesSettingsResult:
    """Hides what the criteria do not allow (``enabled``), or only says of each image whether it would be (``audit-mode``)."""
    state = AllowedImagesState(request.allowed_images_settings_state)
    _set_state(services, principal, request, state)
    return ec2.EnableAllowedImagesSettingsResult(allowed_images_settings_state=state.value)


def disable_allowed_images_settings(
    services: Services, principal: Principal, request: ec2.DisableAllowedImagesSettingsRequest
) -> ec2.DisableAllowedImagesSettingsResult:
    """Allows every image; the criteria are kept."""
    _set_state(services, principal, request, AllowedImagesState.DISABLED)
    return ec2.DisableAllowedImagesSettingsResult(allowed_images_settings_state=AllowedImagesState.DISABLED.value)


def _set_state(services: Services, principal: Principal, request: MayBeDry, state: AllowedImagesState) -> None:
    raise_if_dry_run(request)
    with services.database.write() as c:
        present = rows.find(c, principal.account_id, principal.region)
        rows.put(c, principal.account_id, principal.region, AllowedImages(state, present.criteria))


def get_allowed_images_settings(
    services: Services, principal: Principal, request: ec2.GetAllowedImagesSettingsRequest
) -> ec2.GetAllowedImagesSettingsResult:
    """State and criteria, as they were written."""
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = rows.find(c, principal.account_id, principal.region)
    criteria = [_element(criterion) for criterion in found.criteria]
    return ec2.GetAllowedImagesSettingsResult(state=found.state.value, image_criteria=criteria, managed_by=MANAGED_BY)


def replace_image_criteria_in_allowed_images_settings(
    services: Services, principal: Principal, request: ec2.ReplaceImageCriteriaInAllowedImagesSettingsRequest
) -> ec2.ReplaceImageCriteriaInAllowedImagesSettingsResult:
    """Replaces all criteria; none given, none are left."""
    criteria = tuple(_criterion(each) for each in request.image_criteria or [])
    check_criteria(criteria)
    raise_if_dry_run(request)
    with services.database.write_and_answer() as c:
        present = rows.find(c, principal.account_id, principal.region)
        rows.put(c, principal.account_id, principal.region, AllowedImages(present.state, criteria))
    return ec2.ReplaceImageCriteriaInAllowedImagesSettingsResult(return_value=True)


def _criterion(it: ec2.ImageCriterionRequest) -> ImageCriterion:
    deprecation, creation, scan = it.deprecation_time_condition, it.creation_date_condition, it.scan_result_condition
    return ImageCriterion(
        providers=tuple(it.image_providers or ()),
        product_codes=tuple(it.marketplace_product_codes or ()),
        names=tuple(it.image_names or ()),
        deprecated_days_max=None if deprecation is None else deprecation.maximum_days_since_deprecated,
        created_days_max=None if creation is None else creation.maximum_days_since_created,
        watermarks=tuple(_watermark(each) for each in it.image_watermarks or ()),
        scan_result=None if scan is None else _scan_result(scan),
    )


def _watermark(it: ec2.ImageWatermarkFilterRequest) -> WatermarkCriterion:
    return WatermarkCriterion(
        key=it.watermark_key,
        source_image_region=it.source_image_region,
        source_image_created_days_max=it.maximum_days_since_source_image_created,
        created_days_max=it.maximum_days_since_watermark_created,
    )


def _scan_result(it: ec2.ScanResultConditionRequest) -> ScanResultCriterion:
    return ScanResultCriterion(
        scanned_days_max=it.max_days_since_last_finding_scan,
        severity_max=it.maximum_severity_label,
        informational_fix_days_max=it.max_days_since_informational_fix_available,
        low_fix_days_max=it.max_days_since_low_fix_available,
        medium_fix_days_max=it.max_days_since_medium_fix_available,
        high_fix_days_max=it.max_days_since_high_fix_available,
        critical_fix_days_max=it.max_days_since_critical_fix_available,
    )


def _element(it: ImageCriterion) -> ec2.ImageCriterion:
    return ec2.ImageCriterion(
        image_providers=list(it.providers) or None,
        marketplace_product_codes=list(it.product_codes) or None,
        image_names=list(it.names) or None,
        deprecation_time_condition=None
        if it.deprecated_days_max is None
        else ec2.DeprecationTimeCondition(maximum_days_since_deprecated=it.deprecated_days_max),
        creation_date_condition=None
        if it.created_days_max is None
        else ec2.CreationDateCondition(maximum_days_since_created=it.created_days_max),
        image_watermarks=[
            ec2.ImageWatermarkFilterResponse(
                watermark_key=mark.key,
                source_image_region=mark.source_image_region,
                maximum_days_since_source_image_created=mark.source_image_created_days_max,
                maximum_days_since_watermark_created=mark.created_days_max,
            )
            for mark in it.watermarks
        ]
        or None,
        scan_result_condition=None
        if it.scan_result is None
        else ec2.ScanResultCondition(
            max_days_since_last_finding_scan=it.scan_result.scanned_days_max,
            maximum_severity_label=it.scan_result.severity_max,
            max_days_since_informational_fix_available=it.scan_result.informational_fix_days_max,
            max_days_since_low_fix_available=it.scan_result.low_fix_days_max,
            max_days_since_medium_fix_available=it.scan_result.medium_fix_days_max,
            max_days_since_high_fix_available=it.scan_result.high_fix_days_max,
            max_days_since_critical_fix_available=it.scan_result.critical_fix_days_max,
        ),
    )
