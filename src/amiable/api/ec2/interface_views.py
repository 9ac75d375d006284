"""How network interfaces look on the wire, on their own and as part of their instance; rows in, EC2's structures out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from amiable.api.ec2.tags import tag_set
from amiable.database import addresses, network, tags
from amiable.model.network import Address, NetworkInterface
from amiable.model.principal import Principal
from amiable.rules.imds import public_hostname
from amiable.wire.generated import ec2


@dataclass(frozen=True, slots=True)
class InterfaceView:
    """An interface with what its row does not hold."""

    it: NetworkInterface
    group_names: Mapping[str, str] = field(default_factory=dict)
    address: Address | None = None
    zone_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    has_dns_hostnames: bool = False  # its VPC's attribute; asked for where there is an address only

    @property
    def groups(self) -> list[ec2.GroupIdentifier]:
        return [
            ec2.GroupIdentifier(group_id=group_id, group_name=self.group_names.get(group_id))
            for group_id in self.it.group_ids
        ]

    @property
    def private_dns_name(self) -> str:
        return private_dns_name(self.it.private_ip, self.it.region)

    @property
    def public_dns_name(self) -> str:
        """The name of its elastic address, where its VPC gives names."""
        if self.address is None or not self.has_dns_hostnames:
            return ""
        return public_hostname(self.it.region, self.address.public_ip)


def interface_views(
    c: Connection,
    principal: Principal,
    interfaces: Sequence[NetworkInterface],
    *,
    zone_ids: Mapping[str, str] | None = None,
) -> list[InterfaceView]:
    """The interfaces with their groups' names, elastic addresses and tags, in the same order; with ``zone_ids``, with theirs."""
    ids = [interface.id for interface in interfaces]
    names = {group.id: group.name for group in network.list_security_groups(c, principal.account_id, principal.region)}
    public = addresses.addresses_of(c, ids)
    tagged = tags.tags_of(c, principal.account_id, ids)
    zones = zone_ids or {}
    vpcs = network.list_vpcs(c, principal.account_id, principal.region) if public else []
    named = {vpc.id for vpc in vpcs if vpc.has_dns_hostnames}
    return [
        InterfaceView(
            each, names, public.get(each.id), zones.get(each.zone), tagged.get(each.id, {}), each.vpc_id in named
        )
        for each in interfaces
    ]


def private_dns_name(private_ip: str, region: str) -> str:
    """EC2's name for the address: ``ip-172-31-0-4.ec2.internal``; elsewhere than in us-east-1 under the region's domain."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{private_ip.replace('.', '-')}.{domain}"


def network_interface(view: InterfaceView) -> ec2.NetworkInterface:
    """One interface as DescribeNetworkInterfaces tells it."""
    it, association = view.it, _association(view)
    return ec2.NetworkInterface(
        association=association,
        attachment=attachment_of(view),
        availability_zone=it.zone,
        availability_zone_id=view.zone_id,
        description=it.description,
        groups=view.groups,
        interface_type="interface",
        ipv6_addresses=[],
        mac_address=it.mac,
        network_interface_id=it.id,
        owner_id=it.account_id,
        private_dns_name=view.private_dns_name,
        private_ip_address=it.private_ip,
        private_ip_addresses=[
            ec2.NetworkInterfacePrivateIpAddress(
                association=association,
                primary=True,
                private_dns_name=view.private_dns_name,
                private_ip_address=it.private_ip,
            )
        ],
        requester_managed=False,
        source_dest_check=it.has_source_dest_check,
        status=it.status,
        subnet_id=it.subnet_id,
        tag_set=tag_set(view.tags) or [],  # EC2 always tells it of an interface; Ansible relies on it
        vpc_id=it.vpc_id,
        operator=ec2.OperatorResponse(managed=False),
    )


def _association(view: InterfaceView) -> ec2.NetworkInterfaceAssociation | None:
    address = view.address
    if address is None:
        return None
    return ec2.NetworkInterfaceAssociation(
        allocation_id=address.id,
        association_id=address.association_id,
        ip_owner_id=address.account_id,
        public_dns_name=view.public_dns_name,
        public_ip=address.public_ip,
    )


def attachment_of(view: InterfaceView) -> ec2.NetworkInterfaceAttachment | None:
    """Where the interface is; None: nowhere."""
    attachment = view.it.attachment
    if attachment is None:
        return None
    return ec2.NetworkInterfaceAttachment(
        attach_time=attachment.attached_at,
        attachment_id=attachment.id,
        delete_on_termination=attachment.delete_on_termination,
        device_index=attachment.device_index,
        network_card_index=0,
        instance_id=attachment.instance_id,
        instance_owner_id=view.it.account_id,
        status="attached",
    )


def instance_interface(view: InterfaceView) -> ec2.InstanceNetworkInterface:
    """One interface as DescribeInstances tells it."""
    it, address, attachment = view.it, view.address, view.it.attachment
    assert attachment is not None, it.id
    association = (
        None
        if address is None
        else ec2.InstanceNetworkInterfaceAssociation(
            ip_owner_id=address.account_id, public_dns_name=view.public_dns_name, public_ip=address.public_ip
        )
    )
    return ec2.InstanceNetworkInterface(
        association=association,
        attachment=ec2.InstanceNetworkInterfaceAttachment(
            attach_time=attachment.attached_at,
            attachment_id=attachment.id,
            delete_on_termination=attachment.delete_on_termination,
            device_index=attachment.device_index,
            network_card_index=0,
            status="attached",
        ),
        description=it.description,
        groups=view.groups,
        ipv6_addresses=[],
        mac_address=it.mac,
        network_interface_id=it.id,
        owner_id=it.account_id,
        private_dns_name=view.private_dns_name,
        private_ip_address=it.private_ip,
        private_ip_addresses=[
            ec2.InstancePrivateIpAddress(
                association=association,
                primary=True,
                private_dns_name=view.private_dns_name,
                private_ip_address=it.private_ip,
            )
        ],
        source_dest_check=it.has_source_dest_check,
        status=it.status,
        subnet_id=it.subnet_id,
        vpc_id=it.vpc_id,
        interface_type="interface",
        operator=ec2.OperatorResponse(managed=False),
    )
