"""DescribeImages: the images that the caller may see, and of each what it may know.

Others' deprecated images are left out of lists unless wanted; who names an id, or owns the image, sees it.  Disabled images are their
owner's, who asks for them or names them.  What allowed images settings that are enabled do not allow is not there.

Source: EC2 API Reference, DescribeImages.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_ids
from amiable.api.ec2.product_codes import product_codes
from amiable.api.ec2.tags import parse_filters, tag_set
from amiable.api.paging import Page, open_page
from amiable.database import allowed_images, images, lineage
from amiable.database.image_selection import Selection, list_ids, list_images, list_key
from amiable.model import ids
from amiable.model.allowed_images import AllowedImagesState
from amiable.model.errors import InvalidParameterValue, InvalidUserIDMalformed, NotFound
from amiable.model.image import EVERYONE, OWNER_ALIASES, Image, ImageDevice, ImageType
from amiable.model.principal import Principal
from amiable.model.watermark import Watermark
from amiable.rules import image_filters
from amiable.rules.deregistration import is_left_out
from amiable.rules.filters import Filter
from amiable.rules.image_filters import HYPERVISOR, spell_time
from amiable.rules.name_guard import names_looked_for
from amiable.rules.retirement import UNPROTECTED
from amiable.services import Services
from amiable.services.name_guard import note_lookup
from amiable.wire.generated import ec2

IMAGE_IDS_MAX: Final = 10_000
PLATFORM_DETAILS: Final = {None: ("Linux/UNIX", "RunInstances"), "windows": ("Windows", "RunInstances:0002")}
"""Platform → its details and the operation that is billed."""


def describe_images(
    services: Services, principal: Principal, request: ec2.DescribeImagesRequest
) -> ec2.DescribeImagesResult:
    """The images that the caller may see: its own, those shared with it, public ones."""
    check_image_ids(request.image_ids or [])
    wanted = parse_filters(request.filters)
    image_filters.check_names(wanted)
    page = open_page(services, principal, request)
    asked = _selection(principal, request, wanted, page)
    with services.database.read() as c:
        visible = _with_settings(c, asked, services.now())
        if asked.ids is not None:
            _check_all_there(c, visible, request.image_ids or [])
        raise_if_dry_run(request)
        found = list_images(c, visible)
    names_an_owner = bool(request.owners or request.image_ids)
    note_lookup(services, principal, names_looked_for(wanted, names_an_owner=names_an_owner))
    shown, token = page.cut(found, list_key)
    return ec2.DescribeImagesResult(images=[element(image, principal.account_id) for image in shown], next_token=token)


def _selection(
    principal: Principal, request: ec2.DescribeImagesRequest, wanted: tuple[Filter, ...], page: Page
) -> Selection:
    named = request.image_ids
    if named and len(named) > IMAGE_IDS_MAX:
        raise InvalidParameterValue(f"A request may name {IMAGE_IDS_MAX} images at most; this one names {len(named)}.")
    return Selection(
        viewer=principal.account_id,
        region=principal.region,
        ids=frozenset(named) if named else None,
        owners=_accounts(principal, request.owners, OWNER_ALIASES),
        executable_by=_accounts(principal, request.executable_users, (EVERYONE,)),
        filters=wanted,
        has_deprecated=bool(named or request.include_deprecated),
        has_disabled=bool(named or request.include_disabled),
        after=page.after,
        size=None if page.size is None else page.size + 1,
    )


def _with_settings(c: Connection, asked: Selection, now: datetime) -> Selection:
    """The selection as of now, under the caller's allowed images settings."""
    settings = allowed_images.find(c, asked.viewer, asked.region)
    if settings.state is AllowedImagesState.DISABLED:
        return replace(asked, now=now)
    return replace(
        asked,
        now=now,
        allowed=allowed_images.allows(settings, asked.viewer, now),
        hides_not_allowed=settings.state is AllowedImagesState.ENABLED,
    )


def _check_all_there(c: Connection, asked: Selection, image_ids: Sequence[str]) -> None:
    """Refuses ids of images that are not there for the caller; filters and owners may leave out those that are.

    A deregistered image that was the caller's not long ago, or that an instance of its refers to, is left out, not refused.
    """
    there = list_ids(c, replace(asked, owners=None, executable_by=None, filters=()))
    missing = [image_id for image_id in dict.fromkeys(image_ids) if image_id not in there]
    missing = [image_id for image_id in missing if not _is_left_out(c, asked, image_id)]
    if missing:
        raise NotFound("image", missing)


def _is_left_out(c: Connection, asked: Selection, image_id: str) -> bool:
    image = images.get(c, asked.region, image_id, viewer=asked.viewer)
    if image is None or asked.now is None:
        return False
    instances = lineage.uses(c, asked.viewer, asked.region, [image_id], now=asked.now)
    return is_left_out(image, asked.viewer, asked.now, has_instance=bool(instances))


def _accounts(principal: Principal, named: Sequence[str] | None, words: Sequence[str]) -> frozenset[str] | None:
    """The accounts that are named, ``self`` being the caller, and which of ``words``; None where nothing is."""
    for each in named or []:
        if each != "self" and each not in words and not ids.is_account(each):
            raise InvalidUserIDMalformed(value=each)
    return frozenset(principal.account_id if each == "self" else each for each in named) if named else None


def element(image: Image, viewer: str) -> ec2.Image:
    """One item of ``imagesSet``, as ``viewer`` sees it."""
    is_machine = image.image_type is ImageType.MACHINE
    is_own = image.account_id == viewer
    reason = image.state_reason
    details, operation = PLATFORM_DETAILS[image.platform] if is_machine else (None, None)
    return ec2.Image(
        image_id=image.id,
        image_location=image.location,
        state=image.state,
        state_reason=ec2.StateReason(code=reason.code, message=reason.message) if reason else None,
        owner_id=image.account_id,
        image_owner_alias=image.owner_alias,
        creation_date=spell_time(image.created_at),
        deprecation_time=_time(image.deprecation_at),
        public=image.is_public,
        image_allowed=image.is_allowed,
        architecture=image.architecture,
        image_type=image.image_type,
        kernel_id=image.kernel_id,
        ramdisk_id=image.ramdisk_id,
        platform=image.platform,
        product_codes=product_codes(image.product_codes) or None,
        platform_details=details,
        usage_operation=operation,
        block_device_mappings=[_mapping(device) for device in image.devices],
        description=image.description,
        ena_support=image.ena_support if is_machine else None,
        hypervisor=HYPERVISOR,
        name=image.name,
        root_device_name=image.root_device_name,
        root_device_type=image.root_device_type,
        sriov_net_support=image.sriov_net_support,
        tags=tag_set(image.tags),
        virtualization_type=image.virtualization_type,
        boot_mode=image.boot_mode,
        tpm_support=image.tpm_support,
        imds_support=image.imds_support,
        image_watermarks=[watermark_element(mark) for mark in image.watermarks] or None,
        instance_type_specification=_instance_types(image),
        public_ssm_parameter_name=next(iter(image.public_parameters), None),
        deregistration_protection=(image.deregistration_protection or UNPROTECTED) if is_own else None,
        last_launched_time=_time(image.last_launched_at) if is_own else None,
        source_instance_id=image.source_instance_id if is_own else None,
        source_image_id=image.source_image_id if is_own else None,
        source_image_region=image.source_image_region if is_own else None,
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else spell_time(moment)


def watermark_element(mark: Watermark) -> ec2.ImageWatermark:
    """One item of ``imageWatermarkSet``."""
    return ec2.ImageWatermark(
        watermark_key=mark.key,
        source_image_id=mark.source_image_id,
        source_image_region=mark.source_image_region,
        source_image_creation_time=mark.source_image_created_at,
        watermark_creation_time=mark.created_at,
    )


def _instance_types(image: Image) -> ec2.InstanceTypeSpecification | None:
    rule = image.instance_types
    if not rule.supported and not rule.unsupported:
        return None
    supported, unsupported = (
        [ec2.InstanceTypeItem(instance_type=pattern) for pattern in patterns] or None
        for patterns in (rule.supported, rule.unsupported)
    )
    return ec2.InstanceTypeSpecification(supported_instance_types=supported, unsupported_instance_types=unsupported)


def _mapping(device: ImageDevice) -> ec2.BlockDeviceMapping:
    if not device.is_volume:
        return ec2.BlockDeviceMapping(device_name=device.device_name, virtual_name=device.virtual_name)
    volume = ec2.EbsBlockDevice(
        delete_on_termination=device.delete_on_termination,
        iops=device.iops,
        snapshot_id=device.snapshot_id,
        volume_size=device.size_gib,
        volume_type=device.volume_type,
        throughput=device.throughput,
        encrypted=device.encrypted,
    )
    return ec2.BlockDeviceMapping(device_name=device.device_name, ebs=volume)
