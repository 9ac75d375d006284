"""What keeps an instance from starting under Xen, in the words that its owner reads."""

from dataclasses import replace
from pathlib import Path

import pytest

from amiable.database import images
from amiable.jobs import boot
from amiable.jobs.machine import facts_of
from amiable.jobs.xen_boot import xen_parts
from amiable.model.image import Image, ImageType
from amiable.model.instance import Instance, State
from amiable.model.kernel import KernelKind
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.vm.appliance import assembly
from amiable.vm.machine import MachineFailed
from tests.jobs.test_machine_jobs import context, get, launch
from tests.rules.images import AN_IMAGE
from tests.vm.appliance.test_assembly import make


def add_kernel(services: Services, principal: Principal, kind: KernelKind, architecture: str = "x86_64") -> Image:
    image = replace(
        AN_IMAGE,
        id=services.mint("aki"),
        account_id=principal.account_id,
        region=principal.region,
        image_type=ImageType.KERNEL,
        architecture=architecture,
        kernel_kind=kind,
        devices=(),
    )
    with services.database.write() as c:
        images.insert_image(c, image)
    (services.data / "kernels" / image.id).write_bytes(b"\x7fELF")
    return image


def under_xen(services: Services, principal: Principal, kernel: Image, ramdisk: str | None = None) -> Instance:
    return launch(services, principal, hardware_profile="xen-pv", kernel_id=kernel.id, ramdisk_id=ramdisk)


def put_appliance(services: Services) -> Path:
    return make(Path(services.settings.appliance), "whole", assembly._builder_digest())


def test_an_appliance_that_cannot_be_fetched_ends_the_launch_with_apts_words(
    services: Services, principal: Principal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("apt-get", "apt-cache"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'E: Could not resolve the mirror' >&2; exit 100\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    instance = under_xen(services, principal, add_kernel(services, principal, KernelKind.XEN_PV64))
    boot.boot(context(services, "boot", instance))
    found = get(services, instance)
    assert found.state is State.TERMINATED
    assert found.state_reason_message is not None
    assert "Xen appliance cannot be assembled" in found.state_reason_message
    assert "Could not resolve the mirror" in found.state_reason_message


def test_a_32_bit_kernel_needs_its_own_hypervisor_and_gets_it_where_it_was_built(
    services: Services, principal: Principal
) -> None:
    appliance = put_appliance(services)
    instance = under_xen(services, principal, add_kernel(services, principal, KernelKind.XEN_PV32, "i386"))
    with pytest.raises(MachineFailed, match="build-pv32"):
        xen_parts(services, facts_of(services, instance.id))
    built = appliance.parent / "pv32" / "xen"
    built.parent.mkdir()
    built.write_bytes(b"xen")
    parts = xen_parts(services, facts_of(services, instance.id))
    assert parts is not None and parts.hypervisor == built


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (KernelKind.PV_GRUB_HD0, (("sda1",), False, "")),
        (KernelKind.PV_GRUB_HD00, (("sda",), False, "")),
        (KernelKind.XEN_PV64, (("sda1",), True, "root=/dev/sda1 ro console=hvc0")),
    ],
)
def test_pv_grub_gets_the_whole_disk_where_it_looks_for_partitions_and_never_a_ramdisk(
    services: Services, principal: Principal, kind: KernelKind, expected: tuple[tuple[str, ...], bool, str]
) -> None:
    appliance = put_appliance(services)
    (services.data / "kernels" / "ari-0123456789abcdef0").write_bytes(b"070701")
    instance = under_xen(services, principal, add_kernel(services, principal, kind), "ari-0123456789abcdef0")
    parts = xen_parts(services, facts_of(services, instance.id))
    assert parts is not None and parts.hypervisor == appliance / "xen"
    assert (parts.boot.disk_names, parts.boot.has_ramdisk, parts.boot.append) == expected


def test_a_kernel_whose_bytes_are_gone_is_named(services: Services, principal: Principal) -> None:
    put_appliance(services)
    kernel = add_kernel(services, principal, KernelKind.XEN_PV64)
    (services.data / "kernels" / kernel.id).unlink()
    instance = under_xen(services, principal, kernel)
    with pytest.raises(MachineFailed, match=f"{kernel.id} has no bytes here"):
        xen_parts(services, facts_of(services, instance.id))


def test_an_instance_of_another_profile_has_no_such_parts(services: Services, principal: Principal) -> None:
    instance = launch(services, principal)
    assert xen_parts(services, facts_of(services, instance.id)) is None
