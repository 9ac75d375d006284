"""DescribeInstances' filters: each reads the very element that the answer shows, so that what is seen is what is found.

``FIELDS`` is the whole table: the filter's name → the path of its value in :class:`ec2.Instance`, or a function where the answer has
no such element.  What nothing here has (outposts, dedicated hosts, spot, IPv6) matches nothing, as on an instance of EC2's without it.
Source: EC2 API, DescribeInstances, Filter.N.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from amiable.api.ec2 import views
from amiable.api.ec2.views import View
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.wire.generated import ec2


@dataclass(frozen=True, slots=True)
class Shown:
    """An instance and how the answer shows it."""

    view: View
    element: ec2.Instance


def shown(view: View) -> Shown:
    """The instance as it is shown."""
    return Shown(view, views.instance_of(view))


def spell_moment(moment: datetime) -> str:
    """A time as filters spell it: ``2026-01-31T09:05:03.000Z``."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _spell(value: Any) -> str | None:
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, datetime):
        return spell_moment(value)
    if isinstance(value, Enum):
        return str(value.value)
    return None if value is None or value == "" else str(value)


def _walk(value: Any, names: tuple[str, ...]) -> Iterator[str | None]:
    if isinstance(value, list):
        for each in value:
            yield from _walk(each, names)
    elif not names:
        yield _spell(value)
    elif value is not None:
        yield from _walk(getattr(value, names[0]), names[1:])


def _at(path: str) -> filters.Field[Shown]:
    names = tuple(path.split("."))
    return lambda it: _walk(it.element, names)


def _nothing(it: Shown) -> Iterable[str | None]:
    return ()


def _of_interface(value: str) -> filters.Field[Shown]:
    """``value`` for each interface."""
    return lambda it: [value for _ in it.element.network_interfaces or []]


def _instance_of_interface(name: str) -> filters.Field[Shown]:
    return lambda it: [getattr(it.view.instance, name) for _ in it.element.network_interfaces or []]


INTERFACE: Final = "network_interfaces"
ADDRESSES: Final = f"{INTERFACE}.private_ip_addresses"
ATTACHMENT: Final = f"{INTERFACE}.attachment"
RESERVATION: Final = "capacity_reservation_specification"
TARGET: Final = f"{RESERVATION}.capacity_reservation_target"

FIELDS: Final[Mapping[str, filters.Field[Shown]]] = {
    "affinity": _at("placement.affinity"),
    "architecture": _at("architecture"),
    "availability-zone": _at("placement.availability_zone"),
    "availability-zone-id": lambda it: (it.view.zone_id,),
    "block-device-mapping.attach-time": _at("block_device_mappings.ebs.attach_time"),
    "block-device-mapping.delete-on-termination": _at("block_device_mappings.ebs.delete_on_termination"),
    "block-device-mapping.device-name": _at("block_device_mappings.device_name"),
    "block-device-mapping.status": _at("block_device_mappings.ebs.status"),
    "block-device-mapping.volume-id": _at("block_device_mappings.ebs.volume_id"),
    "boot-mode": _at("boot_mode"),
    "capacity-reservation-id": _at("capacity_reservation_id"),
    "capacity-reservation-specification.capacity-reservation-preference": _at(
        f"{RESERVATION}.capacity_reservation_preference"
    ),
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id": _at(
        f"{TARGET}.capacity_reservation_id"
    ),
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn": _at(
        f"{TARGET}.capacity_reservation_resource_group_arn"
    ),
    "client-token": _at("client_token"),
    "current-instance-boot-mode": _at("current_instance_boot_mode"),
    "dns-name": _at("public_dns_name"),
    "ebs-optimized": _at("ebs_optimized"),
    "ena-support": _at("ena_support"),
    "enclave-options.enabled": _at("enclave_options.enabled"),
    "hibernation-options.configured": _at("hibernation_options.configured"),
    "host-id": _at("placement.host_id"),
    "hypervisor": _at("hypervisor"),
    "iam-instance-profile.arn": _at("iam_instance_profile.arn"),
    "iam-instance-profile.id": _at("iam_instance_profile.id"),
    "image-id": _at("image_id"),
    "instance-id": _at("instance_id"),
    "instance-lifecycle": _at("instance_lifecycle"),
    "instance-state-code": _at("state.code"),
    "instance-state-name": _at("state.name"),
    "instance-type": _at("instance_type"),
    "instance.group-id": _at("security_groups.group_id"),
    "instance.group-name": _at("security_groups.group_name"),
    "ip-address": _at("public_ip_address"),
    "ipv6-address": _at("ipv6_address"),
    "kernel-id": _at("kernel_id"),
    "key-name": _at("key_name"),
    "launch-index": _at("ami_launch_index"),
    "launch-time": _at("launch_time"),
    "maintenance-options.auto-recovery": _at("maintenance_options.auto_recovery"),
    "metadata-options.http-endpoint": _at("metadata_options.http_endpoint"),
    "metadata-options.http-protocol-ipv4": _at("metadata_options.http_endpoint"),
    "metadata-options.http-protocol-ipv6": _at("metadata_options.http_protocol_ipv6"),
    "metadata-options.http-put-response-hop-limit": _at("metadata_options.http_put_response_hop_limit"),
    "metadata-options.http-tokens": _at("metadata_options.http_tokens"),
    "metadata-options.instance-metadata-tags": _at("metadata_options.instance_metadata_tags"),
    "metadata-options.state": _at("metadata_options.state"),
    "monitoring-state": _at("monitoring.state"),
    "network-interface.addresses.association.allocation-id": lambda it: [each.id for each in it.view.addresses],
    "network-interface.addresses.association.association-id": lambda it: [
        each.association_id for each in it.view.addresses
    ],
    "network-interface.addresses.association.carrier-ip": _at(f"{ADDRESSES}.association.carrier_ip"),
    "network-interface.addresses.association.customer-owned-ip": _at(f"{ADDRESSES}.association.customer_owned_ip"),
    "network-interface.addresses.association.ip-owner-id": _at(f"{ADDRESSES}.association.ip_owner_id"),
    "network-interface.addresses.association.public-dns-name": _at(f"{ADDRESSES}.association.public_dns_name"),
    "network-interface.addresses.association.public-ip": _at(f"{ADDRESSES}.association.public_ip"),
    "network-interface.addresses.primary": _at(f"{ADDRESSES}.primary"),
    "network-interface.addresses.private-dns-name": _at(f"{ADDRESSES}.private_dns_name"),
    "network-interface.addresses.private-ip-address": _at(f"{ADDRESSES}.private_ip_address"),
    "network-interface.association.allocation-id": lambda it: [each.id for each in it.view.addresses],
    "network-interface.association.association-id": lambda it: [each.association_id for each in it.view.addresses],
    "network-interface.association.carrier-ip": _at(f"{INTERFACE}.association.carrier_ip"),
    "network-interface.association.customer-owned-ip": _at(f"{INTERFACE}.association.customer_owned_ip"),
    "network-interface.association.ip-owner-id": _at(f"{INTERFACE}.association.ip_owner_id"),
    "network-interface.association.public-dns-name": _at(f"{INTERFACE}.association.public_dns_name"),
    "network-interface.association.public-ip": _at(f"{INTERFACE}.association.public_ip"),
    "network-interface.attachment.attach-time": _at(f"{ATTACHMENT}.attach_time"),
    "network-interface.attachment.attachment-id": _at(f"{ATTACHMENT}.attachment_id"),
    "network-interface.attachment.delete-on-termination": _at(f"{ATTACHMENT}.delete_on_termination"),
    "network-interface.attachment.device-index": _at(f"{ATTACHMENT}.device_index"),
    "network-interface.attachment.instance-id": _instance_of_interface("id"),
    "network-interface.attachment.instance-owner-id": _instance_of_interface("account_id"),
    "network-interface.attachment.network-card-index": _at(f"{ATTACHMENT}.network_card_index"),
    "network-interface.attachment.status": _at(f"{ATTACHMENT}.status"),
    "network-interface.availability-zone": _instance_of_interface("zone"),
    "network-interface.deny-all-igw-traffic": _nothing,
    "network-interface.description": _at(f"{INTERFACE}.description"),
    "network-interface.group-id": _at(f"{INTERFACE}.groups.group_id"),
    "network-interface.group-name": _at(f"{INTERFACE}.groups.group_name"),
    "network-interface.ipv4-prefixes.ipv4-prefix": _at(f"{INTERFACE}.ipv4_prefixes.ipv4_prefix"),
    "network-interface.ipv6-address": _at(f"{INTERFACE}.ipv6_addresses.ipv6_address"),
    "network-interface.ipv6-addresses.ipv6-address": _at(f"{INTERFACE}.ipv6_addresses.ipv6_address"),
    "network-interface.ipv6-addresses.is-primary-ipv6": _at(f"{INTERFACE}.ipv6_addresses.is_primary_ipv6"),
    "network-interface.ipv6-native": _of_interface("false"),
    "network-interface.ipv6-prefixes.ipv6-prefix": _at(f"{INTERFACE}.ipv6_prefixes.ipv6_prefix"),
    "network-interface.mac-address": _at(f"{INTERFACE}.mac_address"),
    "network-interface.network-interface-id": _at(f"{INTERFACE}.network_interface_id"),
    "network-interface.operator.managed": _at(f"{INTERFACE}.operator.managed"),
    "network-interface.operator.principal": _at(f"{INTERFACE}.operator.principal"),
    "network-interface.outpost-arn": _nothing,
    "network-interface.owner-id": _at(f"{INTERFACE}.owner_id"),
    "network-interface.private-dns-name": _at(f"{INTERFACE}.private_dns_name"),
    "network-interface.private-ip-address": _at(f"{INTERFACE}.private_ip_address"),
    "network-interface.public-dns-name": _at(f"{INTERFACE}.association.public_dns_name"),
    "network-interface.requester-id": _nothing,
    "network-interface.requester-managed": _of_interface("false"),
    "network-interface.source-dest-check": _at(f"{INTERFACE}.source_dest_check"),
    "network-interface.status": _at(f"{INTERFACE}.status"),
    "network-interface.subnet-id": _at(f"{INTERFACE}.subnet_id"),
    "network-interface.tag-key": lambda it: [key for key, _ in it.view.interface_tags],
    "network-interface.tag-value": lambda it: [value for _, value in it.view.interface_tags],
    "network-interface.vpc-id": _at(f"{INTERFACE}.vpc_id"),
    "network-performance-options.bandwidth-weighting": _at("network_performance_options.bandwidth_weighting"),
    "operator.managed": _at("operator.managed"),
    "operator.principal": _at("operator.principal"),
    "outpost-arn": _at("outpost_arn"),
    "owner-id": lambda it: (it.view.instance.account_id,),
    "placement-group-name": _at("placement.group_name"),
    "placement-partition-number": _at("placement.partition_number"),
    "platform": _at("platform"),
    "platform-details": _at("platform_details"),
    "private-dns-name": _at("private_dns_name"),
    "private-dns-name-options.enable-resource-name-dns-a-record": _at(
        "private_dns_name_options.enable_resource_name_dns_a_record"
    ),
    "private-dns-name-options.enable-resource-name-dns-aaaa-record": _at(
        "private_dns_name_options.enable_resource_name_dns_aaaa_record"
    ),
    "private-dns-name-options.hostname-type": _at("private_dns_name_options.hostname_type"),
    "private-ip-address": _at("private_ip_address"),
    "product-code": _at("product_codes.product_code_id"),
    "product-code.type": _at("product_codes.product_code_type"),
    "ramdisk-id": _at("ramdisk_id"),
    "reason": _at("state_transition_reason"),
    "requester-id": _nothing,
    "reservation-id": lambda it: (it.view.instance.reservation_id,),
    "root-device-name": _at("root_device_name"),
    "root-device-type": _at("root_device_type"),
    "source-dest-check": _at("source_dest_check"),
    "spot-instance-request-id": _at("spot_instance_request_id"),
    "state-reason-code": _at("state_reason.code"),
    "state-reason-message": _at("state_reason.message"),
    "subnet-id": _at("subnet_id"),
    "tenancy": _at("placement.tenancy"),
    "tpm-support": _at("tpm_support"),
    "usage-operation": _at("usage_operation"),
    "usage-operation-update-time": _at("usage_operation_update_time"),
    "virtualization-type": _at("virtualization_type"),
    "vpc-id": _at("vpc_id"),
}
"""Filter → its value, or values; ``tag:<key>`` and ``tag-key`` are those of every noun."""
