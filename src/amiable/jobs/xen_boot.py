"""What a boot under Xen needs beside any other's: the appliance, assembled when it is the first, and the instance's part of it."""

from dataclasses import dataclass
from pathlib import Path

from amiable.database import images
from amiable.jobs.machine import Facts
from amiable.model.hardware import Hardware, Profile, XenBoot
from amiable.model.image import Image
from amiable.model.kernel import PV_GRUB, KernelKind
from amiable.rules import xen_domain
from amiable.services import Services
from amiable.vm.appliance.assembly import Appliance, ensure_appliance
from amiable.vm.appliance.instance import instance_archive
from amiable.vm.appliance.programs import BuildFailure
from amiable.vm.appliance.pv_grub import for_disk
from amiable.vm.directory import Directory
from amiable.vm.machine import MachineFailed

PV32_HINT = "the administrator can build its hypervisor: amiable kernel build-pv32"


@dataclass(frozen=True, slots=True)
class XenParts:
    """Where the files of one boot come from."""

    boot: XenBoot
    hypervisor: Path
    appliance: Appliance
    kernel: Path
    ramdisk: Path | None
    is_pv_grub: bool


def xen_parts(services: Services, facts: Facts) -> XenParts | None:
    """The parts of a boot under Xen, None for another profile; makes the appliance when there is none.  Raises MachineFailed."""
    instance = facts.instance
    if instance.hardware_profile != Profile.XEN_PV:
        return None
    assert instance.kernel_id is not None
    image = _kernel_image(services, facts)
    kind = image.kernel_kind or KernelKind.UNKNOWN
    folder = services.data / "kernels"
    kernel = folder / instance.kernel_id
    ramdisk = None if instance.ramdisk_id is None or kind in PV_GRUB else folder / instance.ramdisk_id
    for path in (kernel, ramdisk):
        if path is not None and not path.exists():
            raise MachineFailed(f"{path.name} has no bytes here: it was deregistered")
    try:
        appliance = ensure_appliance(Path(services.settings.appliance))
    except BuildFailure as failure:
        hint = f" (hint: {failure.hint})" if failure.hint else ""
        raise MachineFailed(f"the Xen appliance cannot be assembled: {failure}{hint}") from None
    is_pv32 = kind is KernelKind.XEN_PV32 or image.architecture == "i386"
    if is_pv32 and not appliance.xen_pv32.exists():
        raise MachineFailed(f"the kernel {instance.kernel_id} is for 32-bit Xen, which is not built here ({PV32_HINT})")
    names = xen_domain.disk_names(
        [volume.device_name for volume in facts.volumes], is_partitioned=kind is KernelKind.PV_GRUB_HD00
    )
    boot = XenBoot(
        disk_names=names,
        append="" if kind in PV_GRUB else xen_domain.guest_append(names[0]),
        has_ramdisk=ramdisk is not None,
        dom0_mib=xen_domain.dom0_mib(sum(path.stat().st_size for path in (kernel, ramdisk) if path is not None)),
    )
    hypervisor = appliance.xen_pv32 if is_pv32 else appliance.xen
    return XenParts(boot, hypervisor, appliance, kernel, ramdisk, kind in PV_GRUB)


def place_xen_parts(directory: Directory, parts: XenParts, hardware: Hardware) -> None:
    """Writes or links the parts into the instance's directory."""
    boot = parts.boot
    kernel = parts.kernel.read_bytes()
    if parts.is_pv_grub:
        try:
            kernel = for_disk(kernel, boot.disk_names[0], hardware.disks[0].size_bytes)
        except BuildFailure as failure:
            raise MachineFailed(f"{failure} (hint: {failure.hint})") from None
    ramdisk = None if parts.ramdisk is None else parts.ramdisk.read_bytes()
    directory.link_in(parts.hypervisor, boot.hypervisor)
    directory.link_in(parts.appliance.vmlinux, boot.dom0)
    own = instance_archive(xen_domain.domain_configuration(hardware), kernel, ramdisk)
    directory.write_parts(boot.ramdisk, (parts.appliance.initramfs.read_bytes(), own))


def _kernel_image(services: Services, facts: Facts) -> Image:
    instance = facts.instance
    assert instance.kernel_id is not None
    with services.database.read() as c:
        image = images.get(c, instance.region, instance.kernel_id, viewer=instance.account_id)
    if image is None:
        raise MachineFailed(f"the kernel {instance.kernel_id} is not known here")
    return image
