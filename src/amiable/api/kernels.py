"""Kernels and ramdisks: the registry, its approved list, and who may add to it.

    administrator   registers (approved at birth, public), approves, disapproves, names partners
    partner         registers (its own, private); what is approved it may make public
    others          launch with what they see and what is approved

The bytes lie in ``kernels/<id>``, durable before the row names them.  What a bundle holds is registered by RegisterImage.
"""

import shutil
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Final

from amiable.api.amiable import check_administrator
from amiable.blocks.files import new_file
from amiable.database import images, sharing
from amiable.database.image_selection import Selection, list_images
from amiable.model import ids
from amiable.model.errors import (
    InvalidAMINameDuplicate,
    InvalidParameterValue,
    Malformed,
    NotFound,
    UnauthorizedOperation,
)
from amiable.model.image import EVERYONE, KERNEL_BYTES_MAX, Image, ImageState, ImageType, RootDeviceType
from amiable.model.kernel import KernelFacts, KernelKind
from amiable.model.principal import Principal
from amiable.model.units import MIB, human_bytes
from amiable.rules.kernel_bytes import HEAD_BYTES, check_boot_bytes
from amiable.rules.kernel_kind import check_declared
from amiable.rules.permission import check_registered
from amiable.rules.quota import check_image_quota
from amiable.rules.register import check_name
from amiable.services import Services
from amiable.services.content_digests import digest_of
from amiable.services.kernels import look_at, may_register
from amiable.services.objects import open_object

DESCRIPTION_LENGTH_MAX: Final = 255
COPY_BYTES: Final = MIB
ARCHITECTURES: Final = ("x86_64", "i386")
PREFIXES: Final = {ImageType.KERNEL: ids.AKI, ImageType.RAMDISK: ids.ARI}


@dataclass(frozen=True, slots=True)
class BootFile:
    """A kernel or ramdisk to be registered: an object's plain bytes under a name."""

    name: str
    image_type: ImageType
    architecture: str
    bucket: str
    key: str
    description: str = ""
    pv_grub: KernelKind | None = None  # what Amiable built itself


@dataclass(frozen=True, slots=True)
class Kept:
    """The bytes as they lie below ``kernels/``, in the file of that id; a kernel's, with what they say of it."""

    image_id: str
    size_bytes: int
    facts: KernelFacts | None


def list_kernels(services: Services, principal: Principal) -> list[Image]:
    """The kernels and ramdisks that the caller may see, oldest first; the administrator sees all."""
    with services.database.read() as c:
        if principal.is_administrator:
            return images.list_kernels(c, principal.account_id, principal.region)
        found = list_images(c, Selection(principal.account_id, principal.region))
    return [image for image in found if image.image_type in PREFIXES]


def set_approved(services: Services, principal: Principal, image_id: str, is_approved: bool) -> Image:
    """Puts a kernel or ramdisk, whoever owns it, on the list of approved ones, or takes it off; for the administrator.

    Instances that run do not notice; a stopped one is refused at its next start.
    """
    check_administrator(principal)
    if not any(ids.is_well_formed(prefix, image_id) for prefix in PREFIXES.values()):
        raise Malformed("kernel", image_id, ids.AKI)
    with services.database.write() as c:
        image = images.get(c, principal.region, image_id, viewer=principal.account_id)
        if image is None or image.image_type not in PREFIXES:
            raise NotFound("kernel", [image_id])
        if is_approved:  # one that is deregistered may be taken off: stopped instances still start with it
            check_registered(image)
        moment = (image.approved_at or services.now()) if is_approved else None
        images.approve(c, image_id, moment)
    return replace(image, approved_at=moment)


def register_kernel(services: Services, principal: Principal, wanted: BootFile) -> Image:
    """Registers an object's bytes as a kernel or ramdisk; for the administrator and partners.  Durable on return."""
    _check_may_register(services, principal)
    _check_wanted(principal, wanted)
    with services.database.read() as c:
        _check_free(images.find_name(c, principal.account_id, principal.region, wanted.name), wanted)
    image_id = services.mint(PREFIXES[wanted.image_type])
    path = services.data / "kernels" / image_id
    with open_object(services, principal.account_id, wanted.bucket, wanted.key) as found:
        if found.size_bytes > KERNEL_BYTES_MAX:
            why = f"It has {human_bytes(found.size_bytes)}; a {wanted.image_type} may have {human_bytes(KERNEL_BYTES_MAX)}."
            raise InvalidParameterValue(parameter="Key", value=wanted.key, why=why)
        check_boot_bytes(wanted.image_type.value, found.stream.read(HEAD_BYTES))
        found.stream.seek(0)
        with new_file(path) as file:
            shutil.copyfileobj(found.stream, file, COPY_BYTES)
    with ExitStack() as undo:
        undo.callback(path.unlink)
        facts = None
        if wanted.image_type is ImageType.KERNEL:
            facts = check_declared(look_at(path), wanted.architecture, wanted.pv_grub)
        image = _image(services, principal, wanted, Kept(image_id, path.stat().st_size, facts))
        with services.database.read() as c:
            image = replace(image, content_digest=digest_of(c, image, data=services.data))
        with services.database.write() as c:
            _check_free(images.find_name(c, principal.account_id, principal.region, wanted.name), wanted)
            check_image_quota(sharing.count_images(c, image.account_id, image.region), services.settings.images_max)
            images.insert_image(c, image)
            images.change_grants(c, image_id, add=sorted(image.grantees), remove=[])
        undo.pop_all()
    return image


def _check_may_register(services: Services, principal: Principal) -> None:
    if not may_register(services, principal):
        raise UnauthorizedOperation(why="Kernels and ramdisks are registered by the administrator and by partners.")


def _check_wanted(principal: Principal, wanted: BootFile) -> None:
    check_name(wanted.name)
    if wanted.architecture not in ARCHITECTURES:
        raise InvalidParameterValue(
            parameter="Architecture", value=wanted.architecture, why=f"Give {' or '.join(ARCHITECTURES)}."
        )
    if len(wanted.description) > DESCRIPTION_LENGTH_MAX:
        raise InvalidParameterValue(
            parameter="Description", value="…", why=f"It may have {DESCRIPTION_LENGTH_MAX} characters."
        )
    if wanted.pv_grub is not None:
        check_administrator(principal)
        if wanted.image_type is not ImageType.KERNEL:
            raise InvalidParameterValue(parameter="Kind", value=wanted.pv_grub.value, why="A ramdisk has none.")


def settle_kernels(services: Services) -> None:
    """Removes files below ``kernels/`` that a crash left, or that the last instance of a deregistered kernel needed; and looks at
    kernels that were not looked at yet.

    At a start, when nothing is being registered.
    """
    with services.database.read() as c:
        needed = images.kernels_with_bytes(c)
        unseen = images.kernels_not_looked_at(c)
    for path in (services.data / "kernels").iterdir():
        if path.is_file() and path.name not in needed:
            path.unlink()
    for image_id in unseen:
        with suppress(OSError):  # a disk that fails for the moment: it is looked at again at the next start
            facts = look_at(services.data / "kernels" / image_id)
            with services.database.write() as c:
                images.set_kernel_facts(c, image_id, facts)


def _check_free(holder: str | None, wanted: BootFile) -> None:
    if holder is not None:
        raise InvalidAMINameDuplicate(name=wanted.name, image_id=holder)


def _image(services: Services, principal: Principal, wanted: BootFile, kept: Kept) -> Image:
    now, facts = services.now(), kept.facts
    return Image(
        id=kept.image_id,
        account_id=principal.account_id,
        region=principal.region,
        name=wanted.name,
        description=wanted.description or None,
        state=ImageState.AVAILABLE,
        state_reason=None,
        image_type=wanted.image_type,
        architecture=wanted.architecture,
        virtualization_type="paravirtual",
        root_device_type=RootDeviceType.INSTANCE_STORE,
        root_device_name=None,
        kernel_id=None,
        ramdisk_id=None,
        platform=None,
        location=f"{principal.account_id}/{wanted.name}",
        boot_mode=None,
        tpm_support=None,
        imds_support=None,
        sriov_net_support=None,
        ena_support=False,
        created_at=now,
        content_file=kept.image_id,
        size_bytes=kept.size_bytes,
        approved_at=now if principal.is_administrator else None,
        kernel_kind=facts.kind if facts else None,
        kernel_version=facts.version[:255] if facts and facts.version else None,
        kernel_kind_why=facts.why[:255] if facts else None,
        boots_directly=facts.boots_directly if facts else None,
        grantees=frozenset({EVERYONE}) if principal.is_administrator else frozenset(),
    )
