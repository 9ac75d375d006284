"""An interface's place in the fabric of its VPC: what the network agent makes of it, and what DHCP tells the guest.

The agent starts while a launch waits for it: what it imports (this, ``rules/dhcp``) does without ``dataclasses``, which would be a
third of its start.
"""

from typing import Final, NamedTuple

TAP_PREFIX: Final = "t"
HOST_LINK: Final = "host0"
"""The fabric's end of the way from the host."""


class Link(NamedTuple):
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


class Lease(NamedTuple):
    """What the guest behind a tap and our DHCP have said to each other, in seconds since the host's boot; None: nothing.

    ``since``: from when on they were listened to.  ``asked_at`` and ``given_at`` are the last time of each.
    """

    since: float
    asked_at: float | None = None
    given_at: float | None = None
