"""Amiable's own calls: what EC2, S3 and STS have no call for."""

import shutil
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from amiable import __version__
from amiable.api.ec2.instance_ids import find_named
from amiable.blocks.files import new_file
from amiable.database import accounts, images, schema
from amiable.model import ids
from amiable.model.errors import (
    InvalidAMINameDuplicate,
    InvalidParameterValue,
    NotFound,
    UnauthorizedOperation,
)
from amiable.model.image import EVERYONE, KERNEL_BYTES_MAX, Image, ImageState, ImageType, RootDeviceType
from amiable.model.principal import Principal
from amiable.model.units import MIB, human_bytes
from amiable.rules.kernel_bytes import HEAD_BYTES, check_boot_bytes
from amiable.rules.register import check_name
from amiable.services import Services
from amiable.services.objects import open_object
from amiable.vm import host_keys
from amiable.vm.accelerator import Accelerator, choose_accelerator
from amiable.vm.directory import open_directory
from amiable.vm.network_kind import Network, choose_network

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


@dataclass(frozen=True, slots=True)
class Host:
    """What ``doctor`` shows of the server's host."""

    version: str
    data: str
    free_bytes: int
    stored_bytes: int
    reclaimable_bytes: int
    accelerator: Accelerator
    network: Network
    qemu: str
    is_qemu_installed: bool
    jobs: dict[str, int]


def check_administrator(principal: Principal) -> None:
    """Refuses everyone else."""
    if not principal.is_administrator:
        raise UnauthorizedOperation(why="This call is for the installation's administrator.")


def list_accounts(services: Services, principal: Principal) -> list[accounts.Account]:
    """Every account; for the administrator."""
    check_administrator(principal)
    with services.database.read() as c:
        return accounts.list_accounts(c)


def list_access_keys(services: Services, principal: Principal) -> list[accounts.AccessKey]:
    """The caller's own keys."""
    with services.database.read() as c:
        return accounts.list_access_keys(c, principal.account_id)


def delete_access_key(services: Services, principal: Principal, key_id: str) -> None:
    """Deletes one of the caller's keys, but not the one that signed this very call: nobody locks themselves out."""
    if key_id == principal.access_key_id:
        raise InvalidParameterValue(
            parameter="AccessKeyId", value=key_id, why="It signs this request: delete it with another key."
        )
    with services.database.write() as c:
        if not accounts.delete_access_key(c, account_id=principal.account_id, key_id=key_id):
            raise NotFound("resource", [key_id])


def list_kernels(services: Services, principal: Principal) -> list[Image]:
    """The kernels and ramdisks that the caller may use, oldest first."""
    with services.database.read() as c:
        found = images.list_images(c, images.Selection(principal.account_id, principal.region))
    return [image for image in found if image.image_type in PREFIXES]


def register_kernel(services: Services, principal: Principal, wanted: BootFile) -> Image:
    """Registers an object's bytes as a public kernel or ramdisk; for the administrator.  Durable on return."""
    check_administrator(principal)
    check_name(wanted.name)
    if wanted.architecture not in ARCHITECTURES:
        raise InvalidParameterValue(
            parameter="Architecture", value=wanted.architecture, why=f"Give {' or '.join(ARCHITECTURES)}."
        )
    if len(wanted.description) > DESCRIPTION_LENGTH_MAX:
        raise InvalidParameterValue(
            parameter="Description", value="…", why=f"It may have {DESCRIPTION_LENGTH_MAX} characters."
        )
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
    image = _image(services, principal, wanted, image_id, found.size_bytes)
    try:
        with services.database.write() as c:
            _check_free(images.find_name(c, principal.account_id, principal.region, wanted.name), wanted)
            images.insert_image(c, image)
            images.change_grants(c, image_id, add=[EVERYONE], remove=[])
    except InvalidAMINameDuplicate:
        path.unlink()
        raise
    return image


def settle_kernels(services: Services) -> None:
    """Removes files below ``kernels/`` that a crash left without an image; at a start, when nothing is being registered."""
    with services.database.read() as c:
        known = set(c.execute(select(schema.image.c.id).where(schema.image.c.image_type.in_(PREFIXES))).scalars())
    for path in (services.data / "kernels").iterdir():
        if path.is_file() and path.name not in known:
            path.unlink()


def ssh_host_keys(services: Services, principal: Principal, instance_id: str) -> list[str]:
    """Fingerprints (``SHA256:…``) of the host keys that the guest printed on its console; none yet: none.

    Which print counts: ``vm/host_keys``.
    """
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [instance_id], now=services.now())
    try:
        with open_directory(services.data, instance.id) as directory:
            return list(host_keys.known_keys(directory, instance.boot_count))
    except OSError:  # before the first boot, after the instance's end, or a link where the log was
        return []


def host_facts(services: Services) -> Host:
    """What the server's host has left and how its work stands."""
    with services.database.read() as c:
        states = c.execute(
            select(schema.job.c.state, func.count()).group_by(schema.job.c.state).order_by(schema.job.c.state)
        ).all()
        stored = c.execute(select(func.coalesce(func.sum(schema.pack.c.size_bytes), 0))).scalar_one()
    return Host(
        version=__version__,
        data=str(services.data),
        free_bytes=shutil.disk_usage(services.data).free,
        stored_bytes=int(stored),
        reclaimable_bytes=services.blocks.reclaimable_bytes(),
        accelerator=choose_accelerator(services.data, services.settings),
        network=choose_network(services.settings),
        qemu=services.settings.qemu,
        is_qemu_installed=shutil.which(services.settings.qemu) is not None,
        jobs={row[0]: row[1] for row in states},
    )


def _check_free(holder: str | None, wanted: BootFile) -> None:
    if holder is not None:
        raise InvalidAMINameDuplicate(name=wanted.name, image_id=holder)


def _image(services: Services, principal: Principal, wanted: BootFile, image_id: str, size_bytes: int) -> Image:
    return Image(
        id=image_id,
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
        created_at=services.now(),
        content_file=image_id,
        size_bytes=size_bytes,
        grantees=frozenset({EVERYONE}),
    )
