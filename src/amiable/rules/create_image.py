"""What CreateImage makes of an instance and a request: the image's block device map, and which volumes are snapshotted.

    instance's device   request's entry of that name    image's entry
    volume              -                               its snapshot, size, type; DeleteOnTermination as the instance has it
    volume              Ebs.DeleteOnTermination         the same with that
    volume              NoDevice                        none (never the root)
    volume              another size, snapshot, type …  refused: an existing volume is imaged as it is
    ephemeralN          -, NoDevice                     ephemeralN, none
    -                   Ebs, VirtualName                a further volume, empty or from a snapshot; a local disk

Source: EC2 API, CreateImage (BlockDeviceMapping), EbsBlockDevice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from amiable.model.errors import IncorrectInstanceState, InvalidBlockDeviceMapping, InvalidParameterValue
from amiable.model.image import ImageDevice
from amiable.model.image_making_errors import ConcurrentCreateImageNoRebootLimitExceeded, NonEBSInstance
from amiable.model.instance import Instance, State
from amiable.model.snapshot import Snapshot
from amiable.model.volume import Volume
from amiable.rules import register
from amiable.rules.register import RequestedDevice, RequestedVolume
from amiable.rules.volume_type import effective_iops, effective_throughput

NO_REBOOT_MAX: Final = 4
"""Images that may be in the making of one instance without a reboot."""
IMAGED: Final = (State.RUNNING, State.STOPPED)


@dataclass(frozen=True, slots=True)
class PlannedEntry:
    """An entry of the image's map; ``volume_id`` is the volume whose snapshot it will name."""

    device: ImageDevice
    volume_id: str | None = None


def check_instance(instance: Instance, volumes: Sequence[Volume]) -> None:
    """Refuses an instance that has no volumes at rest or a machine, and one whose root is no volume or is not there."""
    if not instance.is_ebs:
        raise NonEBSInstance(instance_id=instance.id)
    if instance.state not in IMAGED:
        raise IncorrectInstanceState(instance_id=instance.id, verb="imaged")
    if find_root(instance, volumes) is None:
        raise InvalidParameterValue(
            f"Invalid value '{instance.id}' for instanceId. "
            f"Instance does not have a volume attached at root ({instance.root_device_name})"
        )


def check_no_reboot(instance: Instance, pending_count: int) -> None:
    """Refuses one more image without a reboot where there are many in the making."""
    if pending_count >= NO_REBOOT_MAX:
        raise ConcurrentCreateImageNoRebootLimitExceeded(instance_id=instance.id, count=pending_count)


def find_root(instance: Instance, volumes: Sequence[Volume]) -> Volume | None:
    """The instance's root volume: of the root device's name, or the whole disk that it is a partition of."""
    name = instance.root_device_name or ""
    by_name = {volume.device_name: volume for volume in volumes if not volume.is_instance_store}
    return by_name.get(name) or by_name.get(name.rstrip("0123456789"))


def plan_entries(
    instance: Instance,
    volumes: Sequence[Volume],
    requested: Sequence[RequestedDevice],
    *,
    snapshots: Mapping[str, Snapshot],
) -> tuple[PlannedEntry, ...]:
    """The image's map: the instance's devices in the given order, then what the request adds.  ``snapshots`` are the caller's."""
    register.check_map(requested)
    root = find_root(instance, volumes)
    assert root is not None
    over = {each.device_name: each for each in requested}
    planned: list[PlannedEntry] = []
    for volume in volumes:
        asked = over.pop(volume.device_name, None)
        if asked is not None and asked.suppressed:
            _check_suppressed(volume, asked, root)
        elif volume.is_instance_store:
            planned += _local_disk(volume, asked)
        else:
            planned.append(PlannedEntry(_existing(volume, asked), volume.id))
    added = [each for each in over.values() if not each.suppressed]
    kind = instance.virtualization_type
    planned += [PlannedEntry(register.plan_device(each, kind, snapshots)) for each in added]
    register.check_map([RequestedDevice(each.device.device_name) for each in planned])
    return tuple(_with_deletion_default(each) for each in planned)


def _check_suppressed(volume: Volume, asked: RequestedDevice, root: Volume) -> None:
    if asked.volume is not None or asked.virtual_name is not None:
        raise InvalidBlockDeviceMapping(
            f"The entry {asked.device_name} must have exactly one of Ebs, VirtualName and NoDevice."
        )
    if volume.id == root.id:
        raise InvalidBlockDeviceMapping(f"The root device {volume.device_name} cannot be left out of an image.")


def _local_disk(volume: Volume, asked: RequestedDevice | None) -> list[PlannedEntry]:
    """A local disk is no part of an image but by its virtual name."""
    assert volume.device_name is not None
    name = volume.virtual_name if asked is None or asked.virtual_name is None else asked.virtual_name
    if asked is not None and asked.volume is not None:
        raise InvalidBlockDeviceMapping(f"The device {volume.device_name} is an instance-store disk of the instance.")
    return [] if name is None else [PlannedEntry(ImageDevice(volume.device_name, virtual_name=name))]


def _existing(volume: Volume, asked: RequestedDevice | None) -> ImageDevice:
    assert volume.device_name is not None
    if asked is not None:
        _check_unchanged(volume, asked)
    wanted = asked.volume.delete_on_termination if asked is not None and asked.volume is not None else None
    return ImageDevice(
        volume.device_name,
        size_gib=volume.size_gib,
        volume_type=volume.volume_type,
        iops=volume.iops,
        throughput=volume.throughput,
        delete_on_termination=volume.delete_on_termination if wanted is None else wanted,
        encrypted=False,
    )


def _check_unchanged(volume: Volume, asked: RequestedDevice) -> None:
    """Refuses an entry that would change more of an existing volume than DeleteOnTermination."""
    if asked.virtual_name is not None or asked.volume is None:
        raise InvalidBlockDeviceMapping(
            f"The device {volume.device_name} is the volume {volume.id}: its entry may have Ebs or NoDevice only."
        )
    wanted: RequestedVolume = asked.volume
    kind, size_gib = volume.volume_type, volume.size_gib
    changes = {
        "VolumeSize": (wanted.size_gib, size_gib),
        "VolumeType": (wanted.volume_type, kind),
        "Iops": (wanted.iops, effective_iops(kind, size_gib, volume.iops)),
        "Throughput": (wanted.throughput, effective_throughput(kind, volume.throughput)),
        "SnapshotId": (wanted.snapshot_id, volume.snapshot_id),
        "Encrypted": (wanted.encrypted, False),
        "KmsKeyId": (wanted.kms_key_id, None),
    }
    for name, (value, is_so) in changes.items():
        if value is not None and value != is_so:
            raise InvalidBlockDeviceMapping(
                f"{name} of the existing volume {volume.id} at {volume.device_name} cannot be changed by CreateImage: "
                f"it is {is_so}. Only DeleteOnTermination can be."
            )
    if wanted.unsupported:
        raise InvalidBlockDeviceMapping(
            f"{wanted.unsupported[0]} of the existing volume {volume.id} at {volume.device_name} cannot be changed by CreateImage."
        )


def _with_deletion_default(entry: PlannedEntry) -> PlannedEntry:
    if not entry.device.is_volume or entry.device.delete_on_termination is not None:
        return entry
    return replace(entry, device=replace(entry.device, delete_on_termination=False))
