"""What a launch says of an instance's life beside its machine: protections, CPU credits, EBS optimization, monitoring, recovery.

Recorded as EC2 records them.  Protections bind (``rules/protection``), recovery binds when the host was restarted
(``rules/host_restart``); the others change nothing here: a guest has its processors to itself, its disks are local, and nothing
measures it.
Source: EC2 API, RunInstances; User Guide, "Burstable performance instances", "EBS-optimized instance types".
"""

from dataclasses import dataclass
from typing import Final

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, Unsupported, UnsupportedOperation
from amiable.model.image import Image, RootDeviceType
from amiable.model.instance_type import InstanceType

CREDITS: Final = ("standard", "unlimited")
RECOVERIES: Final = ("default", "disabled")
STANDARD_FAMILIES: Final = ("t2",)
"""Burstable families whose credits are ``standard`` unless said; the newer ones are ``unlimited``."""
NEVER_OPTIMIZED: Final = (
    *("t1.", "t2.", "m1.small", "m1.medium", "m2.xlarge", "m3.medium", "m3.large", "c1.medium"),
    *("c3.large", "c3.8xlarge", "r3.large", "r3.8xlarge", "i2.8xlarge"),
)
"""Types of which EBS optimization cannot be asked, by how their names begin."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one instance; ``cpu_credits`` is None for what is not burstable."""

    disable_api_termination: bool = False
    disable_api_stop: bool = False
    ebs_optimized: bool = False
    cpu_credits: str | None = None
    detailed_monitoring: bool = False
    auto_recovery: str = "default"


@dataclass(frozen=True, slots=True)
class AskedOptions:
    """The request's; None: not said."""

    disable_api_termination: bool | None = None
    disable_api_stop: bool | None = None
    ebs_optimized: bool | None = None
    cpu_credits: str | None = None
    detailed_monitoring: bool | None = None
    auto_recovery: str | None = None
    core_count: int | None = None


def choose_options(image: Image, type_: InstanceType, asked: AskedOptions) -> Options:
    """The options of an instance of ``image`` and ``type_``."""
    if asked.disable_api_stop and image.root_device_type is RootDeviceType.INSTANCE_STORE:
        raise UnsupportedOperation(
            f"Stop protection is not supported for instances of {image.id}: their root is an instance store, they cannot be stopped."
        )
    if asked.ebs_optimized:
        check_optimizable(type_)
    if asked.core_count not in (None, type_.vcpus):
        raise UnsupportedOperation(
            f"The value {asked.core_count} of the parameter CpuOptions.CoreCount is not supported by Amiable.",
            hint=f"every processor is a core of one thread; {type_.name} has {type_.vcpus}",
        )
    return Options(
        disable_api_termination=bool(asked.disable_api_termination),
        disable_api_stop=bool(asked.disable_api_stop),
        ebs_optimized=bool(asked.ebs_optimized),
        cpu_credits=choose_credits(type_, asked.cpu_credits),
        detailed_monitoring=bool(asked.detailed_monitoring),
        auto_recovery=_recovery(asked.auto_recovery),
    )


def is_optimizable(type_: InstanceType) -> bool:
    """Whether EBS optimization can be asked for."""
    return not type_.name.startswith(NEVER_OPTIMIZED)


def check_optimizable(type_: InstanceType) -> None:
    """Refuses EBS optimization for a type that has it not."""
    if not is_optimizable(type_):
        raise Unsupported(
            f"EBS-optimized instances are not supported for your requested configuration: {type_.name} has no EBS optimization."
        )


def choose_credits(type_: InstanceType, asked: str | None) -> str | None:
    """``standard`` or ``unlimited`` for a burstable type: what was asked, else the family's."""
    if asked is not None and asked not in CREDITS:
        raise InvalidParameterValue(
            parameter="CreditSpecification.CpuCredits", value=asked, why=f"Allowed: {', '.join(CREDITS)}."
        )
    if type_.is_burstable:
        return asked or ("standard" if type_.name.startswith(STANDARD_FAMILIES) else "unlimited")
    if asked is not None:
        raise InvalidParameterCombination(
            f"The parameter CreditSpecification cannot be used with the instance type {type_.name}: it is not burstable."
        )
    return None


def _recovery(asked: str | None) -> str:
    if asked is None:
        return RECOVERIES[0]
    if asked not in RECOVERIES:
        raise InvalidParameterValue(
            parameter="MaintenanceOptions.AutoRecovery", value=asked, why=f"Allowed: {', '.join(RECOVERIES)}."
        )
    return asked
