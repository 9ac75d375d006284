"""What may be asked of a volume: to be made, attached, detached, changed.

A device is taken by its name, with ``/dev/`` or without, and by a partition of it or its whole disk; ``/dev/sdf`` and ``/dev/xvdf`` are two.
Source: EC2 API, CreateVolume, AttachVolume, DetachVolume, ModifyVolume; EC2 User Guide, "Device names".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from amiable.model.errors import (
    IncorrectState,
    InvalidParameterValue,
    MissingParameter,
    OperationNotPermitted,
    UnsupportedOperation,
)
from amiable.model.hardware import Profile
from amiable.model.instance import Instance, State
from amiable.model.snapshot import COMPLETED, Snapshot
from amiable.model.volume import Volume, VolumeState
from amiable.model.volume_errors import (
    AttachmentLimitExceeded,
    IncorrectModificationState,
    InvalidAttachmentNotFound,
    InvalidVolumeZoneMismatch,
    VolumeAttached,
    VolumeInUse,
    VolumeLimitExceeded,
    VolumeModificationRateExceeded,
)
from amiable.model.volume_modification import Modification, ModificationState
from amiable.rules.devices import DISKS_MAX
from amiable.rules.register import check_device_name, is_same_place
from amiable.rules.volume_type import DEFAULT_VOLUME_TYPE, VOLUME_TYPES, Figures, check_figures, check_type

VOLUMES_MAX: Final = 5000
"""An account in a region; those that launches make are counted, but a launch is bounded by the host."""
CHANGES_MAX: Final = 4
CHANGES_HOURS: Final = 24
_PARTITION: Final = re.compile(r"\d+$")
_PLACE: Final = re.compile(r"(?:/dev/)?(?:sd|hd|xvd|vd)([a-z]+)(\d*)")


def plan(asked: Figures, size_gib: int | None, snapshot: Snapshot | None) -> Figures:
    """A new volume of these figures: as long as its snapshot where no size is asked for.  ``asked.size_gib`` is not looked at."""
    if size_gib is None and snapshot is None:
        raise MissingParameter("The request must contain the parameter size/snapshot")
    if snapshot is not None and snapshot.state != COMPLETED:
        raise IncorrectState(f"Snapshot '{snapshot.id}' is not in the 'completed' state: it is {snapshot.state}.")
    least = snapshot.size_gib if snapshot is not None else 0
    size = least if size_gib is None else size_gib
    if snapshot is not None and size < least:
        raise InvalidParameterValue(
            f"Volume of size {size}GB is smaller than snapshot '{snapshot.id}', expect size >= {least}GB"
        )
    planned = Figures(asked.volume_type, size, asked.iops, asked.throughput)
    check_figures(planned)
    return planned


def check_room(count: int) -> None:
    """Refuses one more volume to an account that has ``count``."""
    if count >= VOLUMES_MAX:
        raise VolumeLimitExceeded(volumes_max=VOLUMES_MAX)


def check_delete(volume: Volume) -> None:
    """Refuses to delete what an instance uses; a volume that is being deleted is deleted once."""
    if volume.state is VolumeState.IN_USE:
        raise VolumeAttached(volume_id=volume.id, instance_id=volume.instance_id)
    if volume.state is not VolumeState.AVAILABLE:
        raise IncorrectState(f"The volume '{volume.id}' is not 'available': it is {volume.state}.")


def root_of(held: Sequence[Volume], root_device_name: str | None) -> Volume | None:
    """The volume at the root device: of its own name first, then the whole disk that it is a partition of."""
    if root_device_name is None:
        return None
    disk = _PARTITION.sub("", root_device_name)
    for name in (root_device_name, disk):
        for volume in held:
            if volume.device_name == name:
                return volume
    return None


def check_attach(volume: Volume, instance: Instance, held: Sequence[Volume], device: str) -> None:
    """Refuses an attachment; ``held`` are the instance's disks, instance-store ones too."""
    if volume.state is VolumeState.IN_USE:
        raise VolumeInUse(volume_id=volume.id)
    if volume.state is not VolumeState.AVAILABLE:
        raise IncorrectState(f"The volume '{volume.id}' is not 'available': it is {volume.state}.")
    if instance.state not in (State.RUNNING, State.STOPPED):
        raise IncorrectState(f"Instance '{instance.id}' is not 'running'.")
    _check_hot(instance)
    if volume.zone != instance.zone:
        raise InvalidVolumeZoneMismatch(volume_id=volume.id, instance_id=instance.id)
    if device != instance.root_device_name:
        check_device_name(device, instance.virtualization_type)
    check_free(device, held)
    check_type(volume.volume_type, is_root=_is_root_place(device, instance))
    if len(held) >= DISKS_MAX:
        raise AttachmentLimitExceeded(instance_id=instance.id, disks_max=DISKS_MAX)


def _check_hot(instance: Instance) -> None:
    """Refuses to move a disk of a paravirtual guest that runs under Xen."""
    if instance.hardware_profile == Profile.XEN_PV and instance.state is not State.STOPPED:
        raise UnsupportedOperation(
            f"The instance '{instance.id}' runs under Xen (profile {Profile.XEN_PV}), where its disks cannot change while it runs.",
            hint="stop the instance first",
        )


def check_free(device: str, held: Sequence[Volume]) -> None:
    """Refuses the name of a device that one of the disks has."""
    for other in held:
        if other.device_name is not None and is_same_place(device, other.device_name):
            raise InvalidParameterValue(
                f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
            )


def in_order(device: str) -> tuple[int, str, int, str]:
    """What device names are sorted by: their letters, then their partition, then how they are spelled; names of another form last."""
    found = _PLACE.fullmatch(device)
    letters, partition = (found[1], found[2]) if found else (device, "")
    return (len(letters), letters, int(partition or 0), device)


def _is_root_place(device: str, instance: Instance) -> bool:
    return instance.root_device_name is not None and is_same_place(device, instance.root_device_name)


def check_codes(volume: Volume, instance: Instance, *, has_codes: bool) -> None:
    """Refuses to give a running instance a volume with product codes: they are the instance's from then on."""
    if has_codes and instance.state is not State.STOPPED:
        raise IncorrectState(
            f"The volume '{volume.id}' has product codes: it can be attached to a stopped instance only, and '{instance.id}' is {instance.state}."
        )


def check_detach(
    volume: Volume, instance: Instance, *, is_root: bool, instance_id: str | None, device: str | None
) -> None:
    """Refuses a detachment of ``volume`` from ``instance``, which has it; the last two are what the request names."""
    if instance_id not in (None, instance.id):
        raise InvalidAttachmentNotFound(f"Volume '{volume.id}' is not attached to instance '{instance_id}'")
    if device not in (None, "", volume.device_name):
        raise InvalidAttachmentNotFound(
            f"Volume '{volume.id}' is not attached to instance '{instance.id}' as device '{device}'"
        )
    if instance.state not in (State.RUNNING, State.STOPPED, State.STOPPING):
        raise IncorrectState(f"Instance '{instance.id}' is not 'running'.")
    if is_root and instance.state is not State.STOPPED:
        raise OperationNotPermitted(f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'")
    _check_hot(instance)
    was_there_at_boot = volume.attached_at is not None and volume.attached_at <= instance.launched_at
    if instance.hardware_profile == Profile.XEN_HVM and was_there_at_boot and instance.state is not State.STOPPED:
        raise UnsupportedOperation(
            f"The instance '{instance.id}' sees '{volume.id}' as an IDE disk, which cannot be taken out while it runs.",
            hint="stop the instance first",
        )


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AskedChange:
    """What a change is to make of a volume; None: as it is."""

    size_gib: int | None = None
    volume_type: str | None = None
    iops: int | None = None
    throughput: int | None = None


def plan_change(volume: Volume, asked: AskedChange, *, is_root: bool) -> Figures:
    """The volume's figures after the change; it never shrinks.  A rate that is not asked for stays with its type only."""
    if asked == AskedChange():
        raise MissingParameter("The request must contain the parameter size, volumeType, iops or throughput")
    size = volume.size_gib if asked.size_gib is None else asked.size_gib
    if size < volume.size_gib:
        raise InvalidParameterValue("New size cannot be smaller than existing size")
    name = asked.volume_type or volume.volume_type
    type_ = VOLUME_TYPES.get(name)
    kept = name == volume.volume_type or (type_ is not None and type_.needs_iops and volume.iops is not None)
    planned = Figures(
        volume_type=name,
        size_gib=size,
        iops=asked.iops if asked.iops is not None else volume.iops if kept else None,
        throughput=asked.throughput
        if asked.throughput is not None
        else volume.throughput
        if name == volume.volume_type
        else None,
    )
    check_figures(planned, is_root=is_root)
    return planned


def check_growth(volume: Volume, instance: Instance | None, planned: Figures) -> None:
    """Refuses to grow a disk under Xen, and an NVMe disk of a machine that runs: QEMU 7.2 cannot tell its guest."""
    if instance is None or planned.size_gib == volume.size_gib or instance.state is State.STOPPED:
        return
    _check_hot(instance)
    if instance.hardware_profile in (Profile.NITRO, Profile.DIRECT_NVME):
        raise UnsupportedOperation(
            f"The instance '{instance.id}' sees '{volume.id}' as an NVMe disk (profile {instance.hardware_profile}), which cannot grow "
            "while it runs.",
            hint="stop the instance first, or detach the volume; disks of the profile virtio grow while their guests run",
        )


def check_rate(volume: Volume, before: Sequence[Modification], now: datetime) -> None:
    """Refuses a change while one is under way, and a fifth within 24 hours; ``before`` is oldest first."""
    if volume.state not in (VolumeState.IN_USE, VolumeState.AVAILABLE):
        raise IncorrectState(f"The volume '{volume.id}' is {volume.state}.")
    if before and before[-1].state is ModificationState.MODIFYING:
        raise IncorrectModificationState(volume_id=volume.id, state=before[-1].state)
    period = timedelta(hours=CHANGES_HOURS)
    recent = [each for each in before if now - each.started_at < period and each.state is not ModificationState.FAILED]
    if len(recent) >= CHANGES_MAX:
        again_at = recent[-CHANGES_MAX].started_at + period
        raise VolumeModificationRateExceeded(
            volume_id=volume.id, changes_max=CHANGES_MAX, hours=CHANGES_HOURS, again_at=again_at
        )


def default_type(asked: str | None) -> str:
    """The type asked for, else EC2's default."""
    return asked or DEFAULT_VOLUME_TYPE
