"""Where the bytes of a volume are now.

    no bytes of its own   NOWHERE     a volume that was made and never attached: zeros, or its snapshot's blocks
    its instance's folder INSTANCE    <data>/instances/<instance>/<volume>.qcow2, whether the instance runs or not
    the folder of all     DETACHED    <data>/volumes/<volume>.qcow2

The file is moved by one rename, under the lock of the instance's directory, by the job that attaches or detaches; so the answer is
found by looking, the instance's folder first, and it holds as long as the caller holds that lock.  The file is a qcow2 overlay;
below it lie the blocks of ``volume.snapshot_id``, if it has one: their map is ``<data>/exports/<volume>.map`` once it was attached.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from amiable.model.volume import Volume
from amiable.vm.directory import Directory, open_directory
from amiable.vm.volume_files import file_name, open_volumes


class Place(StrEnum):
    """Whose folder the file lies in."""

    NOWHERE = "nowhere"
    INSTANCE = "instance"
    DETACHED = "detached"


@dataclass(frozen=True, slots=True)
class VolumePlace:
    """``instance_id`` is whose folder it is in; None unless ``place`` is INSTANCE."""

    place: Place
    instance_id: str | None = None


def place_of(data: Path, volume: Volume) -> VolumePlace:
    """Where the file lies now."""
    if volume.instance_id is not None:
        try:
            with open_directory(data, volume.instance_id) as directory:
                if directory.exists(file_name(volume.id)):
                    return VolumePlace(Place.INSTANCE, volume.instance_id)
        except FileNotFoundError:
            pass  # the instance has never been booted
    with open_volumes(data) as directory:
        return VolumePlace(Place.DETACHED if directory.exists(file_name(volume.id)) else Place.NOWHERE)


@contextmanager
def open_place(data: Path, where: VolumePlace) -> Iterator[Directory]:
    """The folder, as a directory whose file names :func:`place_of` speaks of; that of all where there is no file."""
    if where.instance_id is not None:
        with open_directory(data, where.instance_id) as directory:
            yield directory
    else:
        with open_volumes(data) as directory:
            yield directory
