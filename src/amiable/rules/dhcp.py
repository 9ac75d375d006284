"""The one answer of our DHCP: a guest's packet and its link as the reply, or None.  A function of bytes.

    DISCOVER → OFFER      REQUEST of the lease's address → ACK, of another → NAK      INFORM → ACK without a lease

A guest is hostile: what is too short, too long, not from the interface's own MAC, or relayed is not answered, and nothing that it
says but the transaction's number and its flags comes back.  The lease never ends, and there is one for each interface.
Sources: RFC 2131, RFC 2132.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Final, NamedTuple

from amiable.model.link import Link

PACKET_BYTES_MAX: Final = 1500
HEAD: Final = struct.Struct(">BBBBIHH4s4s4s4s16s64s128s4s")
COOKIE: Final = b"\x63\x82\x53\x63"
REPLY_BYTES_MIN: Final = 300
"""What BOOTP's clients expect at least."""
LEASE_SECONDS: Final = 0xFFFFFFFF
NAME_BYTES_MAX: Final = 255
BROADCAST: Final = "255.255.255.255"

DISCOVER, OFFER, REQUEST, ACK, NAK, INFORM = 1, 2, 3, 5, 6, 8
_PAD, _MASK, _ROUTER, _RESOLVER, _HOSTNAME, _DOMAIN, _MTU, _BROADCAST = 0, 1, 3, 6, 12, 15, 26, 28
_WANTED, _SECONDS, _TYPE, _SERVER, _END = 50, 51, 53, 54, 255


class Reply(NamedTuple):
    """A packet for port 68 of ``address``; ``is_given``: with it the guest has its lease."""

    packet: bytes
    address: str
    is_given: bool


def answer(packet: bytes, link: Link) -> Reply | None:
    """The reply to ``packet``; None where it gets none."""
    if not HEAD.size < len(packet) <= PACKET_BYTES_MAX:
        return None
    kind, hardware, length, _hops, number, _seconds, flags, client, _, _, relay, mac, _, _, cookie = HEAD.unpack_from(
        packet
    )
    own = mac[:6] == bytes.fromhex(link.mac.replace(":", ""))
    if (kind, hardware, length, cookie) != (1, 1, 6, COOKIE) or not own or relay != bytes(4):
        return None
    options = dict(_options(packet[HEAD.size :]))
    ours = IPv4Address(link.address).packed
    if options.get(_SERVER, IPv4Address(link.router).packed) != IPv4Address(link.router).packed:
        return None  # it has chosen another server
    match options.get(_TYPE):
        case b"\x01":
            told = OFFER
        case b"\x03":
            told = ACK if (options.get(_WANTED) or client) == ours else NAK
        case b"\x08":
            told = ACK
        case _:
            return None
    is_inform = options[_TYPE] == bytes([INFORM])
    yours = bytes(4) if told == NAK or is_inform else ours
    body = HEAD.pack(
        2, 1, 6, 0, number, 0, flags, client if told == ACK else bytes(4), yours, bytes(4), bytes(4), mac, b"", b"",
        COOKIE,
    ) + _told(told, link, with_lease=not is_inform)  # fmt: skip
    to = link.address if told == ACK and client == ours else BROADCAST
    return Reply(body.ljust(REPLY_BYTES_MIN, b"\0"), to, told == ACK and not is_inform)


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The options; a repeated one counts as last said, a cut one ends them."""
    place = 0
    while place < len(data) and data[place] != _END:
        if data[place] == _PAD:
            place += 1
            continue
        if place + 2 > len(data) or place + 2 + data[place + 1] > len(data):
            return
        yield data[place], data[place + 2 : place + 2 + data[place + 1]]
        place += 2 + data[place + 1]


def _told(kind: int, link: Link, *, with_lease: bool) -> bytes:
    router = IPv4Address(link.router).packed
    found: list[tuple[int, bytes]] = [(_TYPE, bytes([kind])), (_SERVER, router)]
    if kind != NAK:
        network = IPv4Network(link.subnet)
        if with_lease:
            found.append((_SECONDS, struct.pack(">I", LEASE_SECONDS)))
        found += [
            (_MASK, network.netmask.packed),
            (_ROUTER, router),
            (_RESOLVER, IPv4Address(link.resolver).packed),
            (_HOSTNAME, link.hostname.encode()[:NAME_BYTES_MAX]),
            (_DOMAIN, link.domain.encode()[:NAME_BYTES_MAX]),
            (_MTU, struct.pack(">H", link.mtu)),
            (_BROADCAST, network.broadcast_address.packed),
        ]
    return b"".join(bytes([code, len(value)]) + value for code, value in found) + bytes([_END])
