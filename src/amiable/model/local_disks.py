"""The local disks of instance types: so many, each of so many GiB, empty at every start.

EC2's older types show those that a block device mapping names (``ephemeral0`` to …); those of M3 only where the launch itself names
them.  The disks of the newer types (NVMe) are always there, whatever a mapping says.  Source: EC2 User Guide, "Instance store volumes".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LocalDisks:
    """The local disks of one type; none where ``count`` is 0."""

    count: int = 0
    size_gib: int = 0
    is_always_there: bool = False
    heeds_images: bool = True

    @property
    def total_gib(self) -> int:
        return self.count * self.size_gib


NONE: Final = LocalDisks()

# fmt: off
_MAPPED: Final = (
    "m1.small:1:160 m1.medium:1:410 m1.large:2:420 m1.xlarge:4:420 "
    "m2.xlarge:1:420 m2.2xlarge:1:850 m2.4xlarge:2:840 "
    "m3.medium:1:4 m3.large:1:32 m3.xlarge:2:40 m3.2xlarge:2:80 "
    "c1.medium:1:350 c1.xlarge:4:420 "
    "c3.large:2:16 c3.xlarge:2:40 c3.2xlarge:2:80 c3.4xlarge:2:160 c3.8xlarge:2:320 "
    "r3.large:1:32 r3.xlarge:1:80 r3.2xlarge:1:160 r3.4xlarge:1:320 r3.8xlarge:2:320 "
    "i2.xlarge:1:800 i2.2xlarge:2:800 i2.4xlarge:4:800 i2.8xlarge:8:800"
)
_ALWAYS_THERE: Final = (
    "m5d.large:1:75 m5d.xlarge:1:150 m5d.2xlarge:1:300 m5d.4xlarge:2:300 m5d.8xlarge:2:600 m5d.12xlarge:2:900 "
    "m5d.16xlarge:4:600 m5d.24xlarge:4:900 "
    "c5d.large:1:50 c5d.xlarge:1:100 c5d.2xlarge:1:200 c5d.4xlarge:1:400 c5d.9xlarge:1:900 c5d.12xlarge:2:900 "
    "c5d.18xlarge:2:900 c5d.24xlarge:4:900 "
    "r5d.large:1:75 r5d.xlarge:1:150 r5d.2xlarge:1:300 r5d.4xlarge:2:300 r5d.8xlarge:2:600 r5d.12xlarge:2:900 "
    "r5d.16xlarge:4:600 r5d.24xlarge:4:900 "
    "i3.large:1:475 i3.xlarge:1:950 i3.2xlarge:1:1900 i3.4xlarge:2:1900 i3.8xlarge:4:1900 i3.16xlarge:8:1900"
)
# fmt: on


def _read(text: str, *, is_always_there: bool) -> dict[str, LocalDisks]:
    rows = [entry.split(":") for entry in text.split()]
    return {
        name: LocalDisks(int(count), int(gib), is_always_there, heeds_images=not name.startswith("m3."))
        for name, count, gib in rows
    }


LOCAL_DISKS: Final[Mapping[str, LocalDisks]] = {
    **_read(_MAPPED, is_always_there=False),
    **_read(_ALWAYS_THERE, is_always_there=True),
}


def local_disks_of(type_name: str) -> LocalDisks:
    """The local disks of the type."""
    return LOCAL_DISKS.get(type_name, NONE)
