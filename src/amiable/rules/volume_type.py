"""The types of volumes: sizes and rates that may be asked for, and what a volume of them then does.

A rate is enforced by QEMU (``vm/hotplug``), in EC2's units: an operation of more than ``operation_bytes`` counts as several.
gp2 earns 3 operations a second for each GiB and may spend 5.4 million saved ones at up to 3000 a second; standard's rates are EC2's
"hundreds" put into a number.  Source: EC2 API, CreateVolume; Amazon EBS User Guide, "Volume types".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from amiable.model.units import KIB, MIB
from amiable.model.volume import Volume
from amiable.model.volume_errors import BootForVolumeTypeUnsupported, UnknownVolumeType

DEFAULT_VOLUME_TYPE: Final = "gp2"


@dataclass(frozen=True, slots=True)
class VolumeType:
    """The sizes and rates that a volume type allows; None: the rate cannot be set."""

    gib: range
    iops: range | None = None
    throughput: range | None = None
    needs_iops: bool = False
    is_bootable: bool = True
    iops_per_gib_max: int | None = None


VOLUME_TYPES: Final[Mapping[str, VolumeType]] = {
    "gp2": VolumeType(range(1, 16385)),
    "gp3": VolumeType(range(1, 65537), iops=range(3000, 80001), throughput=range(125, 2001), iops_per_gib_max=500),
    "io1": VolumeType(range(4, 16385), iops=range(100, 64001), needs_iops=True, iops_per_gib_max=50),
    "io2": VolumeType(range(4, 65537), iops=range(100, 256001), needs_iops=True, iops_per_gib_max=1000),
    "st1": VolumeType(range(125, 16385), is_bootable=False),
    "sc1": VolumeType(range(125, 16385), is_bootable=False),
    "standard": VolumeType(range(1, 1025)),
}
GP3_IOPS: Final = 3000
GP3_THROUGHPUT: Final = 125
IOPS_PER_THROUGHPUT: Final = 4
"""gp3: so many operations a second must be had for each MiB/s."""
GP2_BURST_IOPS: Final = 3000
GP2_BURST_OPERATIONS: Final = 5_400_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What a volume is asked to be; None: the type's own rate."""

    volume_type: str
    size_gib: int
    iops: int | None = None
    throughput: int | None = None


def check_figures(asked: Figures, *, is_root: bool = False) -> None:
    """Refuses a type that there is not, a root of one that cannot boot, and sizes and rates that the type has not."""
    known = check_type(asked.volume_type, is_root=is_root)
    if asked.size_gib not in known.gib:
        limits = f"{known.gib.start} to {known.gib.stop - 1} GiB"
        raise InvalidParameterValue(
            parameter="VolumeSize",
            value=asked.size_gib,
            why=f"A volume of type {asked.volume_type} has {limits}.",
        )
    check_rates(asked.volume_type, asked.iops, asked.throughput)
    _check_iops_of_size(asked, known)


def check_type(name: str, *, is_root: bool = False) -> VolumeType:
    """The type of that name; refuses one that there is not, and a root of one that cannot boot."""
    known = VOLUME_TYPES.get(name)
    if known is None:
        raise UnknownVolumeType(volume_type=name, known=", ".join(VOLUME_TYPES))
    if is_root and not known.is_bootable:
        raise BootForVolumeTypeUnsupported(volume_type=name)
    return known


def check_rates(name: str, iops: int | None, throughput: int | None) -> None:
    """Refuses rates that no volume of the type ``name`` has, whatever its size."""
    known = check_type(name)
    if known.needs_iops and iops is None:
        raise MissingParameter(f"The parameter iops must be specified for {name} volumes.")
    for parameter, value, allowed in (("iops", iops, known.iops), ("throughput", throughput, known.throughput)):
        if value is None:
            continue
        if allowed is None:
            raise InvalidParameterCombination(f"The parameter {parameter} is not supported for {name} volumes.")
        if value not in allowed:
            why = f"A volume of type {name} has {allowed.start} to {allowed.stop - 1}."
            raise InvalidParameterValue(parameter=parameter.capitalize(), value=value, why=why)
    had = iops or GP3_IOPS
    if throughput is not None and throughput * IOPS_PER_THROUGHPUT > had:
        raise InvalidParameterValue(
            f"Throughput (MiBps) to iops ratio of {throughput / had:.6f} is too high; "
            f"maximum is {1 / IOPS_PER_THROUGHPUT:.6f} MiBps per iops"
        )


def _check_iops_of_size(asked: Figures, known: VolumeType) -> None:
    if asked.iops is None or known.iops_per_gib_max is None or (asked.volume_type, asked.iops) == ("gp3", GP3_IOPS):
        return
    if asked.iops > known.iops_per_gib_max * asked.size_gib:
        raise InvalidParameterValue(
            f"Iops to volume size ratio of {asked.iops / asked.size_gib:.6f} is too high; maximum is {known.iops_per_gib_max}"
        )


def effective_iops(volume_type: str, size_gib: int, iops: int | None) -> int | None:
    """The operations a second that EC2 tells of a volume; None where it tells none."""
    if volume_type == "gp2":
        return min(16000, max(100, 3 * size_gib))
    if volume_type == "gp3":
        return iops or GP3_IOPS
    return iops


def effective_throughput(volume_type: str, throughput: int | None) -> int | None:
    """The MiB/s that EC2 tells of a volume; None where it tells none."""
    return throughput or GP3_THROUGHPUT if volume_type == "gp3" else throughput


@dataclass(frozen=True, slots=True)
class Limits:
    """What a disk does at most: operations and bytes a second, and how long it may do ``burst_iops``."""

    iops: int
    bytes_per_second: int
    operation_bytes: int
    burst_iops: int = 0
    burst_seconds: int = 0


def limits_of(volume: Volume) -> Limits | None:
    """The volume's limits; None for an instance-store disk, which is as fast as the host's."""
    if volume.is_instance_store:
        return None
    kind, gib = volume.volume_type, volume.size_gib
    if kind == "gp2":
        iops = min(16000, max(100, 3 * gib))
        rate = (128 if gib <= 170 else 250) * MIB
        if iops >= GP2_BURST_IOPS:
            return Limits(iops, rate, 256 * KIB)
        seconds = GP2_BURST_OPERATIONS // (GP2_BURST_IOPS - iops)
        return Limits(iops, rate, 256 * KIB, GP2_BURST_IOPS, seconds)
    if kind == "gp3":
        return Limits(volume.iops or GP3_IOPS, (volume.throughput or GP3_THROUGHPUT) * MIB, 256 * KIB)
    if kind in ("io1", "io2"):
        iops = volume.iops or 100
        rate_max = 1000 if kind == "io1" else 4000
        return Limits(iops, min(iops * 256 * KIB, rate_max * MIB), 256 * KIB)
    if kind in ("st1", "sc1"):
        per_tib, rate_max = (40, 500) if kind == "st1" else (12, 192)
        rate = max(1, min(rate_max, per_tib * gib // 1024)) * MIB
        return Limits(500 if kind == "st1" else 250, rate, MIB)
    return Limits(200, 90 * MIB, 256 * KIB)
