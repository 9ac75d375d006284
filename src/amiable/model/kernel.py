"""What a kernel is for: which of the two ways of running a paravirtual image it can be started in.

    kind            direct            xen-pv
    pv-grub-hd0     no                yes, reads menu.lst of a bare file system       made by Amiable, never guessed
    pv-grub-hd00    no                yes, reads menu.lst of the first partition
    xen-pv64        if bootable       yes
    xen-pv32        if bootable       yes, under the hypervisor that is built for it
    plain           if bootable       no
    unknown         tried             tried when asked for

*Bootable* is what QEMU's own loader takes: a bzImage, or an ELF file with a PVH entry.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class KernelKind(StrEnum):
    """Which entry a kernel has."""

    PV_GRUB_HD0 = "pv-grub-hd0"
    PV_GRUB_HD00 = "pv-grub-hd00"
    XEN_PV64 = "xen-pv64"
    XEN_PV32 = "xen-pv32"
    PLAIN = "plain"
    UNKNOWN = "unknown"


PV_GRUB: Final = (KernelKind.PV_GRUB_HD0, KernelKind.PV_GRUB_HD00)
XEN_PV: Final = (KernelKind.XEN_PV64, KernelKind.XEN_PV32)


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """What is known of a kernel's bytes; ``why`` says in words what the kind was seen from."""

    kind: KernelKind
    version: str | None
    boots_directly: bool
    why: str
    bits: int | None = None
