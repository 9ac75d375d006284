"""The registry of kernels: who may register, approve and publish what, and what is kept of a kernel's bytes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from amiable.api import kernels
from amiable.api.kernels import BootFile
from amiable.api.s3 import buckets, objects
from amiable.api.s3.objects import Put
from amiable.api.s3.receive import Incoming
from amiable.model.errors import InvalidParameterValue, UnauthorizedOperation
from amiable.model.image import ImageType
from amiable.model.principal import Principal
from amiable.services import Services

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
    real_fsync, real_insert = os.fsync, kernels.images.insert_image

    def fsync(descriptor: int) -> None:
        events.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().name.partition("-")[0])
        real_fsync(descriptor)

    def insert_image(*args: object) -> None:
        events.append("row")
        real_insert(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(kernels.images, "insert_image", insert_image)
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


def test_what_a_crash_left_without_an_image_is_removed_at_the_next_start(
    services: Services, administrator: Principal
) -> None:
    made = kernels.register_kernel(services, administrator, WANTED)
    for name in ("aki-00000000000000000", "aki-00000000000000000.new"):
        (services.data / "kernels" / name).write_bytes(b"left over")
    kernels.settle_kernels(services)
    assert names(services) == {made.id}
