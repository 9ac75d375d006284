"""The registry of kernels: who may register, approve and publish what, and what is kept of a kernel's bytes."""

import gzip
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from amiable.api import amiable, kernels
from amiable.api.ec2.images import deregister_image
from amiable.api.kernels import BootFile
from amiable.api.s3 import buckets, objects
from amiable.api.s3.objects import Put
from amiable.api.s3.receive import Incoming
from amiable.database import images, schema
from amiable.database.image_selection import Selection, list_images
from amiable.model.errors import InvalidParameterValue, Refusal, UnauthorizedOperation
from amiable.model.image import Image, ImageType
from amiable.model.kernel import KernelKind
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_instance_store_image, run_one
from tests.rules.elf import elf, notes, pv_notes

KERNEL = bytes(0x202) + b"HdrS" + os.urandom(1000)
WANTED = BootFile("linux", ImageType.KERNEL, "x86_64", "kernels", "vmlinuz")


@pytest.fixture(autouse=True)
def stored(services: Services, administrator: Principal) -> Iterator[None]:
    buckets.create_bucket(services, administrator, "kernels")
    objects.put_object(services, administrator, Put("kernels", "vmlinuz"), Incoming(iter([KERNEL]), len(KERNEL)))
    yield


def names(services: Services) -> set[str]:
    return {path.name for path in (services.data / "kernels").iterdir()}


def test_a_kernels_bytes_are_durable_before_its_row(
    services: Services, administrator: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_fsync, real_insert = os.fsync, images.insert_image

    def fsync(descriptor: int) -> None:
        events.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().name.partition("-")[0])
        real_fsync(descriptor)

    def insert_image(c: Connection, image: Image) -> None:
        events.append("row")
        real_insert(c, image)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(images, "insert_image", insert_image)
    made = kernels.register_kernel(services, administrator, WANTED)
    assert events == ["fsync aki", "fsync kernels", "row"]
    assert (services.data / "kernels" / made.id).read_bytes() == KERNEL


def test_only_the_administrator_registers_kernels(services: Services, principal: Principal) -> None:
    with pytest.raises(UnauthorizedOperation):
        kernels.register_kernel(services, principal, WANTED)
    assert names(services) == set()


def test_a_kernel_has_a_largest_size(
    services: Services, administrator: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "KERNEL_BYTES_MAX", len(KERNEL) - 1)
    with pytest.raises(InvalidParameterValue, match="may have"):
        kernels.register_kernel(services, administrator, WANTED)
    assert names(services) == set()


def test_a_partner_registers_its_own_kernels_private_and_not_approved(
    services: Services, administrator: Principal, principal: Principal
) -> None:
    amiable.set_partner(services, administrator, principal.account_id, True)
    buckets.create_bucket(services, principal, "partners")
    objects.put_object(services, principal, Put("partners", "vmlinuz"), Incoming(iter([KERNEL]), len(KERNEL)))
    made = kernels.register_kernel(services, principal, replace(WANTED, bucket="partners"))
    assert (made.approved_at, made.is_public) == (None, False)
    approved = kernels.set_approved(services, administrator, made.id, True)
    assert approved.approved_at is not None
    assert kernels.set_approved(services, administrator, made.id, True).approved_at == approved.approved_at
    amiable.set_partner(services, administrator, principal.account_id, False)
    with pytest.raises(UnauthorizedOperation, match="by partners"):
        kernels.register_kernel(services, principal, replace(WANTED, bucket="partners", name="again"))
    with services.database.read() as c:
        (again,) = list_images(c, Selection(principal.account_id, principal.region))
    assert again.approved_at == approved.approved_at, "what was approved stays so"


def test_the_administrator_alone_approves_and_only_kernels(
    services: Services, administrator: Principal, principal: Principal
) -> None:
    made = kernels.register_kernel(services, administrator, WANTED)
    with pytest.raises(UnauthorizedOperation):
        kernels.set_approved(services, principal, made.id, False)
    with pytest.raises(UnauthorizedOperation):
        amiable.set_partner(services, principal, principal.account_id, True)
    for image_id, code in (
        ("aki-" + "9" * 17, "InvalidAMIID.NotFound"),
        ("ami-" + "9" * 17, "InvalidKernelId.Malformed"),
        ("aki", "InvalidKernelId.Malformed"),
    ):
        with pytest.raises(Refusal) as refused:
            kernels.set_approved(services, administrator, image_id, True)
        assert refused.value.code == code
    deregister_image(services, administrator, ec2.DeregisterImageRequest(image_id=made.id))
    with pytest.raises(Refusal) as refused:
        kernels.set_approved(services, administrator, made.id, True)
    assert refused.value.code == "InvalidAMIID.Unavailable"
    assert kernels.set_approved(services, administrator, made.id, False).approved_at is None


def test_kernels_of_an_older_version_are_looked_at_once_at_the_next_start(
    services: Services, administrator: Principal
) -> None:
    made = kernels.register_kernel(services, administrator, WANTED)
    (services.data / "kernels" / made.id).write_bytes(gzip.compress(elf(64, segment=notes(pv_notes()))))
    nothing = dict.fromkeys(("kernel_kind", "kernel_version", "kernel_kind_why", "boots_directly"))
    with services.database.write() as c:
        c.execute(schema.image.update().values(**nothing))
    kernels.settle_kernels(services)
    (found,) = kernels.list_kernels(services, administrator)
    assert (found.kernel_kind, found.boots_directly) == (KernelKind.XEN_PV64, False)
    assert found.kernel_version == "linux 2.6" and "Xen PV of linux" in str(found.kernel_kind_why)
    (services.data / "kernels" / made.id).unlink()
    kernels.settle_kernels(services)
    assert kernels.list_kernels(services, administrator) == [found], "a kind that is known is not looked for again"


def test_the_bytes_of_a_deregistered_kernel_stay_until_its_last_instance_ended_and_the_server_starts_again(
    services: Services, administrator: Principal
) -> None:
    made = kernels.register_kernel(services, administrator, WANTED)
    instance_id = run_one(
        services, administrator, make_instance_store_image(services, administrator, kernel_id=made.id)
    )
    deregister_image(services, administrator, ec2.DeregisterImageRequest(image_id=made.id))
    kernels.settle_kernels(services)
    assert names(services) == {made.id}
    with services.database.write() as c:
        c.execute(schema.instance.update().where(schema.instance.c.id == instance_id).values(state="terminated"))
    kernels.settle_kernels(services)
    assert names(services) == set()


def test_what_a_crash_left_without_an_image_is_removed_at_the_next_start(
    services: Services, administrator: Principal
) -> None:
    made = kernels.register_kernel(services, administrator, WANTED)
    for name in ("aki-00000000000000000", "aki-00000000000000000.new"):
        (services.data / "kernels" / name).write_bytes(b"left over")
    kernels.settle_kernels(services)
    assert names(services) == {made.id}
