"""What an instance's attributes may become, and when.

    attribute                                                        may change while the instance is
    disableApiTermination, disableApiStop, sourceDestCheck,          anything but shutting-down or terminated
    instanceInitiatedShutdownBehavior, groupSet, blockDeviceMapping
    instanceType, userData, kernel, ramdisk, enaSupport,             stopped: what its next start reads
    sriovNetSupport, ebsOptimized
    productCodes, rootDeviceName, nvmeSupport                        never

Each check answers the new value, or raises.  Source: EC2 API, ModifyInstanceAttribute, ResetInstanceAttribute.
"""

from collections.abc import Sequence
from typing import Final

from amiable.model.errors import (
    IncorrectInstanceState,
    InvalidParameterCombination,
    InvalidParameterValue,
    UnsupportedOperation,
)
from amiable.model.instance import Instance, State
from amiable.model.instance_errors import InvalidInstanceAttributeValue, UnsupportedInstanceAttribute
from amiable.model.instance_type import InstanceType, find_type
from amiable.model.volume import Volume
from amiable.rules.hardware_profile import resolve_preferred
from amiable.rules.kernel_choice import PARAVIRTUAL
from amiable.rules.security_group import check_groups

ANY_TIME: Final = frozenset(
    {
        "blockDeviceMapping",
        "disableApiStop",
        "disableApiTermination",
        "enclaveOptions",
        "groupSet",
        "instanceInitiatedShutdownBehavior",
        "sourceDestCheck",
    }
)
WHILE_STOPPED: Final = frozenset(
    {"ebsOptimized", "enaSupport", "instanceType", "kernel", "ramdisk", "sriovNetSupport", "userData"}
)
RESETTABLE: Final = frozenset({"kernel", "ramdisk", "sourceDestCheck"})
BEHAVIORS: Final = ("stop", "terminate")
SRIOV: Final = "simple"


def check_state(instance: Instance, attribute: str) -> None:
    """Refuses to change ``attribute`` where the instance's state does not allow it, or where nothing can."""
    if attribute not in ANY_TIME | WHILE_STOPPED:
        raise UnsupportedInstanceAttribute(f"The attribute {attribute} of an instance cannot be changed.")
    check_living(instance)
    if attribute in WHILE_STOPPED and instance.state is not State.STOPPED:
        raise IncorrectInstanceState(
            f"The instance '{instance.id}' is not in the 'stopped' state: it is {instance.state}.",
            hint=f"stop it, change {attribute}, start it",
        )


def check_living(instance: Instance) -> None:
    """Refuses to change what ends, or has ended."""
    if instance.state in (State.SHUTTING_DOWN, State.TERMINATED):
        raise IncorrectInstanceState(
            f"The instance '{instance.id}' is {instance.state}: its attributes cannot be changed."
        )


def read_boolean(attribute: str, text: str | None) -> bool:
    """``true`` or ``false`` of the one-attribute form of a request."""
    if text is None or text.lower() not in ("true", "false"):
        raise InvalidInstanceAttributeValue(attribute=attribute, value=text or "", why="Allowed: true, false.")
    return text.lower() == "true"


def choose_behavior(instance: Instance, value: str) -> str:
    """What a power-off from inside shall do."""
    if value not in BEHAVIORS:
        raise InvalidInstanceAttributeValue(
            attribute="instanceInitiatedShutdownBehavior", value=value, why=f"Allowed: {', '.join(BEHAVIORS)}."
        )
    if value == "stop" and not instance.is_ebs:
        raise UnsupportedInstanceAttribute(
            f"The instance '{instance.id}' has an instance store as its root: it can be terminated, not stopped."
        )
    return value


def check_stop_protection(instance: Instance, value: bool) -> None:
    """Refuses stop protection for what cannot be stopped."""
    if value and not instance.is_ebs:
        raise UnsupportedInstanceAttribute(
            f"The instance '{instance.id}' has an instance store as its root: it cannot be stopped, nor protected from it."
        )


def choose_type(instance: Instance, name: str) -> InstanceType:
    """The type of that name, which must run what the instance is."""
    found = find_type(name)
    if found is None:
        raise InvalidInstanceAttributeValue(
            attribute="instanceType", value=name, why="DescribeInstanceTypes lists those that there are."
        )
    if instance.tpm_support is not None:
        raise UnsupportedOperation(
            f"The instance '{instance.id}' has a TPM ({instance.tpm_support}): its instance type cannot be changed.",
            hint="make an image of it, and launch that with another type",
        )
    if instance.architecture not in found.architectures or not found.is_supported:
        raise InvalidParameterCombination(
            f"The instance type {name} ({', '.join(found.architectures)}) does not run the instance's architecture, "
            f"{instance.architecture}."
        )
    if instance.image_boot_mode in ("uefi", "legacy-bios") and instance.image_boot_mode not in found.boot_modes:
        raise InvalidParameterCombination(
            f"The instance type {name} does not start in the boot mode of '{instance.id}', {instance.image_boot_mode}."
        )
    check_ena(instance, found, has_ena=instance.ena_support)
    return found


def choose_boot_mode(instance: Instance, type_: InstanceType) -> str:
    """The boot mode that an instance of ``type_`` starts in: its image's, ``uefi-preferred`` resolved, else the type's first."""
    wanted = instance.image_boot_mode
    if wanted == "uefi-preferred":
        return resolve_preferred(type_, instance.architecture, instance.hardware_profile)
    return wanted or (instance.boot_mode if instance.boot_mode in type_.boot_modes else type_.boot_modes[0])


def check_ena(instance: Instance, type_: InstanceType, *, has_ena: bool) -> None:
    """Refuses a type that needs ENA for what has it not."""
    if type_.needs_ena and instance.virtualization_type != PARAVIRTUAL and not has_ena:
        raise InvalidParameterCombination(
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{type_.name}' instance type. "
            f"Ensure that the instance '{instance.id}' is enabled for ENA.",
            hint="set its enaSupport first, or choose a type without it",
        )


def check_hvm(instance: Instance, attribute: str) -> None:
    """Refuses what only HVM instances have."""
    if instance.virtualization_type == PARAVIRTUAL:
        raise UnsupportedInstanceAttribute(
            f"The attribute {attribute} is for HVM instances: '{instance.id}' is {instance.virtualization_type}."
        )


def choose_sriov(instance: Instance, value: str) -> str:
    """``simple``; there is no other value, and no way back."""
    check_hvm(instance, "sriovNetSupport")
    if value != SRIOV:
        raise InvalidInstanceAttributeValue(attribute="sriovNetSupport", value=value, why=f"Allowed: {SRIOV}.")
    return value


def choose_groups(known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The groups named, each once; at least one, and not more than an interface takes.  ``known``: those of the instance's VPC."""
    if not wanted:
        raise InvalidParameterValue(parameter="GroupId", value="", why="At least one security group must be named.")
    assert set(wanted) <= set(known)
    chosen = tuple(dict.fromkeys(wanted))
    check_groups(chosen)
    return chosen


def choose_volume(volumes: Sequence[Volume], device_name: str | None, volume_id: str | None) -> Volume:
    """The attached volume that one entry of a mapping means."""
    if device_name is None and volume_id is None:
        raise InvalidInstanceAttributeValue(
            attribute="blockDeviceMapping", value="", why="Each entry names a device, or a volume."
        )
    for volume in volumes:
        if device_name in (None, volume.device_name) and volume_id in (None, volume.id):
            if volume.is_instance_store:
                raise UnsupportedInstanceAttribute(
                    f"The device {volume.device_name} is an instance store: it ends with its instance."
                )
            return volume
    what = f"No device is currently mapped at {device_name}" if device_name else f"No device is mapped to {volume_id}"
    raise InvalidInstanceAttributeValue(what)
