"""What CopyImage and CopySnapshot take: the parameters of both, and what a copied image is.

A copy has bytes of its own only in name: blocks are shared in the store, so it costs rows and is there at once.  It belongs to who
called, in the region called, and outlives its source.  Source: EC2 API, CopyImage, CopySnapshot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from amiable.model.errors import (
    IncorrectState,
    InvalidParameterValue,
    UnsupportedOperation,
)
from amiable.model.image import Image, ImageDevice, ImageType, RootDeviceType
from amiable.model.image_making_errors import InvalidRegion
from amiable.model.snapshot import COMPLETED, Snapshot
from amiable.model.volume_errors import InvalidParameterDependency

MINUTES_STEP: Final = 15
MINUTES_MAX: Final = 2880


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """What a request for a copy says beside what is to be copied."""

    encrypted: bool | None = None
    kms_key_id: str | None = None
    completion_minutes: int | None = None
    elsewhere: tuple[str, ...] = ()  # names of parameters given that mean an Outpost or a Local Zone


def check_options(options: CopyOptions) -> None:
    """Refuses what a copy cannot be here."""
    if options.kms_key_id is not None and not options.encrypted:
        raise InvalidParameterDependency("The parameter KmsKeyId requires the parameter Encrypted to be set to true.")
    if options.encrypted:
        raise UnsupportedOperation(
            "Encrypted copies are not supported by Amiable: blocks are not encrypted yet. Leave out Encrypted."
        )
    if options.elsewhere:
        raise UnsupportedOperation(
            f"Outposts and Local Zones are not supported by Amiable: {', '.join(options.elsewhere)}."
        )
    minutes = options.completion_minutes
    if minutes is not None and (minutes % MINUTES_STEP or not MINUTES_STEP <= minutes <= MINUTES_MAX):
        raise InvalidParameterValue(
            parameter="CompletionDurationMinutes",
            value=minutes,
            why=f"Expecting {MINUTES_STEP} to {MINUTES_MAX} in steps of {MINUTES_STEP}.",
        )


def check_region(region: str, regions: Sequence[str]) -> None:
    """Refuses a source region that the installation does not have."""
    if region not in regions:
        raise InvalidRegion(region=region, regions=", ".join(regions))


def check_snapshot(snapshot: Snapshot) -> None:
    """Refuses to copy a snapshot that is not whole."""
    if snapshot.state != COMPLETED:
        raise IncorrectState(f"The snapshot '{snapshot.id}' is {snapshot.state}; only a completed one can be copied.")


def check_image(image: Image) -> None:
    """Refuses to copy what has no snapshots of its own."""
    if image.image_type is not ImageType.MACHINE:
        raise UnsupportedOperation(
            f"The {image.image_type} {image.id} cannot be copied: it is added to a region by its file."
        )
    if image.root_device_type is RootDeviceType.INSTANCE_STORE:
        raise UnsupportedOperation(
            f"The image {image.id} is backed by a manifest and cannot be copied.",
            hint=f"register its manifest again in the other region: {image.location}",
        )


def copied_image(image: Image, new: Mapping[str, str], *, image_id: str, account_id: str, now: datetime) -> Image:
    """The copy: all attributes of the source; no launch permissions, no protection.  ``new``: snapshot → its copy."""
    devices = tuple(_device(device, new) for device in image.devices)
    return replace(
        image,
        id=image_id,
        account_id=account_id,
        created_at=now,
        devices=devices,
        deprecation_at=None,
        deregistration_protection=None,
        protected_until=None,
        last_launched_at=None,
        source_instance_id=None,
        source_image_id=image.id,
        source_image_region=image.region,
        content_digest=None,
        watermarks=(),
        public_parameters=(),
        grantees=frozenset(),
        tags={},
    )


def _device(device: ImageDevice, new: Mapping[str, str]) -> ImageDevice:
    return device if device.snapshot_id is None else replace(device, snapshot_id=new[device.snapshot_id])
