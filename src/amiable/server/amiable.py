"""Amiable's own API over HTTP: ``/amiable/v1``, JSON, signed for the service ``amiable``.

    GET    accounts                            POST  accounts {Name}                                     administrator
    GET    access-keys                         POST  access-keys            DELETE access-keys/{id}      the caller's own
    PUT    accounts/{id}/partner {Partner}                                                               administrator
    GET    kernels                             POST  kernels {Name, Type, Architecture, Bucket, Key}     POST: administrator, partners
    PUT    kernels/{id}/approval {Approved}                                                              administrator
    GET    instances/{id}/hardware
    GET    bundling-certificate                GET   host
    GET    instances/{id}/ssh-host-keys        (instances/{id}/tunnel: ``server/tunnel.py``)

Keys are PascalCase; a refusal is ``{"Code", "Message", "Hint"}``.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from starlette.responses import Response

from amiable.api import accounts, amiable, kernels
from amiable.database.accounts import Account
from amiable.model.errors import InvalidAction, InvalidParameterValue, UnauthorizedOperation
from amiable.model.image import Image, ImageType
from amiable.model.kernel import PV_GRUB, KernelKind
from amiable.server.contracts import Authenticated, in_thread
from amiable.server.limits import AMIABLE_BODY_BYTES_MAX
from amiable.services import Services

PREFIX: Final = "/amiable/v1/"
LASTING: Final = ("accounts", "access-keys")
"""Nouns that a session only reads: what it made there would outlive it."""
NAME_OF_TYPE: Final = {ImageType.KERNEL: "kernel", ImageType.RAMDISK: "ramdisk"}

T = TypeVar("T")
Answer = dict[str, Any]
Handler = Callable[[Services, Authenticated, str, bytes], Answer]


class CreateAccount(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST accounts."""

    name: str


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


class Partner(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT accounts/{id}/partner."""

    partner: bool


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one request of Amiable's own API."""
    parts = request.raw_path.removeprefix(PREFIX).split("/") if request.raw_path.startswith(PREFIX) else []
    noun, rest, tail = (*parts, "", "", "")[:3]
    handler = ROUTES.get((request.method, f"{noun}/{{}}/{tail}" if tail else f"{noun}/{{}}" if rest else noun))
    if handler is None or len(parts) > 3:
        raise InvalidAction(action=f"{request.method} {request.raw_path}")
    if request.principal.is_session and request.method != "GET" and noun in LASTING:
        raise UnauthorizedOperation(why="The credentials of a session make and change no lasting ones.")
    body = await request.body.read(AMIABLE_BODY_BYTES_MAX)
    answer = await in_thread(handler, services, request, rest, body)
    return Response(msgspec.json.encode(answer), 200, {"Content-Type": "application/json"})


def _read(body: bytes, shape: type[T]) -> T:
    """The body as ``shape``; refuses other fields, other types and what is no JSON."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameterValue(f"The request's body is not what this call takes: {error}.") from None


def _list_accounts(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    found = amiable.list_accounts(services, request.principal)
    return {"Accounts": [_account(each) for each in found]}


def _account(it: Account) -> Answer:
    return {
        "AccountId": it.id,
        "Name": it.name,
        "IsAdministrator": it.is_administrator,
        "IsPartner": it.is_partner,
        "CreatedAt": _instant(it.created_at),
    }


def _set_partner(services: Services, request: Authenticated, account_id: str, body: bytes) -> Answer:
    amiable.check_administrator(request.principal)
    wanted = _read(body, Partner)
    return _account(amiable.set_partner(services, request.principal, account_id, wanted.partner))


def _create_account(services: Services, request: Authenticated, _id: str, body: bytes) -> Answer:
    amiable.check_administrator(request.principal)
    new = accounts.create_account(services, _read(body, CreateAccount).name)
    return {
        "AccountId": new.account_id,
        "AccessKeyId": new.access_key_id,
        "SecretAccessKey": new.secret,
        "Certificate": new.certificate_pem,
        "PrivateKey": new.private_key_pem,
        "CredentialsFile": str(services.data / "accounts" / new.account_id / "credentials.json"),
    }


def _list_access_keys(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    found = amiable.list_access_keys(services, request.principal)
    return {"AccessKeys": [{"AccessKeyId": k.id, "State": k.state, "CreatedAt": _instant(k.created_at)} for k in found]}


def _create_access_key(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    new = accounts.create_access_key(services, request.principal.account_id)
    return {"AccessKeyId": new.id, "SecretAccessKey": new.secret}


def _delete_access_key(services: Services, request: Authenticated, key_id: str, _body: bytes) -> Answer:
    amiable.delete_access_key(services, request.principal, key_id)
    return {}


def _list_kernels(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {"Kernels": [_kernel(image) for image in kernels.list_kernels(services, request.principal)]}


def _register_kernel(services: Services, request: Authenticated, _id: str, body: bytes) -> Answer:
    wanted = _read(body, RegisterKernel)
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
    wanted = _read(body, Approval)
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
        "CreatedAt": _instant(image.created_at),
    }


def _bundling_certificate(services: Services, _request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {"Certificate": services.installation.bundling_pem}


def _host(services: Services, _request: Authenticated, _id: str, _body: bytes) -> Answer:
    facts = amiable.host_facts(services)
    return {
        "Version": facts.version,
        "Data": facts.data,
        "FreeBytes": facts.free_bytes,
        "StoredBytes": facts.stored_bytes,
        "ReclaimableBytes": facts.reclaimable_bytes,
        "Accelerator": facts.accelerator.kind.value,
        "AcceleratorWords": facts.accelerator.words,
        "Qemu": facts.qemu,
        "QemuInstalled": facts.is_qemu_installed,
        "Network": facts.network.kind.value,
        "NetworkWords": facts.network.words,
        "Jobs": facts.jobs,
    }


def _hardware(services: Services, request: Authenticated, instance_id: str, _body: bytes) -> Answer:
    found = amiable.hardware_of(services, request.principal, instance_id)
    return {"Profile": found.hardware_profile, "Why": found.hardware_profile_why}


def _ssh_host_keys(services: Services, request: Authenticated, instance_id: str, _body: bytes) -> Answer:
    return {"Fingerprints": amiable.ssh_host_keys(services, request.principal, instance_id)}


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


ROUTES: Final[dict[tuple[str, str], Handler]] = {
    ("GET",    "accounts"):                     _list_accounts,
    ("POST",   "accounts"):                     _create_account,
    ("PUT",    "accounts/{}/partner"):          _set_partner,
    ("GET",    "access-keys"):                  _list_access_keys,
    ("POST",   "access-keys"):                  _create_access_key,
    ("DELETE", "access-keys/{}"):               _delete_access_key,
    ("GET",    "kernels"):                      _list_kernels,
    ("POST",   "kernels"):                      _register_kernel,
    ("PUT",    "kernels/{}/approval"):          _approve_kernel,
    ("GET",    "bundling-certificate"):         _bundling_certificate,
    ("GET",    "host"):                         _host,
    ("GET",    "instances/{}/hardware"):        _hardware,
    ("GET",    "instances/{}/ssh-host-keys"):   _ssh_host_keys,
}  # fmt: skip
