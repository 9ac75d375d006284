"""RunInstances' parameters: every one is carried out, or harmless as it stands, or refused by name; none is ignored.

``CARRIED_OUT`` are read by the launch.  ``HARMLESS`` are accepted where their value asks for what is so anyway: no public
address, no enclave.  Whatever else is said is refused, naming the parameter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from amiable.api.ec2.unsupported import Check, anything, only, refuse_others, struct
from amiable.model import ids
from amiable.model.errors import (
    InvalidBlockDeviceMapping,
    InvalidParameterCombination,
    Malformed,
    MissingParameter,
    UnsupportedOperation,
)
from amiable.model.instance_errors import UnsupportedHibernationConfiguration
from amiable.model.instance_type import DEFAULT
from amiable.model.volume_errors import InvalidParameterDependency
from amiable.rules.devices import AskedDevice
from amiable.rules.instance_options import AskedOptions
from amiable.rules.launch import Asked
from amiable.rules.metadata_options import AskedMetadata
from amiable.rules.security_group import check_text
from amiable.wire.generated import ec2

CARRIED_OUT: Final = frozenset(
    {
        "block_device_mappings",
        "client_token",
        "disable_api_stop",
        "disable_api_termination",
        "dry_run",
        "iam_instance_profile",
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
TAGGABLE: Final = ("instance", "network-interface", "volume")
HARMLESS: Final[Mapping[str, Check]] = {
    "capacity_reservation_specification": struct(capacity_reservation_preference=only("open")),
    # The cores are the type's: rules/instance_options.
    "cpu_options": struct(core_count=anything, threads_per_core=only(1)),
    "credit_specification": struct(cpu_credits=anything),
    "enable_primary_ipv6": only(False),
    "enclave_options": struct(enabled=only(False)),
    "hibernation_options": struct(configured=anything),  # refused by EC2's own code
    "ipv6_address_count": only(0),
    "maintenance_options": struct(auto_recovery=anything),
    "metadata_options": struct(
        http_tokens=anything,
        http_put_response_hop_limit=anything,
        http_endpoint=anything,
        http_protocol_ipv6=anything,  # recorded
        instance_metadata_tags=anything,
    ),
    "monitoring": struct(enabled=anything),  # recorded
    "network_performance_options": struct(bandwidth_weighting=only("default")),
    "placement": struct(
        availability_zone=anything, availability_zone_id=anything, tenancy=only("default"), group_name=only("")
    ),
    "private_dns_name_options": struct(
        hostname_type=only("ip-name"),
        enable_resource_name_dns_a_record=only(False),
        enable_resource_name_dns_aaaa_record=only(False),
    ),
}
INTERFACE: Final[Mapping[str, Check]] = {
    "associate_public_ip_address": anything,  # there is none to give: docs/network.md
    "delete_on_termination": anything,
    "description": anything,
    "device_index": only(0),
    "groups": anything,
    "interface_type": only("interface"),
    "ipv6_address_count": only(0),
    "network_card_index": only(0),
    "network_interface_id": anything,
    "private_ip_address": anything,
    "private_ip_addresses": anything,
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
    zone_id: str | None = None
    group_ids: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()
    private_ip: str | None = None
    interface_id: str | None = None
    description: str = ""
    delete_on_termination: bool | None = None


def refuse_unsupported(request: ec2.RunInstancesRequest) -> None:
    """Refuses the first parameter that would have to be ignored."""
    checks = dict.fromkeys(CARRIED_OUT | {"network_interfaces"}, anything) | dict(HARMLESS)
    refuse_others(request, checks)
    if request.hibernation_options is not None and request.hibernation_options.configured:
        name = request.instance_type or DEFAULT
        raise UnsupportedHibernationConfiguration(
            f"The instance type '{name}' does not support hibernation.",
            hint="no type does here (DescribeInstanceTypes, HibernationSupported): launch without HibernationOptions",
        )


def place_of(request: ec2.RunInstancesRequest) -> AskedPlace:
    """Where the instances go: the top-level parameters, or the one interface that may be described instead of them."""
    placement = request.placement or ec2.Placement()
    if placement.availability_zone and placement.availability_zone_id:
        raise InvalidParameterCombination(
            "The parameters Placement.AvailabilityZone and Placement.AvailabilityZoneId cannot be used together."
        )
    zone, zone_id = placement.availability_zone, placement.availability_zone_id
    interfaces = request.network_interfaces or []
    if not interfaces:
        if request.security_group_ids and request.security_groups:
            raise InvalidParameterCombination("The parameters groupId and groupName cannot be used together.")
        if request.subnet_id and request.security_groups:
            raise InvalidParameterCombination(
                "The parameter groupName cannot be used with the parameter subnet", hint="give SecurityGroupId"
            )
        return AskedPlace(
            subnet_id=request.subnet_id,
            zone=zone,
            zone_id=zone_id,
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
    return replace(_place_of_interface(interfaces[0]), zone=zone, zone_id=zone_id)


def _place_of_interface(interface: ec2.InstanceNetworkInterfaceSpecification) -> AskedPlace:
    """The one interface as a request describes it, or names one that is there."""
    refuse_others(interface, INTERFACE, "NetworkInterface.1.")
    if interface.device_index is None:
        raise MissingParameter(parameter="NetworkInterface.1.DeviceIndex")
    check_text(interface.description or "", "network interface")
    address = primary_address(interface.private_ip_address, interface.private_ip_addresses, "NetworkInterface.1.")
    if interface.network_interface_id is not None:
        new = {
            "SubnetId": interface.subnet_id,
            "SecurityGroupId": interface.groups,
            "PrivateIpAddress": address,
            "Description": interface.description,
        }
        for name, value in new.items():
            if value:
                raise InvalidParameterCombination(
                    f"The parameters NetworkInterface.1.NetworkInterfaceId and NetworkInterface.1.{name} cannot be used together."
                )
    return AskedPlace(
        subnet_id=interface.subnet_id,
        group_ids=tuple(interface.groups or ()),
        private_ip=address,
        interface_id=interface.network_interface_id,
        description=interface.description or "",
        delete_on_termination=interface.delete_on_termination,
    )


def primary_address(
    address: str | None, more: Sequence[ec2.PrivateIpAddressSpecification] | None, where: str = ""
) -> str | None:
    """The one private address that an interface is asked to have, in whichever of the two ways; refuses more."""
    if not more:
        return address
    if address is not None or len(more) > 1 or more[0].primary is False:
        raise UnsupportedOperation(
            f"Secondary private addresses ({where}PrivateIpAddresses) are not supported by Amiable."
        )
    return more[0].private_ip_address


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
            http_protocol_ipv6=options.http_protocol_ipv6,
        ),
        profile_tag=profile_tag,
        options=_options(request),
    )


def _options(request: ec2.RunInstancesRequest) -> AskedOptions:
    credits_, maintenance = request.credit_specification, request.maintenance_options
    return AskedOptions(
        core_count=None if request.cpu_options is None else request.cpu_options.core_count,
        disable_api_termination=request.disable_api_termination,
        disable_api_stop=request.disable_api_stop,
        ebs_optimized=request.ebs_optimized,
        cpu_credits=None if credits_ is None else credits_.cpu_credits,
        detailed_monitoring=None if request.monitoring is None else request.monitoring.enabled,
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
    if ebs.kms_key_id is not None and not ebs.encrypted:
        raise InvalidParameterDependency(f"The parameter KmsKeyId of {where} requires Encrypted to be set to true.")
    refuse_others(ebs, VOLUME, f"{where}.Ebs.")
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
