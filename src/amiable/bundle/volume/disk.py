"""Where things lie in an image, and its partition table.

    none   the file system, and nothing else                                          (root device sda1, or /dev/sda: classic PV)
    mbr    0  GRUB's boot sector and table   1  core.img, 63 … 2047   2048  EFI, 16 MiB (partition 2)   34816  root (partition 1)
    gpt    0  GRUB's boot sector, protective table   2048  BIOS boot, 3 MiB (14)   8192  EFI, 16 MiB (15)   40960  root (1)

Numbers are sectors of 512 bytes.  Root comes last, so that it can grow; GPT's partitions are numbered as Debian's cloud images number them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import UUID, uuid4, uuid5

from amiable.bundle.volume.programs import run
from amiable.model.units import MIB

Scheme = Literal["none", "mbr", "gpt"]
SECTOR_BYTES: Final = 512

BIOS_BOOT: Final = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM: Final = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX_ROOT: Final = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"

NAMESPACE: Final = UUID("5c0f4c8e-0b1d-4d0e-9a55-8d9a1c1f2006")
"""Of the UUIDs that follow from a name."""


@dataclass(frozen=True, slots=True)
class Place:
    """A run of sectors."""

    start: int
    sectors: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Where root begins, and the places of the boot loader; ``tail_bytes`` stay free behind root."""

    scheme: Scheme
    root_start: int
    tail_bytes: int = 0
    core: Place | None = None
    efi: Place | None = None

    @property
    def root_offset_bytes(self) -> int:
        return self.root_start * SECTOR_BYTES

    def root_bytes(self, size_bytes: int) -> int:
        """The size of root in an image of ``size_bytes``."""
        return size_bytes - self.root_offset_bytes - self.tail_bytes


EFI_SECTORS: Final = 16 * MIB // SECTOR_BYTES
PLANS: Final[dict[Scheme, Plan]] = {
    "none": Plan("none", 0),
    "mbr": Plan("mbr", 2048 + EFI_SECTORS, core=Place(1, 2047), efi=Place(2048, EFI_SECTORS)),
    "gpt": Plan("gpt", 8192 + EFI_SECTORS, tail_bytes=MIB, core=Place(2048, 6144), efi=Place(8192, EFI_SECTORS)),
}


def partition(image: Path, plan: Plan, *, size_bytes: int, name: str | None = None) -> None:
    """Writes the partition table of ``plan``, where it has one, into ``image`` of ``size_bytes``.

    A GPT's UUIDs follow from ``name``, where one is given: the same name makes the same bytes.
    """

    def identity(part: str) -> UUID:
        return uuid4() if name is None else uuid5(NAMESPACE, name + part)

    root = f"start={plan.root_start}, size={plan.root_bytes(size_bytes) // SECTOR_BYTES}"
    match plan:
        case Plan("mbr", efi=Place(start, sectors)):
            lines = [
                "label: dos", f"label-id: 0x{uuid4().hex[:8]}",
                f"{image}1 : {root}, type=83, bootable",
                f"{image}2 : start={start}, size={sectors}, type=ef",
            ]  # fmt: skip
        case Plan("gpt", core=Place(core_start, core_sectors), efi=Place(start, sectors)):
            lines = [
                "label: gpt", f"label-id: {identity('')}",
                f"{image}14 : start={core_start}, size={core_sectors}, type={BIOS_BOOT}, uuid={identity('14')}",
                f"{image}15 : start={start}, size={sectors}, type={EFI_SYSTEM}, uuid={identity('15')}",
                f"{image}1 : {root}, type={LINUX_ROOT}, uuid={identity('1')}",
            ]  # fmt: skip
        case _:
            return
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(image)], input_text="\n".join(lines) + "\n")
