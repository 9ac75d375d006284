"""RunInstances' parameters: every one is carried out, or harmless as it stands, or refused by name; none is ignored.

``CARRIED_OUT`` are read by the launch.  ``HARMLESS`` are accepted where their value asks for what is so anyway: no public
address, no monitoring.  Whatever else is said is refused, naming the parameter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from amiable.model import ids
from amiable.model.errors import (
    InvalidBlockDeviceMapping,
    InvalidParameterCombination,
    Malformed,
    MissingParameter,
    UnsupportedOperation,
)
from amiable.rules.devices import AskedDevice
from amiable.rules.instance_options import AskedOptions
from amiable.rules.launch import Asked, AskedMetadata
from amiable.wire.generated import ec2
from amiable.wire.shape import Structure

Check = Callable[[Any], bool]
VALUE_CHARACTERS_MAX: Final = 200


def anything(value: Any) -> bool:
    """Read by the launch, whatever it is."""
    return True


def only(*allowed: Any) -> Check:
    """One of the values that ask for nothing."""
    return lambda value: value in allowed


def struct(**checks: Check) -> Check:
    """A structure of which only these members are given, each harmless."""

    def is_harmless(value: msgspec.Struct) -> bool:
        given = {name: member for name, member in msgspec.structs.asdict(value).items() if member is not None}
        return all(name in checks and checks[name](member) for name, member in given.items())

    return is_harmless


CARRIED_OUT: Final = frozenset(
    {
        "block_device_mappings",
        "client_token",
        "disable_api_stop",
        "disable_api_termination",
        "dry_run",
        "ebs_optimized",
        "image_id",
        "instance_initiated_shutdown_behavior",
        "instance_type",
        "kernel_id",
        "key_name",
        "max_count",
        "min_count",
        "private_ip_address",
        "ramdisk_id",
        "security_group_ids",
        "security_groups",
        "subnet_id",
        "tag_specifications",
        "user_data",
    }
)
HARMLESS: Final[Mapping[str, Check]] = {
    "capacity_reservation_specification": struct(capacity_reservation_preference=only("open", "none")),
    "credit_specification": struct(cpu_credits=anything),
    "enable_primary_ipv6": only(False),
    "enclave_options": struct(enabled=only(False)),
    "hibernation_options": struct(configured=only(False)),
    "ipv6_address_count": only(0),
    "maintenance_options": struct(auto_recovery=anything),
    "metadata_options": struct(
        http_tokens=anything,
        http_put_response_hop_limit=anything,
        http_endpoint=anything,
        http_protocol_ipv6=only("disabled"),
        instance_metadata_tags=anything,
    ),
    "monitoring": struct(enabled=only(False)),
    "placement": struct(availability_zone=anything, tenancy=only("default"), group_name=only("")),
    "private_dns_name_options": struct(
        hostname_type=only("ip-name"),
        enable_resource_name_dns_a_record=only(False),
        enable_resource_name_dns_aaaa_record=only(False),
    ),
}
INTERFACE: Final[Mapping[str, Check]] = {
    "associate_public_ip_address": only(False),
    "delete_on_termination": only(True),
    "description": only(""),
    "device_index": only(0),
    "groups": anything,
    "interface_type": only("interface"),
    "ipv6_address_count": only(0),
    "network_card_index": only(0),
    "private_ip_address": anything,
    "secondary_private_ip_address_count": only(0),
    "subnet_id": anything,
}
VOLUME: Final[Mapping[str, Check]] = {
    "delete_on_termination": anything,
    "encrypted": anything,
    "iops": anything,
    "snapshot_id": anything,
    "throughput": anything,
    "volume_size": anything,
    "volume_type": anything,
}


@dataclass(frozen=True, slots=True)
class AskedPlace:
    """Where a request wants its instances; None: not said."""

    subnet_id: str | None = None
    zone: str | None = None
    group_ids: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()
    private_ip: str | None = None


def refuse_unsupported(request: ec2.RunInstancesRequest) -> None:
    """Refuses the first parameter that would have to be ignored."""
    checks = dict.fromkeys(CARRIED_OUT | {"network_interfaces"}, anything) | dict(HARMLESS)
    _refuse(request, checks, "")


def _refuse(value: msgspec.Struct, checks: Mapping[str, Check], where: str) -> None:
    names = _wire_names(value)
    for name, member in msgspec.structs.asdict(value).items():
        if member is None or member == []:
            continue
        check = checks.get(name)
        if check is None:
            raise UnsupportedOperation(f"The parameter {where}{names[name]} is not supported by Amiable.")
        if not check(member):
            told = msgspec.json.encode(_as_sent(member)).decode()[:VALUE_CHARACTERS_MAX]
            raise UnsupportedOperation(
                f"The value {told} of the parameter {where}{names[name]} is not supported by Amiable."
            )


def _as_sent(value: Any) -> Any:
    """The value with the wire's names, and without what was not sent."""
    if isinstance(value, msgspec.Struct):
        names, members = _wire_names(value), msgspec.structs.asdict(value).items()
        return {names[name]: _as_sent(member) for name, member in members if member is not None}
    return [_as_sent(item) for item in value] if isinstance(value, list) else value


def _wire_names(value: msgspec.Struct) -> dict[str, str]:
    """Attribute → the name that requests give it."""
    shape = ec2.SHAPES[type(value).__name__]
    assert isinstance(shape, Structure)
    return {member.attribute: member.request for member in shape.members}


def place_of(request: ec2.RunInstancesRequest) -> AskedPlace:
    """Where the instances go: the top-level parameters, or the one interface that may be described instead of them."""
    zone = request.placement.availability_zone if request.placement else None
    interfaces = request.network_interfaces or []
    if not interfaces:
        if request.security_group_ids and request.security_groups:
            raise InvalidParameterCombination("The parameters groupId and groupName cannot be used together.")
        return AskedPlace(
            subnet_id=request.subnet_id,
            zone=zone,
            group_ids=tuple(request.security_group_ids or ()),
            group_names=tuple(request.security_groups or ()),
            private_ip=request.private_ip_address,
        )
    if len(interfaces) > 1:
        raise UnsupportedOperation("More than one NetworkInterface is not supported by Amiable.")
    if request.subnet_id or request.security_group_ids or request.security_groups or request.private_ip_address:
        raise InvalidParameterCombination(
            "Network interfaces and an instance-level subnet ID, security groups or private IP address may not be specified on "
            "the same request"
        )
    _refuse(interfaces[0], INTERFACE, "NetworkInterface.1.")
    return AskedPlace(
        subnet_id=interfaces[0].subnet_id,
        zone=zone,
        group_ids=tuple(interfaces[0].groups or ()),
        private_ip=interfaces[0].private_ip_address,
    )


def asked_of(request: ec2.RunInstancesRequest, profile_tag: str | None) -> Asked:
    """What the request says of the machine; ``profile_tag`` is its hardware profile tag."""
    options = request.metadata_options
    return Asked(
        instance_type=request.instance_type,
        kernel_id=request.kernel_id,
        ramdisk_id=request.ramdisk_id,
        devices=tuple(
            _device(number, mapping) for number, mapping in enumerate(request.block_device_mappings or [], start=1)
        ),
        user_data=request.user_data,
        shutdown_behavior=request.instance_initiated_shutdown_behavior,
        metadata=AskedMetadata()
        if options is None
        else AskedMetadata(
            http_tokens=options.http_tokens,
            http_endpoint=options.http_endpoint,
            http_hop_limit=options.http_put_response_hop_limit,
            instance_metadata_tags=options.instance_metadata_tags,
        ),
        profile_tag=profile_tag,
        options=_options(request),
    )


def _options(request: ec2.RunInstancesRequest) -> AskedOptions:
    credits_, maintenance = request.credit_specification, request.maintenance_options
    return AskedOptions(
        disable_api_termination=request.disable_api_termination,
        disable_api_stop=request.disable_api_stop,
        ebs_optimized=request.ebs_optimized,
        cpu_credits=None if credits_ is None else credits_.cpu_credits,
        auto_recovery=None if maintenance is None else maintenance.auto_recovery,
    )


def _device(number: int, mapping: ec2.BlockDeviceMapping) -> AskedDevice:
    where = f"BlockDeviceMapping.{number}"
    if not mapping.device_name:
        raise MissingParameter(parameter=f"{where}.DeviceName")
    kinds = [mapping.ebs is not None, mapping.virtual_name is not None, mapping.no_device is not None]
    if sum(kinds) != 1:
        raise InvalidBlockDeviceMapping(
            f"The block device mapping {mapping.device_name} must have exactly one of Ebs, VirtualName and NoDevice."
        )
    if mapping.ebs is None:
        return AskedDevice(
            mapping.device_name, virtual_name=mapping.virtual_name, no_device=mapping.no_device is not None
        )
    ebs = mapping.ebs
    _refuse(ebs, VOLUME, f"{where}.Ebs.")
    if ebs.snapshot_id is not None and not ids.is_well_formed(ids.SNAPSHOT, ebs.snapshot_id):
        raise Malformed("snapshot", ebs.snapshot_id, ids.SNAPSHOT)
    return AskedDevice(
        mapping.device_name,
        is_volume=True,
        snapshot_id=ebs.snapshot_id,
        size_gib=ebs.volume_size,
        volume_type=ebs.volume_type,
        iops=ebs.iops,
        throughput=ebs.throughput,
        delete_on_termination=ebs.delete_on_termination,
        encrypted=ebs.encrypted,
    )
