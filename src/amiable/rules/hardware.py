"""The machine that an instance is: its row, its volumes and its subnet as a value for QEMU."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.hardware import (
    AcceleratorKind,
    DirectBoot,
    Disk,
    Hardware,
    Interface,
    NetworkKind,
    Profile,
    Tpm,
    Uefi,
    XenBoot,
)
from amiable.model.instance import Instance
from amiable.model.instance_type import type_of
from amiable.model.volume import Volume
from amiable.rules.hardware_profile import DIRECT, PARAVIRTUAL
from amiable.rules.link import link_of
from amiable.rules.qemu_command import direct_append
from amiable.rules.volume import in_order, root_of

UEFI_CODE: Final = "/usr/share/OVMF/OVMF_CODE_4M.fd"
SECURE_UEFI_CODE: Final = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
UEFI_VARIABLES: Final = "/usr/share/OVMF/OVMF_VARS_4M.fd"
"""Firmware of Debian's package ovmf; the variables are a template that each instance gets a copy of."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a machine starts in: its subnet, as CIDR, and what runs and connects guests on this host."""

    subnet: str
    accelerator: AcceleratorKind
    network: NetworkKind


def hardware_of(
    instance: Instance,
    volumes: Sequence[Volume],
    around: Surroundings,
    *,
    xen: XenBoot | None = None,
    is_secure: bool = False,
) -> Hardware:
    """The machine of one boot; ``xen`` is what the profile ``xen-pv`` needs.

    ``is_secure`` says that a platform key is in the instance's UEFI variables.
    """
    profile, type_ = Profile(instance.hardware_profile), type_of(instance.instance_type)
    is_direct = profile in DIRECT
    assert not is_direct or instance.kernel_id is not None
    assert (xen is not None) == (profile is Profile.XEN_PV)
    uefi = Uefi(SECURE_UEFI_CODE if is_secure else UEFI_CODE, is_secure=is_secure) if starts_by_uefi(instance) else None
    return Hardware(
        instance_id=instance.id,
        instance_type=instance.instance_type,
        uuid=uuid_of(instance.id),
        accelerator=around.accelerator,
        vcpus=type_.vcpus,
        memory_mib=type_.memory_mib,
        profile=profile,
        disks=tuple(disk_of(volume) for volume in in_guest_order(volumes, instance.root_device_name)),
        interface=Interface(instance.mac, instance.private_ip, around.subnet),
        direct=DirectBoot(direct_append(profile), instance.ramdisk_id is not None) if is_direct else None,
        xen=xen,
        uefi=uefi,
        tpm=Tpm() if uefi is not None and instance.tpm_support is not None else None,
        network=around.network,
        link=link_of(instance, around.subnet) if around.network is NetworkKind.ROUTED else None,
    )


def starts_by_uefi(instance: Instance) -> bool:
    """Whether the instance has UEFI firmware, and so variables: a paravirtual one has none, whatever its type's boot mode."""
    return instance.boot_mode == "uefi" and Profile(instance.hardware_profile) not in PARAVIRTUAL


def disk_of(volume: Volume) -> Disk:
    """The volume as a disk."""
    return Disk(volume.id, volume.size_bytes, volume.snapshot_id is not None, volume.virtual_name)


def in_guest_order(volumes: Sequence[Volume], root_device_name: str | None) -> list[Volume]:
    """The root first, then by device name: the guest numbers its disks in this order."""
    root = root_of(volumes, root_device_name)
    return sorted(volumes, key=lambda volume: (volume != root, in_order(volume.device_name or "")))


def uuid_of(instance_id: str) -> str:
    """The machine's UUID, the same at each boot; it begins with ec2, which is how cloud-init knows where it is."""
    digits = "ec2" + hashlib.sha256(instance_id.encode()).hexdigest()[:29]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
