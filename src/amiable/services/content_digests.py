"""Content digests of images as the rules want them: from what lies in the block store, without reading a byte of a disk.

A snapshot's own digest is made once, when it is completed, and kept beside it.  What an earlier version left without one gets it from
``fill``, at a start.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from amiable.blocks.maps import all_blocks
from amiable.database import image_digests, images, snapshots
from amiable.model.image import Image, ImageType, RootDeviceType
from amiable.model.snapshot import Snapshot
from amiable.model.units import BLOCK_BYTES, GIB
from amiable.rules.content_digest import content_digest
from amiable.rules.image_digest import Unknown, file_digest, image_digest
from amiable.services import Services

log = logging.getLogger("amiable.content_digests")

FILLED_AT_ONCE: Final = 100


def digest_of(
    c: Connection, image: Image, *, data: Path | None = None, disks: Mapping[str, Snapshot] | None = None
) -> bytes | None:
    """The image's digest from those of its parts; None where one is not known.

    ``data``, the data directory, is asked for the bytes of a kernel or ramdisk; ``disks`` are snapshots that were read already.  An instance-store root's map is counted together here:
    at its conversion.
    """
    with suppress(Unknown):
        return image_digest(image, _contents(c, image, data, disks or {}))
    return None


def refresh(c: Connection, image: Image) -> None:
    """Makes the digest anew after an attribute of the image has changed."""
    found = digest_of(c, image)
    if found is not None:
        image_digests.set_digest(c, image.id, found)


def is_any_missing(c: Connection) -> bool:
    """Whether a snapshot or an image has content and no digest."""
    kinds = list(ImageType)
    return bool(
        image_digests.disks_without_digest(c, 1, after="") or image_digests.images_without_digest(c, kinds, 1, after="")
    )


def fill(services: Services, go_on: Callable[[], None]) -> None:
    """Gives digests to the snapshots, then to the kernels and ramdisks, then to the images that have none; ``go_on`` is called between two."""
    _fill_disks(services, go_on)
    for types in ((ImageType.KERNEL, ImageType.RAMDISK), (ImageType.MACHINE,)):
        _fill_images(services, types, go_on)


def _fill_disks(services: Services, go_on: Callable[[], None]) -> None:
    after = ""
    while True:
        with services.database.read() as c:
            found = image_digests.disks_without_digest(c, FILLED_AT_ONCE, after=after)
        if not found:
            return
        for snapshot_id, size_gib in found:
            go_on()
            with (
                services.database.read() as c
            ):  # outside of the transaction that writes: a large disk's map takes seconds
                digest = content_digest(size_gib * GIB, all_blocks(c, snapshot_id))
            with services.database.write() as c:
                image_digests.set_disk_digest(c, snapshot_id, digest)
        after = found[-1][0]


def _fill_images(services: Services, types: tuple[ImageType, ...], go_on: Callable[[], None]) -> None:
    after = ""
    while True:
        with services.database.read() as c:
            found = image_digests.images_without_digest(c, types, FILLED_AT_ONCE, after=after)
        if not found:
            return
        for image_id, region in found:
            go_on()
            with services.database.read() as c:
                image = images.get(c, region, image_id, viewer="")
                digest = None if image is None else digest_of(c, image, data=services.data)
            if digest is not None:
                with services.database.write() as c:
                    image_digests.set_digest(c, image_id, digest)
        after = found[-1][0]


def _contents(c: Connection, image: Image, data: Path | None, disks: Mapping[str, Snapshot]) -> dict[str, bytes]:
    """The digests of the image's parts, as far as they are known."""
    if image.image_type is not ImageType.MACHINE:
        digest = _file_digest(image, data)
        return {} if digest is None else {image.id: digest}
    found: dict[str, bytes] = {}
    for image_id in {image.kernel_id, image.ramdisk_id} - {None}:
        boot_image = images.get(c, image.region, str(image_id), viewer=image.account_id)
        if boot_image is not None and boot_image.content_digest is not None:
            found[boot_image.id] = boot_image.content_digest
    for snapshot_id in {device.snapshot_id for device in image.devices} - {None}:
        snapshot = disks.get(str(snapshot_id)) or snapshots.get(c, str(snapshot_id))
        if snapshot is not None and snapshot.content_digest is not None:
            found[snapshot.id] = snapshot.content_digest
    is_converted = image.root_device_type is RootDeviceType.INSTANCE_STORE and image.root_snapshot_id is not None
    if is_converted and image.size_bytes is not None:
        assert image.root_snapshot_id is not None
        found[image.root_snapshot_id] = content_digest(image.size_bytes, all_blocks(c, image.root_snapshot_id))
    return found


def _file_digest(image: Image, data: Path | None) -> bytes | None:
    if data is None or image.content_file is None:
        return None
    try:
        path = data / "kernels" / image.content_file
        return file_digest(_blocks_of(path), path.stat().st_size)
    except OSError as error:
        log.warning("%s: its bytes cannot be read: %s", image.id, error)
        return None


def _blocks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
