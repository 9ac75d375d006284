"""Image rows with their devices and launch permissions; lists of them are ``image_selection``.

Every reader names its viewer: ``Image.grantees`` and ``Image.tags`` are what that account may know.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, literal, or_, select, update

from amiable.database import product_codes
from amiable.database.image_rows import DEVICE_FIELDS, IMAGES, PLAIN_FIELDS, read_images
from amiable.database.organizations import grantee_words
from amiable.database.schema import image as I
from amiable.database.schema import image_device as D
from amiable.database.schema import instance as N
from amiable.database.schema import launch_permission as P
from amiable.database.schema import volume as V
from amiable.database.sharing import sees_image
from amiable.database.statement import Statement
from amiable.database.tags import batches
from amiable.model.image import Image, ImageState, ImageType, StateReason
from amiable.model.kernel import KernelFacts

_INSERT_IMAGE: Final = Statement(insert(I))
_INSERT_DEVICE: Final = Statement(insert(D))
_HOLDER: Final = Statement(
    select(I.c.id).where(
        I.c.account_id == bindparam("account_id"),
        I.c.region == bindparam("region"),
        I.c.name == bindparam("name"),
        I.c.deregistered_at.is_(None),
    )
)
KERNELS: Final = (ImageType.KERNEL.value, ImageType.RAMDISK.value)


def insert_image(c: Connection, image: Image) -> None:
    """Writes an image and its devices; IntegrityError when its name is in use."""
    values: dict[str, Any] = {name: getattr(image, name) for name in PLAIN_FIELDS}
    values |= {
        "state": str(image.state),
        "state_reason_code": None if image.state_reason is None else image.state_reason.code,
        "state_reason_message": None if image.state_reason is None else image.state_reason.message,
        "image_type": str(image.image_type),
        "root_device_type": str(image.root_device_type),
        "kernel_kind": None if image.kernel_kind is None else image.kernel_kind.value,
        "ancestor_ami_ids": " ".join(image.ancestor_ami_ids) or None,
    }
    _INSERT_IMAGE.execute(c, values)
    rows = [
        {"image_id": image.id, "position": position} | {name: getattr(device, name) for name in DEVICE_FIELDS}
        for position, device in enumerate(image.devices)
    ]
    _INSERT_DEVICE.execute(c, *rows)
    product_codes.put_codes(c, image.id, image.product_codes)


def find_name(c: Connection, account_id: str, region: str, name: str) -> str | None:
    """The id of the account's image that holds ``name``."""
    row = _HOLDER.first(c, account_id=account_id, region=region, name=name)
    return None if row is None else str(row[0])


def get(c: Connection, region: str, image_id: str, *, viewer: str) -> Image | None:
    """The image of this id, deregistered and invisible ones included: what the viewer may do with it the rules say."""
    found = read_images(c, IMAGES.where(I.c.id == image_id, I.c.region == region), viewer=viewer)
    return found[0] if found else None


def uefi_data_of(c: Connection, image_id: str) -> str | None:
    """The UEFI variables that the image brings, in base64, whatever became of the image."""
    return c.execute(select(I.c.uefi_data).where(I.c.id == image_id)).scalar()


def list_kernels(c: Connection, viewer: str, region: str) -> list[Image]:
    """Every kernel and ramdisk of the region, whoever owns it, none deregistered, oldest first: for the administrator."""
    here = and_(I.c.region == region, I.c.image_type.in_(KERNELS), I.c.state != ImageState.DEREGISTERED)
    return read_images(c, IMAGES.where(here).order_by(I.c.created_at, I.c.id), viewer=viewer)


def kernels_not_looked_at(c: Connection) -> list[str]:
    """Ids of the available kernels whose kind is not known yet."""
    query = select(I.c.id).where(
        I.c.image_type == ImageType.KERNEL, I.c.state == ImageState.AVAILABLE, I.c.kernel_kind.is_(None)
    )
    return list(c.execute(query.order_by(I.c.id)).scalars())


def root_snapshot_of(c: Connection, region: str, image_id: str) -> str | None:
    """The id of the snapshot that the image's root is, whatever became of the image; None of one backed by a manifest."""
    image = get(c, region, image_id, viewer="")
    return None if image is None or image.root_device is None else image.root_device.snapshot_id


def find_twin(c: Connection, image_id: str, *, region: str, viewer: str) -> str | None:
    """The available kernel or ramdisk of ``region`` that holds what ``image_id`` holds and that the viewer may use; its own first."""
    source = c.execute(select(I.c.content_digest, I.c.image_type).where(I.c.id == image_id)).first()
    if source is None or source.content_digest is None:
        return None
    same = and_(I.c.content_digest == source.content_digest, I.c.image_type == source.image_type)
    seen = sees_image(viewer, grantee_words(c, viewer))
    here = and_(I.c.region == region, I.c.state == ImageState.AVAILABLE, seen)
    query = select(I.c.id).where(same, here).order_by(I.c.account_id != viewer, I.c.id).limit(1)
    return c.execute(query).scalar()


def set_kernel_facts(c: Connection, image_id: str, facts: KernelFacts) -> None:
    """Records what was seen in a kernel's bytes."""
    c.execute(update(I).where(I.c.id == image_id).values(**kernel_values(facts)))


def kernel_values(facts: KernelFacts) -> dict[str, Any]:
    """The columns of ``facts``."""
    return {
        "kernel_kind": facts.kind.value,
        "kernel_version": None if facts.version is None else facts.version[:255],
        "kernel_kind_why": facts.why[:255],
        "boots_directly": facts.boots_directly,
    }


def approve(c: Connection, image_id: str, moment: datetime | None) -> None:
    """Sets the approved mark of a kernel or ramdisk, or with None takes it away."""
    c.execute(update(I).where(I.c.id == image_id).values(approved_at=moment))


def deregister(c: Connection, image_id: str, *, now: datetime) -> bool:
    """Ends the image for good: its name is free and its grants are gone.  ``False`` when it had ended before.

    A binned one was deregistered when it came into the bin.
    """
    here = and_(I.c.id == image_id, I.c.state != ImageState.DEREGISTERED)
    since = func.coalesce(I.c.deregistered_at, literal(now, I.c.deregistered_at.type))
    values = {"state": str(ImageState.DEREGISTERED), "deregistered_at": since, "bin_exit_at": None, "binned_from": None}
    if c.execute(update(I).where(here).values(**values)).rowcount != 1:
        return False
    c.execute(delete(P).where(P.c.image_id == image_id))
    return True


def count_pending_of(c: Connection, instance_id: str) -> int:
    """How many images of the instance are in the making."""
    here = and_(I.c.source_instance_id == instance_id, I.c.state == ImageState.PENDING)
    return int(c.execute(select(func.count()).select_from(I).where(here)).scalar_one())


def make_available(c: Connection, image_id: str, **facts: Any) -> bool:
    """pending → available, with what the conversion found out.  ``False`` from any other state."""
    pending = and_(I.c.id == image_id, I.c.state == ImageState.PENDING)
    return c.execute(update(I).where(pending).values(state=str(ImageState.AVAILABLE), **facts)).rowcount == 1


def fail(c: Connection, image_id: str, reason: StateReason) -> bool:
    """pending → failed, with the reason.  ``False`` from any other state."""
    pending = and_(I.c.id == image_id, I.c.state == ImageState.PENDING)
    values = {"state_reason_code": reason.code, "state_reason_message": reason.message[:1000], "root_snapshot_id": None}
    return c.execute(update(I).where(pending).values(state=str(ImageState.FAILED), **values)).rowcount == 1


def describe(c: Connection, image_id: str, description: str) -> None:
    """Changes the description."""
    c.execute(update(I).where(I.c.id == image_id).values(description=description))


def set_imds_support(c: Connection, image_id: str, imds_support: str) -> None:
    """Sets what the image says of its metadata service."""
    c.execute(update(I).where(I.c.id == image_id).values(imds_support=imds_support))


def grantees(c: Connection, image_id: str) -> list[str]:
    """All whom the image is shared with, in order."""
    return list(c.execute(select(P.c.grantee).where(P.c.image_id == image_id).order_by(P.c.grantee)).scalars())


def change_grants(c: Connection, image_id: str, *, add: Iterable[str], remove: Iterable[str]) -> None:
    """Adds and removes launch permissions; what is there already, or absent already, stays so."""
    gone = list(remove)
    for some in batches(gone):
        c.execute(delete(P).where(P.c.image_id == image_id, P.c.grantee.in_(some)))
    present = set(grantees(c, image_id))
    new = [{"image_id": image_id, "grantee": grantee} for grantee in dict.fromkeys(add) if grantee not in present]
    if new:
        c.execute(insert(P), new)


def users_of_snapshot(c: Connection, snapshot_id: str) -> list[str]:
    """Ids of what still needs the snapshot: images that are neither deregistered nor binned, volumes that are not deleted."""
    alive = I.c.state.in_((ImageState.PENDING, ImageState.AVAILABLE, ImageState.DISABLED))
    images = select(D.c.image_id).join(I, I.c.id == D.c.image_id).where(D.c.snapshot_id == snapshot_id, alive)
    volumes = select(V.c.id).where(V.c.snapshot_id == snapshot_id, V.c.state != "deleted")
    return sorted({*c.execute(images).scalars(), *c.execute(volumes).scalars()})


def forget_unused_roots(c: Connection) -> list[str]:
    """Takes the internal snapshots from deregistered images that no volume needs; the caller drops them in this transaction."""
    needed = select(V.c.id).where(V.c.snapshot_id == I.c.root_snapshot_id, V.c.state != "deleted").exists()
    unused = and_(I.c.state == ImageState.DEREGISTERED, I.c.root_snapshot_id > "", ~needed)
    found = list(c.execute(select(I.c.root_snapshot_id).where(unused)).scalars())
    c.execute(update(I).where(unused).values(root_snapshot_id=None))
    return found


def kernels_with_bytes(c: Connection) -> set[str]:
    """Ids of the kernels and ramdisks whose bytes somebody needs: all that are there, and what an instance still boots with."""
    ended = I.c.state == ImageState.DEREGISTERED
    booted = or_(N.c.kernel_id == I.c.id, N.c.ramdisk_id == I.c.id)
    is_in_use = select(N.c.id).where(booted, N.c.state != "terminated").exists()
    return set(c.execute(select(I.c.id).where(I.c.image_type.in_(KERNELS), or_(~ended, is_in_use))).scalars())


def is_kernel_in_use(c: Connection, image_id: str) -> bool:
    """Whether an instance that has not ended boots with this kernel or ramdisk."""
    booted = or_(N.c.kernel_id == image_id, N.c.ramdisk_id == image_id)
    return c.execute(select(N.c.id).where(booted, N.c.state != "terminated").limit(1)).first() is not None
