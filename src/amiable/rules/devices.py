"""Which disks an instance gets: the image's block device mapping with the request's laid over it.

    image's entry     request's entry of that name      disk
    volume            -                                 as the image says
    volume            Ebs                               changed: size, type, DeleteOnTermination; the root's size never smaller,
                                                        another's never smaller than its snapshot
    volume            NoDevice                          none (never the root)
    -                 Ebs with snapshot, size or both   a further volume
    ephemeralN        -                                 a local disk, if the type has so many, else none: the surplus is dropped
    any but the root  ephemeralN                        the same
    ephemeralN        NoDevice, Ebs                     none, a volume

Entries meet by their names as they are written; no two disks may be one device (``register.is_same_place``).

The root of an instance-store image is as long as its image and cannot be changed.  Source: EC2 API, EbsBlockDevice; EC2 User
Guide, "Block device mappings", "Device names".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.errors import (
    InvalidBlockDeviceMapping,
    MissingParameter,
    UnsupportedOperation,
)
from amiable.model.image import Image, ImageDevice, RootDeviceType, find_root_device
from amiable.model.local_disks import NONE, LocalDisks
from amiable.model.snapshot import COMPLETED, Snapshot
from amiable.model.units import GIB, gib_ceil
from amiable.model.volume import Volume
from amiable.rules.qemu_command import SLOTS_MAX
from amiable.rules.register import (
    check_device_name,
    check_places,
    check_repeats,
    check_virtual_name,
    disk_of,
    wrong_device_name,
)
from amiable.rules.volume_type import DEFAULT_VOLUME_TYPE, Figures, check_figures, check_rates, check_type

DISKS_MAX: Final = SLOTS_MAX
"""The root and one in each hot-plug slot but one, which an interface may need."""


@dataclass(frozen=True, slots=True)
class AskedDevice:
    """One entry of the request; exactly one of ``is_volume``, ``virtual_name`` and ``no_device`` holds."""

    device_name: str
    is_volume: bool = False
    snapshot_id: str | None = None
    size_gib: int | None = None
    volume_type: str | None = None
    iops: int | None = None
    throughput: int | None = None
    delete_on_termination: bool | None = None
    encrypted: bool | None = None
    virtual_name: str | None = None
    no_device: bool = False


@dataclass(frozen=True, slots=True)
class PlannedDisk:
    """One disk to make.  ``size_bytes`` is what the guest sees."""

    device_name: str
    snapshot_id: str | None
    size_gib: int
    size_bytes: int
    volume_type: str
    delete_on_termination: bool
    is_instance_store: bool = False
    is_root: bool = False
    iops: int | None = None
    throughput: int | None = None
    virtual_name: str | None = None


def plan_disks(
    image: Image, asked: Sequence[AskedDevice], snapshots: Mapping[str, Snapshot], local: LocalDisks = NONE
) -> tuple[PlannedDisk, ...]:
    """The disks of one instance, root first.

    ``snapshots`` holds every snapshot that the request names, and those of the image whose volumes it sizes.
    """
    _check_names(image, asked)
    over = {device.device_name: device for device in asked}
    if image.root_device_type is RootDeviceType.INSTANCE_STORE:
        root, root_names = _instance_store_root(image, over), {image.root_device_name}
    else:
        root, root_names = _volume_root(image, over)
    disks = [root]
    for device in image.devices:
        change = over.get(device.device_name)
        if device.device_name in root_names or not device.is_volume or (change is not None and not change.is_volume):
            continue
        disks.append(_volume(device, change, snapshots, is_root=False))
    present = {device.device_name for device in image.devices if device.is_volume} | root_names
    for further in asked:
        if further.is_volume and further.device_name not in present:
            disks.append(_volume(ImageDevice(further.device_name), further, snapshots, is_root=False))
    disks += _local_disks(image, asked, root_names, local)
    check_places([disk.device_name for disk in disks])
    if len(disks) > DISKS_MAX:
        raise InvalidBlockDeviceMapping(
            f"An instance has at most {DISKS_MAX} disks; this launch asks for {len(disks)}."
        )
    return tuple(disks)


def _local_disks(
    image: Image, asked: Sequence[AskedDevice], root_names: Collection[str | None], local: LocalDisks
) -> list[PlannedDisk]:
    """The local disks that the type has and the mapping names; those of the newer types are there unasked."""
    mapped = {device.device_name: device.virtual_name for device in image.devices if local.heeds_images}
    mapped |= {device.device_name: device.virtual_name for device in asked}
    wanted = {device: name for device, name in mapped.items() if name is not None and device not in root_names}
    for name in wanted.values():
        check_virtual_name(name)
    here = [f"ephemeral{number}" for number in range(local.count)]
    if local.is_always_there:
        wanted = dict(zip(here, here, strict=True))
    names = [name for name in wanted.values() if name in here]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidBlockDeviceMapping(f"The local disk '{twice[0]}' is used in more than one block-device mapping")
    return [_local_disk(device, name, local) for device, name in wanted.items() if name in here]


def local_disks_after(
    held: Sequence[Volume], mapped: Sequence[ImageDevice], local: LocalDisks
) -> tuple[list[Volume], list[PlannedDisk]]:
    """Which local disks of an instance go, and which come, where its type becomes one that has ``local``.

    ``held`` are all its disks, ``mapped`` its image's devices: the new type's disks are those that a launch would have given it, at the
    places that they had.  Local disks are empty at every start, so nothing is lost that a stop did not lose.
    """
    taken = {volume.device_name for volume in held if volume.virtual_name is None}
    places = {device.device_name: device.virtual_name for device in mapped if local.heeds_images}
    places |= {volume.device_name or "": volume.virtual_name for volume in held if is_mapped(volume)}
    wanted = {device: name for device, name in places.items() if name is not None and device not in taken}
    here = [f"ephemeral{number}" for number in range(local.count)]
    if local.is_always_there:
        wanted = dict(zip(here, here, strict=True))
    disks: list[PlannedDisk] = []
    for device, name in wanted.items():
        if name in here and name not in {disk.virtual_name for disk in disks}:
            disks.append(_local_disk(device, name, local))
    stay = {(disk.device_name, disk.virtual_name, disk.size_gib) for disk in disks}
    there = {(it.device_name, it.virtual_name, it.size_gib) for it in held}
    gone = [it for it in held if it.virtual_name and (it.device_name, it.virtual_name, it.size_gib) not in stay]
    return gone, [disk for disk in disks if (disk.device_name, disk.virtual_name, disk.size_gib) not in there]


def is_mapped(volume: Volume) -> bool:
    """Whether it is a local disk at the place that a mapping gave it, not one of those that are there without."""
    return volume.virtual_name is not None and volume.virtual_name != volume.device_name


def _local_disk(device: str, name: str, local: LocalDisks) -> PlannedDisk:
    return PlannedDisk(
        device_name=device,
        snapshot_id=None,
        size_gib=local.size_gib,
        size_bytes=local.size_gib * GIB,
        volume_type="standard",
        delete_on_termination=True,
        is_instance_store=True,
        virtual_name=name,
    )


def _check_names(image: Image, asked: Sequence[AskedDevice]) -> None:
    known = {device.device_name for device in image.devices} | {image.root_device_name}
    for device in asked:
        if device.device_name not in known:
            _check_new_name(device.device_name, image)
    check_repeats([device.device_name for device in asked])


def _check_new_name(name: str, image: Image) -> None:
    """Refuses a name that is none, and an HVM root's disk or partition: EC2 knows such a root by the image's name for it only."""
    check_device_name(name, image.virtualization_type)
    root = image.root_device_name
    if root is not None and image.virtualization_type == "hvm" and (disk_of(root) == name or disk_of(name) == root):
        raise wrong_device_name(name, image.virtualization_type)


def _instance_store_root(image: Image, over: Mapping[str, AskedDevice]) -> PlannedDisk:
    name = image.root_device_name or "/dev/sda1"
    assert image.root_snapshot_id is not None and image.size_bytes is not None, image.id
    if name in over:
        raise InvalidBlockDeviceMapping(
            f"The root device {name} of {image.id} is an instance store of {image.size_bytes} bytes and cannot be mapped or resized."
        )
    return PlannedDisk(
        device_name=name,
        snapshot_id=image.root_snapshot_id,
        size_gib=gib_ceil(image.size_bytes),
        size_bytes=image.size_bytes,
        volume_type="standard",
        delete_on_termination=True,
        is_instance_store=True,
        is_root=True,
    )


def _volume_root(image: Image, over: Mapping[str, AskedDevice]) -> tuple[PlannedDisk, set[str | None]]:
    device = find_root_device(image.devices, image.root_device_name)
    if device is None:
        raise InvalidBlockDeviceMapping(
            f"The image {image.id} has no volume at its root device {image.root_device_name}."
        )
    names: set[str | None] = {device.device_name, image.root_device_name}
    changes = [over[name] for name in names if name is not None and name in over]
    if len(changes) > 1:
        raise InvalidBlockDeviceMapping(
            f"The root device of {image.id} is mapped twice: {' and '.join(sorted(map(str, names)))}"
        )
    change = changes[0] if changes else None
    if change is not None and not change.is_volume:
        raise InvalidBlockDeviceMapping(f"The root device {change.device_name} of {image.id} must be a volume.")
    if change is not None and change.snapshot_id not in (None, device.snapshot_id):
        raise InvalidBlockDeviceMapping(
            f"The snapshot of the root device {change.device_name} cannot be changed: it is {device.snapshot_id}."
        )
    return _volume(device, change, {}, is_root=True), names  # the image's size is the least, whatever its snapshot's


def _volume(
    device: ImageDevice, change: AskedDevice | None, snapshots: Mapping[str, Snapshot], *, is_root: bool
) -> PlannedDisk:
    """The volume of an image's entry, or of an empty one, with the request's change laid over it."""
    asked = change or AskedDevice(device.device_name, is_volume=True)
    snapshot_id, size = device.snapshot_id, device.size_gib
    size_least = size if snapshot_id is not None else None
    if asked.snapshot_id is not None and asked.snapshot_id != snapshot_id:
        snapshot_id = asked.snapshot_id
        size = size_least = _usable(snapshots[snapshot_id])
    elif snapshot_id is not None and snapshot_id in snapshots:
        size_least = snapshots[snapshot_id].size_gib
    size = size if asked.size_gib is None else asked.size_gib
    if size is None:
        raise MissingParameter("The request must contain the parameter size or snapshotId")
    if size_least is not None and size < size_least:
        raise InvalidBlockDeviceMapping(
            f"Volume of size {size}GB is smaller than snapshot '{snapshot_id}', expect size >= {size_least}GB"
        )
    _check_encryption(asked, snapshot_id)
    type_name = asked.volume_type or device.volume_type or DEFAULT_VOLUME_TYPE
    kept = asked.volume_type in (None, device.volume_type)
    iops = asked.iops if asked.iops is not None else device.iops if kept else None
    throughput = asked.throughput if asked.throughput is not None else device.throughput if kept else None
    check_figures(Figures(type_name, size, iops, throughput), is_root=is_root)
    default = is_root if device.delete_on_termination is None else device.delete_on_termination
    return PlannedDisk(
        device_name=device.device_name,
        snapshot_id=snapshot_id,
        size_gib=size,
        size_bytes=size * GIB,
        volume_type=type_name,
        delete_on_termination=default if asked.delete_on_termination is None else asked.delete_on_termination,
        is_root=is_root,
        iops=iops,
        throughput=throughput,
    )


def check_asked(asked: Sequence[AskedDevice]) -> None:
    """Refuses what no image's map could make right: two entries of one device, and the rates and size beside a type that is asked for."""
    check_repeats([device.device_name for device in asked])
    for device in asked:
        if device.volume_type is None or (device.iops is None and check_type(device.volume_type).needs_iops):
            continue
        if device.size_gib is not None:
            check_figures(Figures(device.volume_type, device.size_gib, device.iops, device.throughput))
        else:
            check_rates(device.volume_type, device.iops, device.throughput)


def _usable(snapshot: Snapshot) -> int:
    if snapshot.state != COMPLETED:
        raise InvalidBlockDeviceMapping(f"The snapshot '{snapshot.id}' is {snapshot.state}, not {COMPLETED}.")
    return snapshot.size_gib


def _check_encryption(asked: AskedDevice, snapshot_id: str | None) -> None:
    if asked.encrypted:
        what = f"of snapshot '{snapshot_id}'" if snapshot_id else "without a snapshot"
        raise UnsupportedOperation(f"Encrypted volumes are not built yet: {asked.device_name}, a volume {what}.")
