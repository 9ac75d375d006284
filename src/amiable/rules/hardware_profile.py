"""Which hardware a launch gets, and why, in words.

A tag ``amiable:hardware-profile`` of the instance wins (EC2 has no parameter for it); else the image's own facts decide:

    paravirtual, ramdisk        direct        its ramdisk brings the disk's driver
    paravirtual, no ramdisk     direct-nvme   only what the kernel has built in; Debian's cloud kernel has NVMe and ext4
    hvm, ena flag               nitro         what an image of that era was made for
    hvm                         virtio
"""

from dataclasses import dataclass
from typing import Final

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.hardware import Profile

TAG: Final = "amiable:hardware-profile"
PARAVIRTUAL: Final = (Profile.DIRECT, Profile.DIRECT_NVME)


@dataclass(frozen=True, slots=True)
class Choice:
    """A profile and why."""

    profile: Profile
    why: str


def choose(*, virtualization_type: str, has_ramdisk: bool, ena_support: bool, override: str | None) -> Choice:
    """The profile of a launch; an override that is unknown, or does not fit the image, is refused."""
    is_paravirtual = virtualization_type == "paravirtual"
    if override is not None:
        return _overridden(override, is_paravirtual)
    if is_paravirtual and has_ramdisk:
        return Choice(
            Profile.DIRECT, "paravirtual image with a ramdisk: its kernel is started directly on a virtio disk"
        )
    if is_paravirtual:
        return Choice(
            Profile.DIRECT_NVME, "paravirtual image without a ramdisk: its kernel is started directly on an NVMe disk"
        )
    if ena_support:
        return Choice(Profile.NITRO, "the image has the ENA flag: NVMe disks, as the types of that era have")
    return Choice(Profile.VIRTIO, "an HVM image without the ENA flag: virtio disk and network")


def _overridden(override: str, is_paravirtual: bool) -> Choice:
    try:
        profile = Profile(override)
    except ValueError:
        known = ", ".join(Profile)
        raise InvalidParameterValue(parameter=f"tag {TAG}", value=override, why=f"Known profiles: {known}.") from None
    if is_paravirtual != (profile in PARAVIRTUAL):
        kind = "a paravirtual" if is_paravirtual else "an HVM"
        raise InvalidParameterCombination(f"The hardware profile '{override}' does not fit {kind} image.")
    return Choice(profile, f"tag {TAG}")
