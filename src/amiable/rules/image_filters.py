"""The filters of DescribeImages, as a predicate over values: what ``database/image_filters`` says in SQL, said once more.

A law of the tests holds the two against each other.  Source: EC2 API Reference, DescribeImages, Filter.N.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from amiable.model.image import Image, ImageType
from amiable.rules import filters
from amiable.rules.filters import Field, Filter, Predicate, boolean

HYPERVISOR: Final = "xen"
"""What EC2 says of every image, Nitro ones too; clients compare it."""


def spell_time(moment: datetime) -> str:
    """A moment as DescribeImages spells it: ISO 8601 with milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def spell_watermark_time(moment: datetime) -> str:
    """A moment as the filters on watermarks spell it: with microseconds and an offset."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}000+00:00"


def _nothing(_: Image) -> Iterable[str | None]:
    return ()


FIELDS: Final[Mapping[str, Field[Image]]] = {
    "architecture": lambda image: (image.architecture,),
    "block-device-mapping.delete-on-termination": lambda image: (
        boolean(device.delete_on_termination) for device in image.devices
    ),
    "block-device-mapping.device-name": lambda image: (device.device_name for device in image.devices),
    "block-device-mapping.encrypted": lambda image: (boolean(device.encrypted) for device in image.devices),
    "block-device-mapping.snapshot-id": lambda image: (device.snapshot_id for device in image.devices),
    "block-device-mapping.volume-size": lambda image: (
        str(device.size_gib) for device in image.devices if device.size_gib is not None
    ),
    "block-device-mapping.volume-type": lambda image: (device.volume_type for device in image.devices),
    "boot-mode": lambda image: (image.boot_mode,),
    "creation-date": lambda image: (spell_time(image.created_at),),
    "description": lambda image: (image.description,),
    "ena-support": lambda image: (boolean(image.ena_support) if image.image_type is ImageType.MACHINE else None,),
    "free-tier-eligible": _nothing,
    "hypervisor": lambda image: (HYPERVISOR,),
    "image-allowed": lambda image: (boolean(image.is_allowed),),
    "image-id": lambda image: (image.id,),
    "image-type": lambda image: (image.image_type,),
    "image-watermark.source-image-creation-time": lambda image: (
        spell_watermark_time(mark.source_image_created_at) for mark in image.watermarks
    ),
    "image-watermark.source-image-id": lambda image: (mark.source_image_id for mark in image.watermarks),
    "image-watermark.source-image-region": lambda image: (mark.source_image_region for mark in image.watermarks),
    "image-watermark.watermark-creation-time": lambda image: (
        spell_watermark_time(mark.created_at) for mark in image.watermarks
    ),
    "image-watermark.watermark-key": lambda image: (mark.key for mark in image.watermarks),
    "instance-type-specification.supported-instance-type": lambda image: image.instance_types.supported,
    "instance-type-specification.unsupported-instance-type": lambda image: image.instance_types.unsupported,
    "is-public": lambda image: (boolean(image.is_public),),
    "kernel-id": lambda image: (image.kernel_id,),
    "manifest-location": lambda image: (image.location,),
    "name": lambda image: (image.name,),
    "owner-alias": lambda image: (image.owner_alias,),
    "owner-id": lambda image: (image.account_id,),
    "platform": lambda image: (image.platform,),
    "product-code": lambda image: (each.code for each in image.product_codes),
    "product-code.type": lambda image: (each.type for each in image.product_codes),
    "public-ssm-parameter-name": lambda image: image.public_parameters,
    "ramdisk-id": lambda image: (image.ramdisk_id,),
    "root-device-name": lambda image: (image.root_device_name,),
    "root-device-type": lambda image: (image.root_device_type,),
    "scan-result.critical-fix-available-since": _nothing,
    "scan-result.finding-scan-date": _nothing,
    "scan-result.high-fix-available-since": _nothing,
    "scan-result.highest-finding-severity-label": _nothing,
    "scan-result.informational-fix-available-since": _nothing,
    "scan-result.low-fix-available-since": _nothing,
    "scan-result.medium-fix-available-since": _nothing,
    "sriov-net-support": lambda image: (image.sriov_net_support,),
    "state": lambda image: (image.state,),
    "state-reason-code": lambda image: (image.state_reason.code if image.state_reason else None,),
    "state-reason-message": lambda image: (image.state_reason.message if image.state_reason else None,),
    "virtualization-type": lambda image: (image.virtualization_type,),
}
"""No image has a scan result or is of a free tier here: those filters are known and match nothing."""

OWNERS_FIELDS: Final[Mapping[str, Field[Image]]] = {
    "source-image-id": lambda image: (image.source_image_id,),
    "source-image-region": lambda image: (image.source_image_region,),
    "source-instance-id": lambda image: (image.source_instance_id,),
}
"""Where an image comes from is its owner's to know: for anybody else it lacks these."""


def check_names(wanted: Sequence[Filter]) -> None:
    """Refuses a filter that images do not have."""
    predicate(wanted, viewer="")


def predicate(wanted: Sequence[Filter], viewer: str) -> Predicate[Image]:
    """Whether an image, as ``viewer`` sees it, passes all the filters; refuses a filter that images do not have."""
    mine = {name: _for_owner(field, viewer) for name, field in OWNERS_FIELDS.items()}
    return filters.predicate(wanted, {**FIELDS, **mine}, tags=lambda image: image.tags)


def _for_owner(field: Field[Image], viewer: str) -> Field[Image]:
    return lambda image: field(image) if image.account_id == viewer else ()
