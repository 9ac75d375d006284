"""The link of an instance's interface: which tap it has in its VPC's fabric, and what its guest is told by DHCP."""

from ipaddress import IPv4Network
from typing import Final

from amiable.model.instance import Instance
from amiable.model.link import Link
from amiable.rules.firewall import tap_name

MTU_BYTES: Final = 1500


def link_of(instance: Instance, subnet: str) -> Link:
    """The primary interface's; ``subnet`` is its subnet's CIDR, whose first two addresses are the router and the resolver, as on EC2."""
    network = IPv4Network(subnet)
    first = instance.region == "us-east-1"
    return Link(
        vpc_id=instance.vpc_id,
        tap=tap_name(instance.interface_id),
        mac=instance.mac,
        address=instance.private_ip,
        subnet=subnet,
        router=str(network[1]),
        resolver=str(network[2]),
        hostname="ip-" + instance.private_ip.replace(".", "-"),
        domain="ec2.internal" if first else f"{instance.region}.compute.internal",
        mtu=MTU_BYTES,
    )
