"""How instances look on the wire: rows in, EC2's structures out.

What EC2 says of an instance and Amiable does not have (encryption, spot, placement groups) is left out, not made up.
A terminated instance has no place on the network and no devices any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
from sqlalchemy import Connection

from amiable.api.ec2 import metadata_options
from amiable.api.ec2.describe_images import PLATFORM_DETAILS
from amiable.api.ec2.instance_profiles import profiles_said
from amiable.api.ec2.interface_views import InterfaceView, instance_interface, interface_views, private_dns_name
from amiable.api.ec2.placement import zones_of
from amiable.api.ec2.product_codes import product_codes
from amiable.api.ec2.tags import tag_set
from amiable.database import interfaces, network, tags, volumes
from amiable.model.instance import CODES, Instance, State
from amiable.model.instance_type import type_of
from amiable.model.network import Address
from amiable.model.principal import Principal
from amiable.model.volume import Volume
from amiable.services import Services
from amiable.wire.generated import ec2

HYPERVISOR: Final = "xen"
"""EC2's word for all that is not OVM, Nitro included."""
NO_RESERVATION: Final = ec2.CapacityReservationSpecificationResponse(capacity_reservation_preference="open")
NAMED_BY_ADDRESS: Final = ec2.PrivateDnsNameOptionsResponse(
    hostname_type="ip-name", enable_resource_name_dns_a_record=False, enable_resource_name_dns_aaaa_record=False
)


@dataclass(frozen=True, slots=True)
class View:
    """An instance with what its row does not hold."""

    instance: Instance
    volumes: Sequence[Volume] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    group_names: Mapping[str, str] = field(default_factory=dict)
    zone_id: str | None = None
    interfaces: Sequence[InterfaceView] = ()
    profile: ec2.IamInstanceProfile | None = None

    @property
    def interface_tags(self) -> list[tuple[str, str]]:
        return [pair for each in self.interfaces for pair in each.tags.items()]

    @property
    def addresses(self) -> list[Address]:
        """The elastic addresses of its interfaces."""
        return [each.address for each in self.interfaces if each.address is not None]

    @property
    def is_placed(self) -> bool:
        """Whether it still has an address and devices."""
        return self.instance.state is not State.TERMINATED

    @property
    def ebs_volumes(self) -> list[Volume]:
        return [volume for volume in self.volumes if not volume.is_instance_store] if self.is_placed else []


def zoned_views_of(
    c: Connection, services: Services, principal: Principal, instances: Sequence[Instance]
) -> list[View]:
    """As :func:`views_of`, each with the id of its zone."""
    ids = {zone.name: zone.id for zone in zones_of(services, principal.region)}
    return [replace(view, zone_id=ids.get(view.instance.zone)) for view in views_of(c, principal, instances)]


def views_of(c: Connection, principal: Principal, instances: Sequence[Instance]) -> list[View]:
    """The instances with their volumes, interfaces, tags and groups, in the same order."""
    ids = [instance.id for instance in instances]
    disks = volumes.volumes_of_many(c, ids)
    tagged = tags.tags_of(c, principal.account_id, ids)
    groups = {group.id: group.name for group in network.list_security_groups(c, principal.account_id, principal.region)}
    profiles = profiles_said(c, ids)
    held = interfaces.interfaces_of(c, ids)
    seen = {view.it.id: view for view in interface_views(c, principal, [it for some in held.values() for it in some])}
    return [
        View(
            instance,
            disks[instance.id],
            tagged.get(instance.id, {}),
            groups,
            interfaces=[seen[interface.id] for interface in held[instance.id]],
            profile=profiles.get(instance.id),
        )
        for instance in instances
    ]


def instance_state(state: State) -> ec2.InstanceState:
    """A state with its number."""
    return ec2.InstanceState(code=CODES[state], name=state.value)


def monitoring(instance: Instance) -> ec2.Monitoring:
    """Whether it is to be monitored in detail."""
    return ec2.Monitoring(state="enabled" if instance.detailed_monitoring else "disabled")


def transition_reason(instance: Instance) -> str:
    """Why the instance came into its state, and when: a person's call says when it came, all else when the state did."""
    told, at = instance.transition_reason, instance.state_changed_at
    return f"{told} ({at:%Y-%m-%d %H:%M:%S} GMT)" if told and at is not None and "(" not in told else told


def billed_as(instance: Instance) -> tuple[str, str]:
    """The guest's system as EC2 bills it, and the operation."""
    return PLATFORM_DETAILS[instance.platform]


def reservations(views: Sequence[View]) -> list[ec2.Reservation]:
    """The instances grouped by the call that launched them, in the order they come."""
    grouped: dict[str, list[View]] = {}
    for view in views:
        grouped.setdefault(view.instance.reservation_id, []).append(view)
    return [
        ec2.Reservation(
            reservation_id=reservation_id,
            owner_id=each[0].instance.account_id,
            groups=[],
            instances=[instance_of(view) for view in each],
        )
        for reservation_id, each in grouped.items()
    ]


def instance_of(view: View) -> ec2.Instance:
    """One instance as EC2 tells it."""
    it, is_placed = view.instance, view.is_placed
    return msgspec.structs.replace(
        _row_of(it),
        private_dns_name=private_dns_name(it.private_ip, it.region) if is_placed else "",
        placement=ec2.Placement(
            availability_zone=it.zone, availability_zone_id=view.zone_id, group_name="", tenancy="default"
        ),
        subnet_id=it.subnet_id if is_placed else None,
        vpc_id=it.vpc_id if is_placed else None,
        private_ip_address=it.private_ip if is_placed else None,
        public_ip_address=view.addresses[0].public_ip if view.addresses else None,
        public_dns_name=next((each.public_dns_name for each in view.interfaces if each.address), ""),
        block_device_mappings=mappings(view),
        network_interfaces=[instance_interface(each) for each in view.interfaces],
        security_groups=groups(view) if is_placed else [],
        source_dest_check=it.source_dest_check if is_placed else None,
        tags=tag_set(view.tags),
        iam_instance_profile=view.profile if is_placed else None,
    )


def _row_of(it: Instance) -> ec2.Instance:
    """What its row alone says, wherever it is placed."""
    details, operation = billed_as(it)
    return ec2.Instance(
        instance_id=it.id,
        image_id=it.image_id,
        state=instance_state(it.state),
        state_transition_reason=transition_reason(it),
        state_reason=_reason(it),
        key_name=it.key_name,
        ami_launch_index=it.launch_index,
        product_codes=product_codes(it.product_codes),
        instance_type=it.instance_type,
        launch_time=it.launched_at,
        kernel_id=it.kernel_id,
        ramdisk_id=it.ramdisk_id,
        monitoring=monitoring(it),
        architecture=it.architecture,
        client_token=it.client_token or "",
        ebs_optimized=it.ebs_optimized,
        ena_support=it.ena_support,
        sriov_net_support=it.sriov_net_support,
        hypervisor=HYPERVISOR,
        root_device_name=it.root_device_name,
        root_device_type=it.root_device_type,
        virtualization_type=it.virtualization_type,
        cpu_options=ec2.CpuOptions(core_count=type_of(it.instance_type).vcpus, threads_per_core=1),
        hibernation_options=ec2.HibernationOptions(configured=False),
        metadata_options=metadata_options.said(
            it.metadata, state="pending" if it.state is State.PENDING else "applied"
        ),
        enclave_options=ec2.EnclaveOptions(enabled=False),
        current_instance_boot_mode=it.boot_mode,
        boot_mode=it.image_boot_mode,
        tpm_support=it.tpm_support,
        platform=it.platform,
        platform_details=details,
        usage_operation=operation,
        usage_operation_update_time=it.created_at,
        maintenance_options=ec2.InstanceMaintenanceOptions(auto_recovery=it.auto_recovery),
        capacity_reservation_specification=NO_RESERVATION,
        network_performance_options=ec2.InstanceNetworkPerformanceOptions(bandwidth_weighting="default"),
        operator=ec2.OperatorResponse(managed=False),
        private_dns_name_options=NAMED_BY_ADDRESS,
    )


def _reason(it: Instance) -> ec2.StateReason | None:
    """Why it is in its state; of one that is pending for no other reason EC2 says just that."""
    code, message = it.state_reason_code, it.state_reason_message
    if code is None and it.state is State.PENDING:
        code = message = State.PENDING.value
    return ec2.StateReason(code=code, message=message) if code else None


def groups(view: View) -> list[ec2.GroupIdentifier]:
    """The security groups of the instance, with their names."""
    return [
        ec2.GroupIdentifier(group_id=group_id, group_name=view.group_names.get(group_id))
        for group_id in view.instance.security_group_ids
    ]


def mappings(view: View) -> list[ec2.InstanceBlockDeviceMapping]:
    """The instance's EBS volumes."""
    return [_mapping(volume) for volume in view.ebs_volumes]


def _mapping(volume: Volume) -> ec2.InstanceBlockDeviceMapping:
    return ec2.InstanceBlockDeviceMapping(
        device_name=volume.device_name,
        ebs=ec2.EbsInstanceBlockDevice(
            attach_time=volume.attached_at,
            delete_on_termination=volume.delete_on_termination,
            status=volume.attachment_state,
            volume_id=volume.id,
        ),
    )
