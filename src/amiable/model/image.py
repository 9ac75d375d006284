"""A machine image, and the kernels and ramdisks that paravirtual ones boot with.

                                 disabled
                                 ▲      │ enable
                         disable │      ▼
    pending ──blocks durable──▶ available ──deregister──▶ deregistered
       └──────conversion failed──▶ failed ──deregister────────┘  ▲
                                   any of them ──a rule keeps it──▶ binned ──restore──▶ what it was
                                                                     └──its time is over──▶ deregistered

A deregistered image never comes back.  A name is held from RegisterImage until DeregisterImage, by a failed image too: one
name means one image, and who wants it again deregisters the failed one first.  Source: EC2 API, Image.state.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from amiable.model.instance_type_rule import NO_RULE, InstanceTypeRule
from amiable.model.kernel import KernelKind
from amiable.model.product import ProductCode
from amiable.model.units import MIB
from amiable.model.watermark import Watermark

EVERYONE: Final = "all"
"""The grantee that makes an image public."""
OWNER_ALIASES: Final = ("amazon", "aws-marketplace", "aws-backup-vault")
"""The names by which EC2 knows some owners; the administrator says which accounts here have one."""
KERNEL_BYTES_MAX: Final = 512 * MIB
"""How long a kernel or a ramdisk may be."""


class ImageState(StrEnum):
    PENDING = "pending"
    AVAILABLE = "available"
    FAILED = "failed"
    DISABLED = "disabled"
    BINNED = "binned"  # in the Recycle Bin: EC2 shows it in ListImagesInRecycleBin only
    DEREGISTERED = "deregistered"


class ImageType(StrEnum):
    MACHINE = "machine"
    KERNEL = "kernel"
    RAMDISK = "ramdisk"


class RootDeviceType(StrEnum):
    EBS = "ebs"
    INSTANCE_STORE = "instance-store"


@dataclass(frozen=True, slots=True)
class ImageDevice:
    """One entry of an image's block device map: a volume (``size_gib`` set) or an instance-store disk (``virtual_name`` set)."""

    device_name: str
    snapshot_id: str | None = None
    size_gib: int | None = None
    volume_type: str | None = None
    iops: int | None = None
    throughput: int | None = None
    delete_on_termination: bool | None = None
    encrypted: bool | None = None
    virtual_name: str | None = None

    @property
    def is_volume(self) -> bool:
        return self.virtual_name is None


@dataclass(frozen=True, slots=True)
class StateReason:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Image:
    """One image as one viewer sees it: ``grantees`` are the granted words that stand for the viewer; ``tags`` are the viewer's."""

    id: str
    account_id: str
    region: str
    name: str
    description: str | None
    state: ImageState
    state_reason: StateReason | None
    image_type: ImageType
    architecture: str
    virtualization_type: str
    root_device_type: RootDeviceType
    root_device_name: str | None
    kernel_id: str | None
    ramdisk_id: str | None
    platform: str | None
    location: str  # a manifest's bucket/key, or account/name
    boot_mode: str | None
    tpm_support: str | None
    imds_support: str | None
    sriov_net_support: str | None
    ena_support: bool
    created_at: datetime
    devices: tuple[ImageDevice, ...] = ()
    content_file: str | None = None  # kernels and ramdisks: file below <data>/kernels
    root_snapshot_id: str | None = None  # instance-store: the internal snapshot of the converted root
    size_bytes: int | None = None  # instance-store, kernel, ramdisk: the bundled image's length
    manifest_digest: bytes | None = None  # SHA-256 of the manifest as registered
    approved_at: datetime | None = None  # kernels and ramdisks: since when the administrator lets them be launched
    kernel_kind: KernelKind | None = None  # kernels; None: not looked at yet
    kernel_version: str | None = None
    kernel_kind_why: str | None = None
    boots_directly: bool | None = None
    product_codes: tuple[ProductCode, ...] = ()
    ancestor_ami_ids: tuple[str, ...] = ()  # the manifest's, oldest first
    uefi_data: str | None = None  # base64
    deprecation_at: datetime | None = None
    deregistration_protection: str | None = None  # None: disabled
    protected_until: datetime | None = None
    last_launched_at: datetime | None = None
    source_instance_id: str | None = None
    source_image_id: str | None = None
    source_image_region: str | None = None
    content_digest: bytes | None = None
    deregistered_at: datetime | None = None
    bin_exit_at: datetime | None = None
    binned_from: str | None = None  # the state that a restore brings back
    owner_alias: str | None = None  # the owner's
    watermarks: tuple[Watermark, ...] = ()
    instance_types: InstanceTypeRule = NO_RULE
    public_parameters: tuple[str, ...] = ()  # names of the public SSM parameters that point here
    is_allowed: bool | None = None  # by the viewer's allowed images settings; None: it has none, or is not asked for
    grantees: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_public(self) -> bool:
        return EVERYONE in self.grantees

    @property
    def root_device(self) -> ImageDevice | None:
        """The root volume of an EBS-backed image; None for the others."""
        return (
            find_root_device(self.devices, self.root_device_name)
            if self.root_device_type is RootDeviceType.EBS
            else None
        )


_PARTITION = re.compile(r"\d+$")


def find_root_device(devices: tuple[ImageDevice, ...], root_device_name: str | None) -> ImageDevice | None:
    """The mapped volume that ``root_device_name`` means: its own name first, then the whole disk that it is a partition of.

    Images exist whose root device is ``/dev/sda1`` and whose only mapping is ``/dev/sda``; EC2 boots them.
    """
    if root_device_name is None:
        return None
    volumes = [device for device in devices if device.is_volume]
    for device in volumes:
        if device.device_name == root_device_name:
            return device
    disk = _PARTITION.sub("", root_device_name)
    return next((device for device in volumes if device.device_name == disk), None)
