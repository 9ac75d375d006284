"""What the jobs of volumes share: the volume with its instance, and the machine that runs, found under the instance's lock."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from amiable.database import instances, volumes
from amiable.jobs.machine import export
from amiable.model.hardware import Disk, Profile
from amiable.model.instance import Instance
from amiable.model.volume import Volume
from amiable.rules.hardware import disk_of
from amiable.rules.volume_type import limits_of
from amiable.services import Services
from amiable.vm import disk_export, hotplug, machine, volume_files
from amiable.vm.directory import Directory, locked, open_directory
from amiable.vm.machine import MachineSilent
from amiable.vm.qmp import Qmp

MONITOR_SECONDS_MAX: Final = 60.0
LET_GO_SECONDS_MAX: Final = 8.0
"""How long one try waits for the guest to let go of a disk."""


class NotYet(Exception):
    """The machine does not answer now: it may be ending, and the facts will say so.  No failure of what it was asked for."""


@dataclass(frozen=True, slots=True)
class Held:
    """A volume and the instance that has it; None where none has."""

    volume: Volume
    instance: Instance | None

    @property
    def disk(self) -> Disk:
        """The volume as a disk."""
        return disk_of(self.volume)


def held(services: Services, volume_id: str) -> Held | None:
    """The facts as they stand; None where the volume is gone."""
    with services.database.read() as c:
        volume = volumes.get_volume(c, volume_id)
        if volume is None:
            return None
        instance = None if volume.instance_id is None else instances.get_instance(c, volume.instance_id)
    return Held(volume, instance)


def is_being_read(services: Services, volume_id: str) -> bool:
    """Whether a snapshot is being made of the volume: its file can neither be opened for writing nor grow."""
    with services.database.read() as c:
        return volumes.is_being_read(c, volume_id)


def move_in(services: Services, directory: Directory, volume_id: str) -> bool:
    """Whether the volume's file is in the instance's directory now; it is not while a snapshot reads it where it lies."""
    if directory.exists(volume_files.file_name(volume_id)):
        volume_files.move_in(services.data, directory, volume_id)
        return True
    with volume_files.open_volumes(services.data) as folder, locked(folder):
        readers = (disk_export.find_still(folder, tag=tag) for tag in disk_export.still_tags(folder))
        if is_being_read(services, volume_id) and any(reader is not None for reader in readers):
            return False
        volume_files.move_in(services.data, directory, volume_id)
    return True


@contextmanager
def locked_directory(services: Services, instance_id: str) -> Iterator[Directory | None]:
    """The instance's directory, its lock held; None where there is none: it was never booted, or has ended."""
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(open_directory(services.data, instance_id))
        except FileNotFoundError:
            yield None
            return
        stack.enter_context(locked(directory))
        yield directory


@contextmanager
def locked_place(services: Services, volume: Volume) -> Iterator[Directory | None]:
    """The directory of the volume's instance as :func:`locked_directory` gives it; of a volume that none has, that of all detached ones."""
    if volume.instance_id is not None:
        with locked_directory(services, volume.instance_id) as directory:
            yield directory
    else:
        with volume_files.open_volumes(services.data) as folder, locked(folder):
            yield folder


@contextmanager
def running(directory: Directory | None) -> Iterator[Qmp | None]:
    """A monitor of the machine that runs in the directory; None where none does.  Raises MachineFailed or NotYet."""
    found = None if directory is None else machine.find_machine(directory)
    if directory is None or found is None:
        yield None
        return
    try:
        with machine.monitor(directory, found, wait_seconds=MONITOR_SECONDS_MAX) as qmp:
            yield qmp
    except MachineSilent as error:
        raise NotYet(str(error)) from None


def is_out(directory: Directory | None, it: Held, *, is_forced: bool = False) -> bool:
    """Whether no machine has the volume's file open, once its guest was asked to let go, or with ``is_forced`` was not."""
    try:
        with running(directory) as qmp:
            if qmp is None or hotplug.unplug(qmp, it.disk, wait_seconds=LET_GO_SECONDS_MAX):
                return True
            if is_forced:
                hotplug.empty(qmp, it.disk)
            return is_forced
    except NotYet:
        return False


def plug(services: Services, directory: Directory, qmp: Qmp, it: Held) -> None:
    """The running guest has the volume, held to its rates."""
    assert it.instance is not None
    export(services, directory, it.volume)
    machine.make_overlay(directory, it.disk)
    volume_files.fit(directory, it.volume.id, it.volume.size_bytes)
    hotplug.plug(qmp, it.disk, Profile(it.instance.hardware_profile))
    hotplug.limit(qmp, it.disk, limits_of(it.volume))
