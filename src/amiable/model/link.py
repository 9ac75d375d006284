"""An interface's place in the fabric of its VPC: what the network agent makes of it, and what DHCP tells the guest."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """One tap; ``subnet`` is a CIDR, ``router`` and ``resolver`` are EC2's places in it."""

    vpc_id: str
    tap: str
    mac: str
    address: str
    subnet: str
    router: str
    resolver: str
    hostname: str
    domain: str
    mtu: int
