"""Instance types: EC2's names with their processors, memory and architectures, and Amiable's own.

A type says what the guest gets: so many virtual processors of one thread each, so much memory.  What EC2 adds to a type
beyond that (bandwidth, accelerators) does not exist here and is not claimed.  Every x86 type starts HVM and
paravirtual images, from volumes and from bundles; EC2's newer types (nitro) start of the HVM ones those with the ENA flag only, as
on EC2.  The arm64 types are known by name and not supported on this hardware.

Amiable's own are ``amiable.tiny`` and one for every size, whose name says it: ``amiable.2c4g`` has 2 processors and 4 GiB,
``amiable.1c768m`` one and 768 MiB.  They have what the nitro types have, run i386 too, and want no ENA flag.
Source: EC2 API, DescribeInstanceTypes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from amiable.model.units import MIB

TINY: Final = "amiable.tiny"
AMIABLE: Final = "Amiable"
"""The maker of the types that EC2 has not."""
VCPUS_MAX: Final = 64
MEMORY_MIB_MIN: Final = 128
MEMORY_MIB_MAX: Final = 1024 * 1024
_SIZED: Final = re.compile(r"amiable\.([1-9][0-9]{0,2})c([1-9][0-9]{0,6})([gm])", re.ASCII)
DEFAULT: Final = "m1.small"
"""What RunInstances takes without InstanceType, as on EC2."""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One type.  ``is_supported`` says whether a guest of its architecture can run here."""

    name: str
    vcpus: int
    memory_mib: int
    architectures: tuple[str, ...]
    boot_modes: tuple[str, ...]
    hypervisor: str  # xen | nitro: EC2's word for the era of its hardware
    manufacturer: str
    is_current: bool
    is_burstable: bool

    @property
    def memory_bytes(self) -> int:
        return self.memory_mib * MIB

    @property
    def needs_ena(self) -> bool:
        """Whether HVM images must have the ENA flag: on EC2's newer hardware, not on Amiable's own type."""
        return self.hypervisor == "nitro" and self.manufacturer != AMIABLE

    @property
    def has_tpm(self) -> bool:
        """Whether an image with TpmSupport gets its TPM: on x86 with UEFI."""
        return self.is_supported and "uefi" in self.boot_modes

    @property
    def is_supported(self) -> bool:
        return "x86_64" in self.architectures


XEN: Final = ("xen", ("x86_64",), ("legacy-bios",))
NITRO: Final = ("nitro", ("x86_64",), ("legacy-bios", "uefi"))
ARM: Final = ("nitro", ("arm64",), ("uefi",))

# Family, hardware, maker, whether current, whether burstable, and sizes as ``name:vCPUs:MiB``; a star: i386 as well.
# fmt: off
FAMILIES: Final = (
    ("amiable", NITRO, AMIABLE, True, False,
     "tiny*:1:256"),
    ("t1", XEN, "Intel", False, False,
     "micro*:1:627"),
    ("t2", XEN, "Intel", True, True,
     "nano*:1:512 micro*:1:1024 small*:1:2048 medium*:2:4096 large:2:8192 xlarge:4:16384 2xlarge:8:32768"),
    ("t3", NITRO, "Intel", True, True,
     "nano:2:512 micro:2:1024 small:2:2048 medium:2:4096 large:2:8192 xlarge:4:16384 2xlarge:8:32768"),
    ("t3a", NITRO, "AMD", True, True,
     "nano:2:512 micro:2:1024 small:2:2048 medium:2:4096 large:2:8192 xlarge:4:16384 2xlarge:8:32768"),
    ("t4g", ARM, "AWS", True, True,
     "nano:2:512 micro:2:1024 small:2:2048 medium:2:4096 large:2:8192 xlarge:4:16384 2xlarge:8:32768"),
    ("m1", XEN, "Intel", False, False,
     "small*:1:1740 medium*:1:3788 large:2:7680 xlarge:4:15360"),
    ("m2", XEN, "Intel", False, False,
     "xlarge:2:17510 2xlarge:4:35020 4xlarge:8:70041"),
    ("m3", XEN, "Intel", False, False,
     "medium:1:3840 large:2:7680 xlarge:4:15360 2xlarge:8:30720"),
    ("m4", XEN, "Intel", False, False,
     "large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 10xlarge:40:163840 16xlarge:64:262144"),
    ("m5", NITRO, "Intel", False, False,
     "large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144 24xlarge:96:393216"),
    ("m5a", NITRO, "AMD", True, False,
     "large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144 24xlarge:96:393216"),
    ("m5d", NITRO, "Intel", True, False,
     "large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144 24xlarge:96:393216"),
    ("m6i", NITRO, "Intel", False, False,
     "large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144 24xlarge:96:393216 32xlarge:128:524288"),
    ("m6a", NITRO, "AMD", True, False,
     "large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144 24xlarge:96:393216 32xlarge:128:524288 48xlarge:192:786432"),
    ("m6g", ARM, "AWS", True, False,
     "medium:1:4096 large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144"),
    ("m7i", NITRO, "Intel", True, False,
     "large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144 24xlarge:96:393216 48xlarge:192:786432"),
    ("m7i-flex", NITRO, "Intel", True, False,
     "large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144"),
    ("m7a", NITRO, "AMD", True, False,
     "medium:1:4096 large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144 24xlarge:96:393216 32xlarge:128:524288 48xlarge:192:786432"),
    ("m7g", ARM, "AWS", True, False,
     "medium:1:4096 large:2:8192 xlarge:4:16384 2xlarge:8:32768 4xlarge:16:65536 8xlarge:32:131072 12xlarge:48:196608 "
     "16xlarge:64:262144"),
    ("c1", XEN, "Intel", False, False,
     "medium*:2:1740 xlarge:8:7168"),
    ("c3", XEN, "Intel", False, False,
     "large*:2:3840 xlarge:4:7680 2xlarge:8:15360 4xlarge:16:30720 8xlarge:32:61440"),
    ("c4", XEN, "Intel", False, False,
     "large:2:3840 xlarge:4:7680 2xlarge:8:15360 4xlarge:16:30720 8xlarge:36:61440"),
    ("c5", NITRO, "Intel", False, False,
     "large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 9xlarge:36:73728 12xlarge:48:98304 "
     "18xlarge:72:147456 24xlarge:96:196608"),
    ("c5a", NITRO, "AMD", True, False,
     "large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 8xlarge:32:65536 12xlarge:48:98304 "
     "16xlarge:64:131072 24xlarge:96:196608"),
    ("c5d", NITRO, "Intel", True, False,
     "large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 9xlarge:36:73728 12xlarge:48:98304 "
     "18xlarge:72:147456 24xlarge:96:196608"),
    ("c6i", NITRO, "Intel", True, False,
     "large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 8xlarge:32:65536 12xlarge:48:98304 "
     "16xlarge:64:131072 24xlarge:96:196608 32xlarge:128:262144"),
    ("c6a", NITRO, "AMD", True, False,
     "large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 8xlarge:32:65536 12xlarge:48:98304 "
     "16xlarge:64:131072 24xlarge:96:196608 32xlarge:128:262144 48xlarge:192:393216"),
    ("c6g", ARM, "AWS", True, False,
     "medium:1:2048 large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 8xlarge:32:65536 12xlarge:48:98304 "
     "16xlarge:64:131072"),
    ("c7i", NITRO, "Intel", True, False,
     "large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 8xlarge:32:65536 12xlarge:48:98304 "
     "16xlarge:64:131072 24xlarge:96:196608 48xlarge:192:393216"),
    ("c7a", NITRO, "AMD", True, False,
     "medium:1:2048 large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 8xlarge:32:65536 12xlarge:48:98304 "
     "16xlarge:64:131072 24xlarge:96:196608 32xlarge:128:262144 48xlarge:192:393216"),
    ("a1", ARM, "AWS", False, False,
     "medium:1:2048 large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768"),
    ("c7g", ARM, "AWS", True, False,
     "medium:1:2048 large:2:4096 xlarge:4:8192 2xlarge:8:16384 4xlarge:16:32768 8xlarge:32:65536 12xlarge:48:98304 "
     "16xlarge:64:131072"),
    ("r3", XEN, "Intel", False, False,
     "large:2:15360 xlarge:4:31232 2xlarge:8:62464 4xlarge:16:124928 8xlarge:32:249856"),
    ("r4", XEN, "Intel", False, False,
     "large:2:15616 xlarge:4:31232 2xlarge:8:62464 4xlarge:16:124928 8xlarge:32:249856 16xlarge:64:499712"),
    ("r5", NITRO, "Intel", False, False,
     "large:2:16384 xlarge:4:32768 2xlarge:8:65536 4xlarge:16:131072 8xlarge:32:262144 12xlarge:48:393216 "
     "16xlarge:64:524288 24xlarge:96:786432"),
    ("r5a", NITRO, "AMD", True, False,
     "large:2:16384 xlarge:4:32768 2xlarge:8:65536 4xlarge:16:131072 8xlarge:32:262144 12xlarge:48:393216 "
     "16xlarge:64:524288 24xlarge:96:786432"),
    ("r6i", NITRO, "Intel", False, False,
     "large:2:16384 xlarge:4:32768 2xlarge:8:65536 4xlarge:16:131072 8xlarge:32:262144 12xlarge:48:393216 "
     "16xlarge:64:524288 24xlarge:96:786432 32xlarge:128:1048576"),
    ("r6a", NITRO, "AMD", True, False,
     "large:2:16384 xlarge:4:32768 2xlarge:8:65536 4xlarge:16:131072 8xlarge:32:262144 12xlarge:48:393216 "
     "16xlarge:64:524288 24xlarge:96:786432 32xlarge:128:1048576 48xlarge:192:1572864"),
    ("r6g", ARM, "AWS", True, False,
     "medium:1:8192 large:2:16384 xlarge:4:32768 2xlarge:8:65536 4xlarge:16:131072 8xlarge:32:262144 "
     "12xlarge:48:393216 16xlarge:64:524288"),
    ("r7i", NITRO, "Intel", True, False,
     "large:2:16384 xlarge:4:32768 2xlarge:8:65536 4xlarge:16:131072 8xlarge:32:262144 12xlarge:48:393216 "
     "16xlarge:64:524288 24xlarge:96:786432 48xlarge:192:1572864"),
    ("r7a", NITRO, "AMD", True, False,
     "medium:1:8192 large:2:16384 xlarge:4:32768 2xlarge:8:65536 4xlarge:16:131072 8xlarge:32:262144 "
     "12xlarge:48:393216 16xlarge:64:524288 24xlarge:96:786432 32xlarge:128:1048576 48xlarge:192:1572864"),
    ("r7g", ARM, "AWS", False, False,
     "medium:1:8192 large:2:16384 xlarge:4:32768 2xlarge:8:65536 4xlarge:16:131072 8xlarge:32:262144 "
     "12xlarge:48:393216 16xlarge:64:524288"),
    ("i2", XEN, "Intel", False, False,
     "xlarge:4:31232 2xlarge:8:62464 4xlarge:16:124928 8xlarge:32:249856"),
    ("i3", XEN, "Intel", True, False,
     "large:2:15616 xlarge:4:31232 2xlarge:8:62464 4xlarge:16:124928 8xlarge:32:249856 16xlarge:64:499712"),
    ("z1d", NITRO, "Intel", True, False,
     "large:2:16384 xlarge:4:32768 2xlarge:8:65536 3xlarge:12:98304 6xlarge:24:196608 12xlarge:48:393216"),
)
# fmt: on


def _types() -> dict[str, InstanceType]:
    found = {}
    for family, (hypervisor, architectures, boot_modes), manufacturer, is_current, is_burstable, sizes in FAMILIES:
        for size in sizes.split():
            name, vcpus, memory_mib = size.split(":")
            runs_i386 = name.endswith("*")
            type_ = InstanceType(
                name=f"{family}.{name.removesuffix('*')}",
                vcpus=int(vcpus),
                memory_mib=int(memory_mib),
                architectures=("i386", *architectures) if runs_i386 else architectures,
                boot_modes=boot_modes,
                hypervisor=hypervisor,
                manufacturer=manufacturer,
                is_current=is_current,
                is_burstable=is_burstable,
            )
            found[type_.name] = type_
    return found


INSTANCE_TYPES: Final[Mapping[str, InstanceType]] = _types()


def find_type(name: str) -> InstanceType | None:
    """The type of that name, one of the table's or sized by its name; None where there is none."""
    return INSTANCE_TYPES.get(name) or _sized_type(name)


def type_of(name: str) -> InstanceType:
    """The type of an instance that was launched."""
    found = find_type(name)
    assert found is not None, name
    return found


def _sized_type(name: str) -> InstanceType | None:
    match = _SIZED.fullmatch(name)
    if match is None:
        return None
    vcpus, memory_mib = int(match[1]), int(match[2]) * (1024 if match[3] == "g" else 1)
    if vcpus > VCPUS_MAX or not MEMORY_MIB_MIN <= memory_mib <= MEMORY_MIB_MAX:
        return None
    return replace(INSTANCE_TYPES[TINY], name=name, vcpus=vcpus, memory_mib=memory_mib)
