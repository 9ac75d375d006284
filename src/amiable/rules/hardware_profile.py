"""Which hardware a launch gets, and why, in words.

A tag ``amiable:hardware-profile`` of the instance wins (EC2 has no parameter for it); else the image's own facts decide:

    paravirtual, PV-GRUB        xen-pv        the kernel is in the image, and only Xen's own GRUB finds it
    paravirtual, Xen PV only    xen-pv        the kernel has no other entry (xenU, NetBSD, OpenSolaris)
    paravirtual, ramdisk        direct        its ramdisk brings the disk's driver
    paravirtual, no ramdisk     direct-nvme   only what the kernel has built in; Debian's cloud kernel has NVMe and ext4
    hvm, ena flag               nitro         what an image of that era was made for
    hvm, windows, legacy-bios   xen-hvm       Windows has drivers of its own for IDE disks and the e1000 card, and none for virtio
    hvm, windows, uefi          nitro         the one of those disks that UEFI starts: NVMe
    hvm                         virtio        Linux for clouds has these drivers, and Debian's cloud kernel has no e1000

A profile in which the kernel has no entry is refused, whoever chose it; a kernel of which nothing is known is tried.
"""

from dataclasses import dataclass
from typing import Final

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.hardware import Profile
from amiable.model.image import Image
from amiable.model.instance_type import InstanceType
from amiable.model.kernel import PV_GRUB, XEN_PV, KernelKind
from amiable.rules.kernel_choice import BootImages

TAG: Final = "amiable:hardware-profile"
DIRECT: Final = (Profile.DIRECT, Profile.DIRECT_NVME)
PARAVIRTUAL: Final = (*DIRECT, Profile.XEN_PV)
LEGACY: Final = "legacy-bios"
WINDOWS: Final = "windows"


@dataclass(frozen=True, slots=True)
class Choice:
    """A profile, why, and whether its hypervisor must be the one that is built for 32-bit guests."""

    profile: Profile
    why: str
    needs_pv32: bool = False


def choose(image: Image, boot: BootImages, override: str | None, *, boot_mode: str = LEGACY) -> Choice:
    """The profile of a launch of ``image`` with ``boot``; an override that is unknown, or does not fit, is refused."""
    kernel = boot.kernel
    if override is not None:
        chosen = _overridden(override, is_paravirtual=kernel is not None)
        if chosen.profile is Profile.XEN_HVM and boot_mode != LEGACY:
            raise InvalidParameterCombination(
                f"The hardware profile 'xen-hvm' starts by legacy-bios only, and the boot mode of this launch is {boot_mode}.",
                hint="leave the profile out, or register the image with another boot mode",
            )
    elif kernel is not None:
        chosen = _for_kernel(kernel, has_ramdisk=boot.ramdisk is not None)
    else:
        return _for_disk(image, boot_mode)
    if kernel is None:
        return chosen
    _check_entry(kernel, chosen.profile)
    is_pv32 = chosen.profile is Profile.XEN_PV and kernel.architecture == "i386"
    return Choice(chosen.profile, chosen.why, needs_pv32=is_pv32)


def resolve_preferred(type_: InstanceType, architecture: str, profile: str | None) -> str:
    """What ``uefi-preferred`` comes to: uefi where type, architecture and profile (None: not chosen yet) start by it."""
    has_uefi = "uefi" in type_.boot_modes and architecture != "i386" and profile != Profile.XEN_HVM
    return "uefi" if has_uefi else LEGACY


def _for_disk(image: Image, boot_mode: str) -> Choice:
    if image.ena_support:
        return Choice(Profile.NITRO, "the image has the ENA flag: NVMe disks, as the types of that era have")
    if image.platform != WINDOWS:
        return Choice(Profile.VIRTIO, "an HVM image without the ENA flag: virtio disk and network")
    if boot_mode == LEGACY:
        return Choice(Profile.XEN_HVM, "a Windows image without the ENA flag: IDE disks and an e1000 network card")
    return Choice(Profile.NITRO, "a Windows image that starts by UEFI: NVMe disks, for which Windows has the driver")


def _for_kernel(kernel: Image, *, has_ramdisk: bool) -> Choice:
    kind = kernel.kernel_kind
    if kind in PV_GRUB:
        return Choice(Profile.XEN_PV, f"the kernel is {kind}: it loads the image's own kernel, under Xen")
    if kind in XEN_PV and kernel.boots_directly is False:
        return Choice(
            Profile.XEN_PV,
            f"the kernel starts under Xen only: {kernel.kernel_kind_why}",
        )
    both = f"; the kernel can also run under Xen: tag {TAG} of xen-pv" if kind in XEN_PV else ""
    if has_ramdisk:
        return Choice(
            Profile.DIRECT,
            f"paravirtual image with a ramdisk: its kernel is started directly on a virtio disk{both}",
        )
    return Choice(
        Profile.DIRECT_NVME,
        f"paravirtual image without a ramdisk: its kernel is started directly on an NVMe disk{both}",
    )


def _overridden(override: str, *, is_paravirtual: bool) -> Choice:
    try:
        profile = Profile(override)
    except ValueError:
        known = ", ".join(Profile)
        raise InvalidParameterValue(parameter=f"tag {TAG}", value=override, why=f"Known profiles: {known}.") from None
    if is_paravirtual != (profile in PARAVIRTUAL):
        kind = "a paravirtual" if is_paravirtual else "an HVM"
        raise InvalidParameterCombination(f"The hardware profile '{override}' does not fit {kind} image.")
    return Choice(profile, f"tag {TAG}")


def _check_entry(kernel: Image, profile: Profile) -> None:
    """Refuses a profile in which ``kernel`` cannot be started."""
    if profile is Profile.XEN_PV:
        if kernel.kernel_kind is KernelKind.PLAIN:
            raise InvalidParameterCombination(
                f"The kernel {kernel.id} cannot run under Xen: {kernel.kernel_kind_why}.",
                hint="choose a kernel whose kind is xen-pv (amiable kernel list), or leave the profile out",
            )
    elif kernel.kernel_kind in PV_GRUB or kernel.boots_directly is False:
        hint = "" if kernel.kernel_kind is KernelKind.PLAIN else "leave the profile out: xen-pv is then chosen"
        raise InvalidParameterCombination(
            f"The kernel {kernel.id} cannot be started directly: {kernel.kernel_kind_why}.", hint=hint
        )
