"""What a launch makes: image and request in, a plan out, or a refusal; nothing is made before all of it is known.

    image ─┐
    type  ─┼─▶ fits? ─▶ kernel and ramdisk ─▶ disks ─▶ metadata options ─▶ profile ─▶ Plan
    asked ─┘

Source: EC2 API, RunInstances.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from amiable.model import ids
from amiable.model.errors import (
    InsufficientInstanceCapacity,
    InvalidParameterCombination,
    InvalidParameterValue,
    Malformed,
    Unsupported,
)
from amiable.model.image import Image, ImageType
from amiable.model.instance import MetadataOptions
from amiable.model.instance_errors import InvalidUserDataMalformed
from amiable.model.instance_type import DEFAULT, InstanceType, find_type
from amiable.model.local_disks import local_disks_of
from amiable.model.metadata_defaults import MetadataDefaults
from amiable.model.snapshot import Snapshot
from amiable.model.units import MIB
from amiable.rules import hardware_profile, metadata_options
from amiable.rules.devices import AskedDevice, PlannedDisk, plan_disks
from amiable.rules.instance_options import AskedOptions, Options, choose_options
from amiable.rules.kernel_choice import PARAVIRTUAL, choose_boot_images
from amiable.rules.metadata_options import AskedMetadata
from amiable.rules.permission import check_launch

USER_DATA_BYTES_MAX: Final = 16 * 1024
HOST_RESERVE_BYTES: Final = 512 * MIB
"""Memory that no instance gets: for the host's system, the server, and what each QEMU takes beside its guest's memory."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of the machine; what it says of place, key and count the operation looks up itself."""

    instance_type: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    devices: tuple[AskedDevice, ...] = ()
    user_data: str | None = None  # as it came: base64
    shutdown_behavior: str | None = None
    metadata: AskedMetadata = field(default_factory=AskedMetadata)
    profile_tag: str | None = None  # the tag amiable:hardware-profile
    options: AskedOptions = field(default_factory=AskedOptions)


@dataclass(frozen=True, slots=True)
class Known:
    """What the caller may use of what the request names (kernels, ramdisks, snapshots), and its defaults."""

    images: Mapping[str, Image] = field(default_factory=dict)
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    metadata_defaults: MetadataDefaults = field(default_factory=MetadataDefaults)


@dataclass(frozen=True, slots=True)
class Host:
    """What a host has for instances, and what its live ones hold of it: each its type's memory, used or not."""

    memory_bytes: int
    instances_max: int
    live_count: int = 0
    live_memory_bytes: int = 0

    @property
    def free_count(self) -> int:
        return max(0, self.instances_max - self.live_count)

    @property
    def free_memory_bytes(self) -> int:
        return max(0, self.memory_bytes - HOST_RESERVE_BYTES - self.live_memory_bytes)


@dataclass(frozen=True, slots=True)
class Plan:
    """One instance of the launch; they are all alike."""

    image: Image
    instance_type: InstanceType
    boot_mode: str
    kernel_id: str | None
    ramdisk_id: str | None
    disks: tuple[PlannedDisk, ...]
    user_data: bytes | None
    shutdown_behavior: str
    metadata: MetadataOptions
    profile: hardware_profile.Choice
    options: Options


def plan(image: Image, asked: Asked, known: Known, *, account_id: str) -> Plan:
    """The machine that ``asked`` makes of ``image`` for ``account_id``."""
    if image.image_type is not ImageType.MACHINE:
        raise Malformed("image", image.id, ids.AMI)
    check_launch(image, account_id)
    type_ = choose_type(asked.instance_type)
    _check_fit(image, type_)
    boot = choose_boot_images(
        image, kernel_id=asked.kernel_id, ramdisk_id=asked.ramdisk_id, known=known.images, account_id=account_id
    )
    boot_mode = choose_boot_mode(image, type_, asked.profile_tag)
    profile = hardware_profile.choose(image, boot, asked.profile_tag, boot_mode=boot_mode)
    return Plan(
        image=image,
        instance_type=type_,
        boot_mode=boot_mode,
        kernel_id=boot.kernel.id if boot.kernel else None,
        ramdisk_id=boot.ramdisk.id if boot.ramdisk else None,
        disks=plan_disks(image, asked.devices, known.snapshots, local_disks_of(type_.name)),
        user_data=decode_user_data(asked.user_data),
        shutdown_behavior=_shutdown_behavior(image, asked.shutdown_behavior),
        metadata=metadata_options.choose(
            asked.metadata, known.metadata_defaults, is_v2_image=image.imds_support == "v2.0"
        ),
        profile=profile,
        options=choose_options(image, type_, asked.options),
    )


def choose_type(name: str | None) -> InstanceType:
    """The type of that name; without one EC2's default."""
    found = find_type(DEFAULT if name is None else name)
    if found is None:
        raise InvalidParameterValue(
            f"Invalid value '{name}' for InstanceType.",
            hint="DescribeInstanceTypes lists those that there are; amiable.2c4g and its like have any size",
        )
    return found


def _check_fit(image: Image, type_: InstanceType) -> None:
    if image.architecture not in type_.architectures:
        raise InvalidParameterValue(
            f"The architecture '{','.join(type_.architectures)}' of the specified instance type '{type_.name}' does not match "
            f"the architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have "
            "matching architectures, and try again."
        )
    if not type_.is_supported:
        raise Unsupported(f"Instances of architecture {image.architecture} cannot run on this host.")
    if image.tpm_support is not None and not type_.has_tpm:
        raise Unsupported(
            f"The image {image.id} wants a TPM (TpmSupport {image.tpm_support}), which the instance type '{type_.name}' does not have.",
            hint="choose a type whose NitroTpmSupport is supported (DescribeInstanceTypes), or amiable.tiny",
        )
    if type_.needs_ena and image.virtualization_type != PARAVIRTUAL and not image.ena_support:
        raise InvalidParameterCombination(
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{type_.name}' instance type. "
            "Ensure that you are using an AMI that is enabled for ENA.",
            hint="register the image with EnaSupport (amiable image import --ena), or choose a type without it: amiable.tiny, t2.micro",
        )


def choose_boot_mode(image: Image, type_: InstanceType, profile_tag: str | None = None) -> str:
    """legacy-bios or uefi: the image's, ``uefi-preferred`` resolved by the type and the profile asked for, the type's first without one."""
    if image.virtualization_type == PARAVIRTUAL or image.boot_mode is None:
        return type_.boot_modes[0]
    wanted = image.boot_mode
    if wanted == "uefi-preferred":
        return hardware_profile.resolve_preferred(type_, image.architecture, profile_tag)
    if wanted == "uefi" and image.architecture == "i386":
        raise InvalidParameterCombination(
            f"The image {image.id} is i386 and starts by uefi only; the UEFI firmware here starts 64-bit loaders.",
            hint="register it with BootMode legacy-bios",
        )
    if wanted not in type_.boot_modes:
        modes = ", ".join(type_.boot_modes)
        raise InvalidParameterCombination(
            f"The boot mode {wanted} of image {image.id} is not one of the instance type {type_.name}: {modes}."
        )
    return wanted


def decode_user_data(text: str | None) -> bytes | None:
    """The user data's bytes: base64 of the standard alphabet with its padding, line breaks allowed; never guessed.

    Plain text is refused, and so is what has more than 16 KiB decoded.
    """
    if text is None or text == "":
        return None
    try:
        decoded = base64.b64decode(text.translate({10: None, 13: None}), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidUserDataMalformed(why=f"{error}.") from None
    if len(decoded) > USER_DATA_BYTES_MAX:
        raise InvalidParameterValue(f"User data is limited to {USER_DATA_BYTES_MAX} bytes")
    return decoded or None


def _one_of(parameter: str, value: str | None, allowed: Sequence[str]) -> str:
    """``value``, or the first of ``allowed`` without one."""
    if value is None:
        return allowed[0]
    if value not in allowed:
        raise InvalidParameterValue(parameter=parameter, value=value, why=f"Allowed: {', '.join(sorted(allowed))}.")
    return value


def _shutdown_behavior(image: Image, asked: str | None) -> str:
    chosen = _one_of("InstanceInitiatedShutdownBehavior", asked, ("stop", "terminate"))
    if image.root_device_type == "instance-store":
        if asked == "stop":
            raise InvalidParameterCombination(
                f"The root of {image.id} is an instance store: its instances can be terminated, not stopped."
            )
        return "terminate"
    return chosen


def choose_count(minimum: int, maximum: int, *, type_: InstanceType, host: Host) -> int:
    """How many instances of ``type_``: as many as ``host`` has room for, up to ``maximum``, never fewer than ``minimum``."""
    if minimum < 1:
        raise InvalidParameterValue(parameter="MinCount", value=minimum, why="It must be at least 1.")
    if maximum < minimum:
        raise InvalidParameterValue(
            parameter="MaxCount", value=maximum, why=f"It must not be smaller than MinCount, {minimum}."
        )
    _check_room(minimum, minimum * type_.memory_bytes, host)
    return min(maximum, host.free_count, host.free_memory_bytes // type_.memory_bytes)


def check_start(types: Sequence[InstanceType], host: Host) -> None:
    """Refuses to start an instance of each of ``types`` where ``host`` has no room for all of them."""
    _check_room(len(types), sum(type_.memory_bytes for type_ in types), host)


def _check_room(count: int, memory_bytes: int, host: Host) -> None:
    if count > host.free_count:
        raise InsufficientInstanceCapacity(
            f"There is room for {host.free_count} more on this host; instances asked for: {count}.",
            hint="terminate or stop instances, or raise the setting instances_max",
        )
    if memory_bytes > host.free_memory_bytes:
        free_mib = host.free_memory_bytes // MIB
        raise InsufficientInstanceCapacity(
            f"There is not enough memory on this host: {memory_bytes // MIB} MiB asked for, {free_mib} MiB free"
            f" ({host.memory_bytes // MIB} MiB, of which {HOST_RESERVE_BYTES // MIB} MiB are the host's own and"
            f" {host.live_memory_bytes // MIB} MiB those of {host.live_count} live {'instance' if host.live_count == 1 else 'instances'}).",
            hint=f"{free_mib} MiB are free: choose a smaller instance type, or terminate or stop instances",
        )
