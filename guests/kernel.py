"""The kernel of a guest, with the modules that a virtual machine's disk, network and power button need."""

from __future__ import annotations

from pathlib import Path

from amiable.vm.appliance import modules
from amiable.vm.appliance.modules import Kernel

REQUIRED = ("virtio_pci", "virtio_blk", "virtio_net", "nvme", "ext4", "button", "evdev")
OPTIONAL = (
    "crc32c_generic",
    "virtio_rng",
    "ahci",
    "ata_piix",
    "sd_mod",
    "virtio_scsi",
    "e1000",
    "e1000e",
    "xen_blkfront",
    "xen_netfront",
)
"""Devices of older machines and of Xen: kernels for clouds leave some of them out."""


def read_kernel(package: Path) -> Kernel:
    """The kernel that lies unpacked in ``package``."""
    return modules.read_kernel(package, required=REQUIRED, optional=OPTIONAL)
