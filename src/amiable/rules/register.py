"""What RegisterImage makes of a request: an image, or the refusal that names what is wrong.

Everything is checked against tables that a reader sees whole: the legal characters of a name, the forms of a device name; what a
volume may be is ``volume_type``.  Sources: EC2 API, RegisterImage and EbsBlockDevice; User Guide, "Device names".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from amiable.model import ids
from amiable.model.errors import (
    IncorrectState,
    InvalidAMINameMalformed,
    InvalidBlockDeviceMapping,
    InvalidParameterCombination,
    InvalidParameterValue,
    Malformed,
    MissingParameter,
    NotFound,
    UnsupportedOperation,
)
from amiable.model.image import ImageDevice, find_root_device
from amiable.model.snapshot import COMPLETED, Snapshot
from amiable.rules.identifiers import check_form
from amiable.rules.volume_type import DEFAULT_VOLUME_TYPE, Figures, check_figures, check_type

DEVICES_MAX: Final = 64
ARCHITECTURES: Final = ("i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac")
VIRTUALIZATION_TYPES: Final = ("hvm", "paravirtual")
BOOT_MODES: Final = ("legacy-bios", "uefi", "uefi-preferred")
DEFAULT_ARCHITECTURE: Final = "i386"
DEFAULT_VIRTUALIZATION: Final = "paravirtual"

_NAME: Final = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_DEVICE_NAMES: Final[dict[str, re.Pattern[str]]] = {
    "paravirtual": re.compile(r"/dev/(?:sd|hd|xvd)[a-z](?:[1-9]|1[0-5])?|(?:sd|hd|xvd)[a-z](?:[1-9]|1[0-5])?"),
    "hvm": re.compile(r"(?:/dev/)?sd[a-z]|(?:/dev/)?sda[12]|(?:/dev/)?xvd[a-z]|(?:/dev/)?xvd[b-d][a-z]"),
}
_DEVICE_FORMS: Final = {
    "paravirtual": "/dev/sd[a-z], /dev/sd[a-z][1-15], /dev/hd[a-z], /dev/hd[a-z][1-15]",
    "hvm": "/dev/sd[a-z], /dev/sda1, /dev/sda2, /dev/xvd[a-z], /dev/xvd[b-d][a-z]",
}
_PARTITION: Final = re.compile(r"\d+$")
EPHEMERAL_NAME: Final = re.compile(r"ephemeral(?:1?[0-9]|2[0-3])")


@dataclass(frozen=True, slots=True)
class RequestedVolume:
    """The Ebs part of one entry, as asked for."""

    snapshot_id: str | None = None
    size_gib: int | None = None
    volume_type: str | None = None
    iops: int | None = None
    throughput: int | None = None
    delete_on_termination: bool | None = None
    encrypted: bool | None = None
    kms_key_id: str | None = None
    unsupported: tuple[str, ...] = ()  # other fields that were given, by their names on the wire

    @property
    def is_empty(self) -> bool:
        return self == RequestedVolume()


@dataclass(frozen=True, slots=True)
class RequestedDevice:
    """One entry of a requested block device map."""

    device_name: str | None = None
    virtual_name: str | None = None
    volume: RequestedVolume | None = None
    suppressed: bool = False  # NoDevice was given


@dataclass(frozen=True, slots=True)
class RequestedHardware:
    """What a request says about the machine that its image wants."""

    architecture: str | None
    virtualization_type: str | None
    boot_mode: str | None
    tpm_support: str | None
    imds_support: str | None
    sriov_net_support: str | None
    ena_support: bool | None


@dataclass(frozen=True, slots=True)
class Hardware:
    """What an image says about the machine that it wants."""

    architecture: str
    virtualization_type: str
    boot_mode: str | None
    tpm_support: str | None
    imds_support: str | None
    sriov_net_support: str | None
    ena_support: bool


def check_name(name: str) -> None:
    """Refuses a name that is too short, too long or has other characters."""
    if _NAME.fullmatch(name) is None:
        raise InvalidAMINameMalformed()


def plan_hardware(asked: RequestedHardware) -> Hardware:
    """The machine that the request describes, EC2's old defaults filled in."""
    hardware = Hardware(
        asked.architecture or DEFAULT_ARCHITECTURE,
        asked.virtualization_type or DEFAULT_VIRTUALIZATION,
        asked.boot_mode,
        asked.tpm_support,
        asked.imds_support,
        asked.sriov_net_support,
        bool(asked.ena_support),
    )
    _one_of("Architecture", hardware.architecture, ARCHITECTURES)
    _one_of("VirtualizationType", hardware.virtualization_type, VIRTUALIZATION_TYPES)
    _one_of("BootMode", hardware.boot_mode, BOOT_MODES)
    _one_of("TpmSupport", hardware.tpm_support, ("v2.0",))
    _one_of("ImdsSupport", hardware.imds_support, ("v2.0",))
    _one_of("SriovNetSupport", hardware.sriov_net_support, ("simple",))
    if hardware.tpm_support is not None and hardware.boot_mode != "uefi":
        raise InvalidParameterCombination("TpmSupport v2.0 needs BootMode uefi.")
    if hardware.virtualization_type == "paravirtual":
        for given, name in ((hardware.ena_support, "EnaSupport"), (hardware.sriov_net_support, "SriovNetSupport")):
            if given:
                raise InvalidParameterCombination(f"{name} is for hvm images; this one is paravirtual.")
        if hardware.boot_mode in ("uefi", "uefi-preferred"):
            raise InvalidParameterCombination(
                f"BootMode {hardware.boot_mode} is for hvm images; this one is paravirtual."
            )
    return hardware


def _one_of(parameter: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise InvalidParameterValue(parameter=parameter, value=value, why=f"Expecting one of {', '.join(allowed)}.")


def check_kernel_ids(kernel_id: str | None, ramdisk_id: str | None, virtualization_type: str) -> None:
    """Refuses kernels and ramdisks of the wrong form, and any on an image that brings its own."""
    if kernel_id is not None and not ids.is_well_formed(ids.AKI, kernel_id):
        raise Malformed("kernel", kernel_id, ids.AKI)
    if ramdisk_id is not None and not ids.is_well_formed(ids.ARI, ramdisk_id):
        raise Malformed("ramdisk", ramdisk_id, ids.ARI)
    if virtualization_type == "hvm" and (kernel_id or ramdisk_id):
        raise InvalidParameterCombination(
            "KernelId and RamdiskId are for paravirtual images; an hvm image boots its own kernel."
        )


def check_device_name(name: str, virtualization_type: str) -> None:
    """Refuses a name that EC2 does not give to a disk; names inside a guest (``/dev/nvme0n1``) are none."""
    if _DEVICE_NAMES[virtualization_type].fullmatch(name) is None:
        raise wrong_device_name(name, virtualization_type)


def wrong_device_name(name: str, virtualization_type: str) -> InvalidParameterValue:
    """The refusal of a name that is none of a device, with the forms that there are."""
    return InvalidParameterValue(
        f"Value ({name}) for parameter device is invalid. {name} is not a valid EBS device name. "
        f"Expecting one of {_DEVICE_FORMS[virtualization_type]}."
    )


def snapshot_ids_of(devices: Sequence[RequestedDevice]) -> list[str]:
    """The snapshots that the map names, each once; refuses one of the wrong form."""
    found = [device.volume.snapshot_id for device in devices if device.volume and device.volume.snapshot_id is not None]
    check_form("snapshot", ids.SNAPSHOT, found)
    return list(dict.fromkeys(found))


def check_snapshots(wanted: Sequence[str], mine: Mapping[str, Snapshot]) -> None:
    """Refuses snapshots that are not the caller's, and those that are not completed."""
    missing = [snapshot_id for snapshot_id in wanted if snapshot_id not in mine]
    if missing:
        raise NotFound("snapshot", missing[:1], *missing[1:])
    for snapshot_id in wanted:
        if mine[snapshot_id].state != COMPLETED:
            raise IncorrectState(
                f"The snapshot '{snapshot_id}' is in state {mine[snapshot_id].state}; only completed ones can be registered."
            )


def plan_devices(
    devices: Sequence[RequestedDevice],
    *,
    root_device_name: str | None,
    virtualization_type: str,
    snapshots: Mapping[str, Snapshot],
) -> tuple[ImageDevice, ...]:
    """The block device map of a snapshot-backed image.

    ``snapshots`` are the caller's, completed.  The root must be mapped to a volume from a snapshot, of a type that can boot.
    """
    if not root_device_name:
        raise MissingParameter(parameter="RootDeviceName")
    check_map(devices)
    check_device_name(root_device_name, virtualization_type)
    planned = tuple(plan_device(device, virtualization_type, snapshots) for device in devices)
    root = find_root_device(planned, root_device_name)
    if root is None or root.snapshot_id is None:
        raise InvalidBlockDeviceMapping(
            f"The root device {root_device_name} is not mapped to a snapshot: the block device map needs an entry of that name with Ebs.SnapshotId."
        )
    assert root.volume_type is not None
    check_type(root.volume_type, is_root=True)
    return tuple(_with_deletion_default(device, device is root) for device in planned)


def plan_instance_store_devices(
    devices: Sequence[RequestedDevice], virtualization_type: str
) -> tuple[ImageDevice, ...]:
    """The block device map of a manifest-backed image: instance-store disks only."""
    check_map(devices)
    for device in devices:
        if device.volume is not None and not (device.virtual_name and device.volume.is_empty):
            raise InvalidBlockDeviceMapping(
                f"The image is backed by a manifest: {device.device_name} may be an instance-store disk (ephemeralN) only."
            )
    return tuple(plan_device(device, virtualization_type, {}) for device in devices)


def check_map(devices: Sequence[RequestedDevice]) -> None:
    """Refuses too many entries, one without a name, and two of one device."""
    if len(devices) > DEVICES_MAX:
        raise InvalidBlockDeviceMapping(f"The block device map has {len(devices)} entries, {DEVICES_MAX} at most.")
    for device in devices:
        if not device.device_name:
            raise MissingParameter(parameter="BlockDeviceMapping.DeviceName")
    check_places([device.device_name for device in devices if device.device_name])


def check_places(names: Sequence[str]) -> None:
    """Refuses two names of one device."""
    check_repeats(names)
    disks = {bare(name): name for name in names}
    for name in names:
        disk = disks.get(disk_of(bare(name)))
        if disk not in (None, name):
            raise InvalidBlockDeviceMapping(f"The devices '{disk}' and '{name}' cannot be used together.")


def check_repeats(names: Sequence[str]) -> None:
    """Refuses a name that is there twice, with ``/dev/`` or without."""
    seen: set[str] = set()
    for name in names:
        if bare(name) in seen:
            raise InvalidBlockDeviceMapping(f"The device '{name}' is used in more than one block-device mapping")
        seen.add(bare(name))


def is_same_place(one: str, other: str) -> bool:
    """Whether two names are one device: the same name, with ``/dev/`` or without, or a whole disk and a partition of it (sdc, sdc1).

    ``/dev/sdf`` and ``/dev/xvdf`` are two devices, as on EC2: what a guest calls its disks is its kernel's affair.
    """
    one, other = bare(one), bare(other)
    return one == other or disk_of(one) == other or disk_of(other) == one


def bare(name: str) -> str:
    """A device's name without its directory."""
    return name.removeprefix("/dev/")


def disk_of(name: str) -> str:
    """The disk of a device's name: its own, without a partition's number."""
    return _PARTITION.sub("", name)


def plan_device(device: RequestedDevice, virtualization_type: str, snapshots: Mapping[str, Snapshot]) -> ImageDevice:
    """One entry that adds a disk; ``snapshots`` are the caller's, completed."""
    assert device.device_name is not None
    check_device_name(device.device_name, virtualization_type)
    volume = None if device.virtual_name and device.volume and device.volume.is_empty else device.volume
    kinds = (device.virtual_name is not None) + (volume is not None) + device.suppressed
    if kinds != 1:
        raise InvalidBlockDeviceMapping(
            f"The entry {device.device_name} must have exactly one of Ebs, VirtualName and NoDevice."
        )
    if device.suppressed:
        raise InvalidBlockDeviceMapping(
            f"NoDevice of {device.device_name} is for RunInstances and CreateImage: here it suppresses nothing."
        )
    if device.virtual_name is not None:
        return ImageDevice(device.device_name, virtual_name=check_virtual_name(device.virtual_name))
    assert volume is not None
    return _plan_volume(device.device_name, volume, snapshots)


def check_virtual_name(name: str) -> str:
    """The name of a local disk; refuses what is none."""
    if EPHEMERAL_NAME.fullmatch(name) is None:
        raise InvalidParameterValue(parameter="VirtualName", value=name, why="Expecting ephemeral0 to ephemeral23.")
    return name


def _plan_volume(device_name: str, volume: RequestedVolume, snapshots: Mapping[str, Snapshot]) -> ImageDevice:
    _check_supported(device_name, volume)
    snapshot = snapshots[volume.snapshot_id] if volume.snapshot_id is not None else None
    size_gib = volume.size_gib if volume.size_gib is not None else snapshot.size_gib if snapshot else None
    if size_gib is None:
        raise InvalidBlockDeviceMapping(f"Either snapshot ID or volume size must be provided for: {device_name}")
    if snapshot is not None and size_gib < snapshot.size_gib:
        raise InvalidBlockDeviceMapping(
            f"Volume of size {size_gib}GB is smaller than snapshot '{snapshot.id}', expect size >= {snapshot.size_gib}GB"
        )
    volume_type = volume.volume_type or DEFAULT_VOLUME_TYPE
    check_figures(Figures(volume_type, size_gib, volume.iops, volume.throughput))
    return ImageDevice(
        device_name,
        snapshot_id=volume.snapshot_id,
        size_gib=size_gib,
        volume_type=volume_type,
        iops=volume.iops,
        throughput=volume.throughput,
        delete_on_termination=volume.delete_on_termination,
        encrypted=False,
    )


def _check_supported(device_name: str, volume: RequestedVolume) -> None:
    if volume.encrypted is not None and volume.snapshot_id is not None:
        raise InvalidBlockDeviceMapping(
            f"the encrypted flag cannot be specified since device {device_name} has a snapshot specified."
        )
    if volume.kms_key_id is not None:
        raise UnsupportedOperation(f"KmsKeyId of {device_name} is not supported by RegisterImage and CreateImage.")
    if volume.encrypted:
        raise UnsupportedOperation(f"Encrypted volumes ({device_name}) are not implemented by Amiable.")
    if volume.unsupported:
        raise UnsupportedOperation(f"{', '.join(volume.unsupported)} of {device_name} is not implemented by Amiable.")


def _with_deletion_default(device: ImageDevice, is_root: bool) -> ImageDevice:
    if not device.is_volume or device.delete_on_termination is not None:
        return device
    return replace(device, delete_on_termination=is_root)
