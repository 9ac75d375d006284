"""What an instance's root may be replaced with.

    asked for    the new root
    nothing      what the root was when the instance was launched
    SnapshotId   a completed snapshot of one of the instance's own roots
    ImageId      the root of an image with the same product codes, architecture and virtualization type

The new volume is as long as the old one, or as its snapshot where that is longer.  Source: EC2 API, CreateReplaceRootVolumeTask.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from amiable.model.errors import (
    IncorrectInstanceState,
    IncorrectState,
    InvalidParameterCombination,
    InvalidParameterValue,
    UnsupportedOperation,
)
from amiable.model.image import Image
from amiable.model.image_making_errors import NonEBSInstance
from amiable.model.instance import Instance, State
from amiable.model.root_replacement import RootReplacement
from amiable.model.snapshot import COMPLETED, Snapshot
from amiable.model.units import GIB
from amiable.model.volume import Volume, VolumeState
from amiable.rules.volume_type import Figures, check_figures


def check_request(snapshot_id: str | None, image_id: str | None) -> None:
    """Refuses two sources."""
    if snapshot_id is not None and image_id is not None:
        raise InvalidParameterCombination("The parameters SnapshotId and ImageId cannot be used together.")


def check_instance(instance: Instance, live: RootReplacement | None) -> None:
    """Refuses an instance that does not run, one without a root volume, and one whose root is being replaced."""
    if not instance.is_ebs:
        raise NonEBSInstance(instance_id=instance.id)
    if instance.state is not State.RUNNING:
        raise IncorrectInstanceState(instance_id=instance.id, verb="given another root volume")
    if live is not None:
        raise IncorrectState(f"The root volume of '{instance.id}' is being replaced by the task {live.id}.")


def check_snapshot(snapshot: Snapshot, roots: Collection[str | None], launched_from: Collection[str | None]) -> None:
    """Refuses a snapshot that is of none of the instance's roots, or is not whole.  ``roots`` are ids of volumes."""
    if snapshot.volume_id not in roots and snapshot.id not in launched_from:
        raise InvalidParameterValue(
            parameter="SnapshotId", value=snapshot.id, why="It was not made of a root volume of this instance."
        )
    if snapshot.state != COMPLETED:
        raise IncorrectState(f"The snapshot '{snapshot.id}' is {snapshot.state}, not {COMPLETED}.")


def check_image(instance: Instance, image: Image) -> None:
    """Refuses an image that is another kind of machine, or carries other product codes."""
    for what, wanted, given in (
        ("architecture", instance.architecture, image.architecture),
        ("virtualization type", instance.virtualization_type, image.virtualization_type),
        ("product codes", _codes(instance), _codes(image)),
    ):
        if wanted != given:
            raise InvalidParameterValue(
                parameter="ImageId",
                value=image.id,
                why=f"Its {what} must be those of the instance: {wanted or 'none'}, not {given or 'none'}.",
            )
    if image.root_device is None or image.root_device.snapshot_id is None:
        raise UnsupportedOperation(f"The image {image.id} has no root volume: it is backed by a manifest.")


def _codes(it: Instance | Image) -> str:
    return ", ".join(sorted(each.code for each in it.product_codes))


def new_root(old: Volume, snapshot: Snapshot, volume_id: str, *, now: datetime) -> Volume:
    """The volume to come, attached to nothing yet; refuses a snapshot that is longer than a volume of the old one's type."""
    size_gib = max(old.size_gib, snapshot.size_gib)
    check_figures(Figures(old.volume_type, size_gib, old.iops, old.throughput), is_root=True)
    return replace(
        old,
        id=volume_id,
        state=VolumeState.CREATING,
        snapshot_id=snapshot.id,
        size_gib=size_gib,
        size_bytes=size_gib * GIB,
        instance_id=None,
        device_name=None,
        attached_at=None,
        attachment_state=None,
        created_at=now,
    )
