"""DescribeImages."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id
from amiable.api.ec2.product_codes import product_codes
from amiable.api.ec2.tags import parse_filters, tag_set
from amiable.api.paging import cut_page, open_page
from amiable.database import images
from amiable.database.images import Selection
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, InvalidUserIDMalformed, NotFound
from amiable.model.image import EVERYONE, Image, ImageDevice, ImageType
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.services import Services
from amiable.wire.generated import ec2

IMAGE_IDS_MAX: Final = 10_000
OWNER_ALIASES: Final = ("amazon", "aws-marketplace", "aws-backup-vault")
"""Owners that EC2 knows by name.  None of them has images here, so they select nothing."""

HYPERVISOR: Final = "xen"
"""What EC2 says of every image, Nitro ones too; clients compare it."""
PLATFORM_DETAILS: Final = "Linux/UNIX"
USAGE_OPERATION: Final = "RunInstances"


def creation_date(image: Image) -> str:
    """When the image was registered, as DescribeImages spells it: ISO 8601 with milliseconds."""
    return f"{image.created_at:%Y-%m-%dT%H:%M:%S}.{image.created_at.microsecond // 1000:03d}Z"


FIELDS: Final[Mapping[str, filters.Field[Image]]] = {
    "architecture": lambda image: (image.architecture,),
    "block-device-mapping.delete-on-termination": lambda image: (
        boolean(d.delete_on_termination) for d in image.devices
    ),
    "block-device-mapping.device-name": lambda image: (device.device_name for device in image.devices),
    "block-device-mapping.encrypted": lambda image: (boolean(device.encrypted) for device in image.devices),
    "block-device-mapping.snapshot-id": lambda image: (device.snapshot_id for device in image.devices),
    "block-device-mapping.volume-size": lambda image: (
        str(d.size_gib) for d in image.devices if d.size_gib is not None
    ),
    "block-device-mapping.volume-type": lambda image: (device.volume_type for device in image.devices),
    "boot-mode": lambda image: (image.boot_mode,),
    "creation-date": lambda image: (creation_date(image),),
    "description": lambda image: (image.description,),
    "ena-support": lambda image: (boolean(image.ena_support),),
    "hypervisor": lambda image: (HYPERVISOR,),
    "image-id": lambda image: (image.id,),
    "image-type": lambda image: (image.image_type,),
    "is-public": lambda image: (boolean(image.is_public),),
    "kernel-id": lambda image: (image.kernel_id,),
    "manifest-location": lambda image: (image.location,),
    "name": lambda image: (image.name,),
    "owner-id": lambda image: (image.account_id,),
    "platform": lambda image: (image.platform,),
    "product-code": lambda image: (each.code for each in image.product_codes),
    "ramdisk-id": lambda image: (image.ramdisk_id,),
    "root-device-name": lambda image: (image.root_device_name,),
    "root-device-type": lambda image: (image.root_device_type,),
    "sriov-net-support": lambda image: (image.sriov_net_support,),
    "state": lambda image: (image.state,),
    "state-reason-code": lambda image: (image.state_reason.code if image.state_reason else None,),
    "state-reason-message": lambda image: (image.state_reason.message if image.state_reason else None,),
    "virtualization-type": lambda image: (image.virtualization_type,),
}


def describe_images(
    services: Services, principal: Principal, request: ec2.DescribeImagesRequest
) -> ec2.DescribeImagesResult:
    """The images that the caller may see: its own, those shared with it, public ones."""
    for image_id in request.image_ids or []:
        check_image_id(image_id)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda image: image.tags)
    page = open_page(services, principal, "DescribeImages", request)
    selection = Selection(
        viewer=principal.account_id,
        region=principal.region,
        ids=_wanted_ids(request.image_ids),
        owners=_owners(principal, request.owners),
        executable_by=_executable_users(principal, request.executable_users),
        after=page.after,
        size=None if page.size is None or request.filters else page.size + 1,
    )
    raise_if_dry_run(request)
    with services.database.read() as c:
        _check_all_there(c, principal, request.image_ids)
        found = [image for image in images.list_images(c, selection) if wanted(image)]
    shown, token = cut_page(services, principal, "DescribeImages", request, page, found, images.list_key)
    return ec2.DescribeImagesResult(images=[element(image) for image in shown], next_token=token)


def _wanted_ids(image_ids: Sequence[str] | None) -> frozenset[str] | None:
    if image_ids and len(image_ids) > IMAGE_IDS_MAX:
        raise InvalidParameterValue(
            f"A request may name {IMAGE_IDS_MAX} images at most; this one names {len(image_ids)}."
        )
    return frozenset(image_ids) if image_ids else None


def _check_all_there(c: Connection, principal: Principal, image_ids: Sequence[str] | None) -> None:
    if not image_ids:
        return
    there = images.visible_ids(c, principal.account_id, principal.region, image_ids)
    missing = [image_id for image_id in dict.fromkeys(image_ids) if image_id not in there]
    if missing:
        raise NotFound("image", missing)


def _owners(principal: Principal, owners: Sequence[str] | None) -> frozenset[str] | None:
    for owner in owners or []:
        if owner != "self" and owner not in OWNER_ALIASES and not ids.is_account(owner):
            raise InvalidUserIDMalformed(value=owner)
    return frozenset(principal.account_id if owner == "self" else owner for owner in owners) if owners else None


def _executable_users(principal: Principal, users: Sequence[str] | None) -> frozenset[str] | None:
    for user in users or []:
        if user not in ("self", EVERYONE) and not ids.is_account(user):
            raise InvalidUserIDMalformed(value=user)
    return frozenset(principal.account_id if user == "self" else user for user in users) if users else None


def element(image: Image) -> ec2.Image:
    """One item of ``imagesSet``, as the image's viewer sees it."""
    is_machine = image.image_type is ImageType.MACHINE
    reason = image.state_reason
    return ec2.Image(
        image_id=image.id,
        image_location=image.location,
        state=image.state,
        state_reason=ec2.StateReason(code=reason.code, message=reason.message) if reason else None,
        owner_id=image.account_id,
        creation_date=creation_date(image),
        public=image.is_public,
        architecture=image.architecture,
        image_type=image.image_type,
        kernel_id=image.kernel_id,
        ramdisk_id=image.ramdisk_id,
        platform=image.platform,
        product_codes=product_codes(image.product_codes) or None,
        platform_details=PLATFORM_DETAILS if is_machine else None,
        usage_operation=USAGE_OPERATION if is_machine else None,
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
    )


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
