"""Kernels and ramdisks: ``/amiable/v1/kernels``."""

from typing import Final

import msgspec

from amiable.api import amiable, kernels
from amiable.model.errors import InvalidParameterValue
from amiable.model.image import Image, ImageType
from amiable.model.kernel import PV_GRUB, KernelKind
from amiable.server.amiable.calls import Answer, Routes, instant, read_body
from amiable.server.contracts import Authenticated
from amiable.services import Services

NAME_OF_TYPE: Final = {ImageType.KERNEL: "kernel", ImageType.RAMDISK: "ramdisk"}


class RegisterKernel(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST kernels."""

    name: str
    type: str
    bucket: str
    key: str
    architecture: str = "x86_64"
    description: str = ""
    kind: str | None = None


class Approval(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT kernels/{id}/approval."""

    approved: bool


def _list_kernels(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {"Kernels": [_kernel(image) for image in kernels.list_kernels(services, request.principal)]}


def _register_kernel(services: Services, request: Authenticated, _id: str, body: bytes) -> Answer:
    wanted = read_body(body, RegisterKernel)
    types = {name: image_type for image_type, name in NAME_OF_TYPE.items()}
    if wanted.type not in types:
        raise InvalidParameterValue(parameter="Type", value=wanted.type, why="Give kernel or ramdisk.")
    boot_file = kernels.BootFile(
        wanted.name,
        types[wanted.type],
        wanted.architecture,
        wanted.bucket,
        wanted.key,
        wanted.description,
        _pv_grub(wanted.kind),
    )
    return _kernel(kernels.register_kernel(services, request.principal, boot_file))


def _pv_grub(kind: str | None) -> KernelKind | None:
    """The kind that a request declares: PV-GRUB's only, the others are read from the bytes."""
    if kind is None:
        return None
    if kind not in PV_GRUB:
        raise InvalidParameterValue(parameter="Kind", value=kind, why=f"Give {' or '.join(PV_GRUB)}, or none.")
    return KernelKind(kind)


def _approve_kernel(services: Services, request: Authenticated, image_id: str, body: bytes) -> Answer:
    amiable.check_administrator(request.principal)
    wanted = read_body(body, Approval)
    return _kernel(kernels.set_approved(services, request.principal, image_id, wanted.approved))


def _kernel(image: Image) -> Answer:
    return {
        "ImageId": image.id,
        "ImageType": image.image_type.value,
        "Name": image.name,
        "Architecture": image.architecture,
        "Description": image.description or "",
        "SizeBytes": image.size_bytes,
        "State": image.state.value,
        "OwnerId": image.account_id,
        "Visibility": "public" if image.is_public else "shared" if image.grantees else "private",
        "Approved": image.approved_at is not None,
        "Kind": None if image.kernel_kind is None else image.kernel_kind.value,
        "KindWhy": image.kernel_kind_why,
        "Version": image.kernel_version,
        "CreatedAt": instant(image.created_at),
    }


ROUTES: Final[Routes] = {
    ("GET",    "kernels"): _list_kernels,
    ("POST",   "kernels"): _register_kernel,
    ("PUT",    "kernels/{}/approval"): _approve_kernel,
}  # fmt: skip
