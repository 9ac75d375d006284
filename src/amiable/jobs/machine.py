"""What the four jobs of a machine share: the instance's facts, its exports, and how an end is told from a failure."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amiable.database import instances, network, volumes
from amiable.jobs.context import JobContext
from amiable.model.errors import Refusal
from amiable.model.instance import Instance, Reason
from amiable.model.volume import Volume
from amiable.rules.hardware import in_guest_order
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.vm import exporter, volume_files
from amiable.vm.directory import Directory
from amiable.vm.machine import MachineFailed
from amiable.vm.network import NetworkFailed

FAILURES = (MachineFailed, NetworkFailed, Refusal, OSError)
"""What ends a boot for good, with words for the instance's owner; anything else is our bug and is tried again."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One instance with what its machine is made of; volumes in the guest's order."""

    instance: Instance
    volumes: tuple[Volume, ...]
    subnet: str


def facts_of(services: Services, instance_id: str) -> Facts:
    """The instance's facts as they stand."""
    with services.database.read() as c:
        instance = instances.get_instance(c, instance_id)
        assert instance is not None, instance_id
        subnet = network.get_subnet(c, instance.subnet_id)
        assert subnet is not None, instance.subnet_id
        held = in_guest_order(volumes.volumes_of(c, instance_id), instance.root_device_name)
    return Facts(instance, tuple(held), subnet.cidr)


def move(context: JobContext, instance_id: str, event: Event, reason: Reason | None = None, **data: Any) -> Instance:
    """Writes the state after ``event`` in the transaction that saves the job."""
    with context.services.database.write() as c:
        context.save(c, {**context.data, **data}, progress_percent=90)
        return instances.set_state(c, instance_id, event, now=context.services.now(), reason=reason)


def map_path(data: Path, volume_id: str) -> Path:
    """Where the exporter's map of the volume's blocks lies."""
    return data / "exports" / f"{volume_id}.map"


def export(services: Services, directory: Directory, volume: Volume) -> None:
    """Serves the blocks of the volume's snapshot in the instance's directory; its map is written at the first boot."""
    if volume.snapshot_id is None:
        return
    path = map_path(services.data, volume.id)
    if not path.exists():
        services.blocks.export_map(volume.snapshot_id, path)
    uid = os.geteuid() if directory.uid is None else directory.uid
    exporter.add_export(services.data, exporter.Export(volume.id, path, directory.path / f"{volume.id}.nbd", uid))


def unexport(services: Services, held: tuple[Volume, ...]) -> None:
    """Ends the exports; the maps stay, they name the overlays' base."""
    for volume in held:
        if volume.snapshot_id is not None:
            exporter.remove_export(services.data, volume.id)


def forget_volume(services: Services, volume_id: str) -> None:
    """Removes what is left of a deleted volume outside of its instance's directory."""
    map_path(services.data, volume_id).unlink(missing_ok=True)
    volume_files.remove(services.data, volume_id)


def words(error: BaseException) -> str:
    """What went wrong, for the instance's owner."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {Path(str(error.filename)).name}" if error.filename else error.strerror
    return str(error)
