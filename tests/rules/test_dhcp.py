"""What guests are told by DHCP, and what a hostile one is not told."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.link import Link
from amiable.rules import dhcp
from amiable.rules.dhcp import ACK, BROADCAST, DISCOVER, HEAD, INFORM, NAK, OFFER, REQUEST, Reply
from tests.support.fake_guest import dhcp_packet

LINK = Link(
    vpc_id="vpc-1",
    tap="t1",
    mac="02:00:00:00:00:01",
    address="172.31.0.4",
    subnet="172.31.0.0/20",
    router="172.31.0.1",
    resolver="172.31.0.2",
    hostname="ip-172-31-0-4",
    domain="ec2.internal",
    mtu=1500,
)
OWN, OTHER = IPv4Address("172.31.0.4").packed, IPv4Address("172.31.0.5").packed
ROUTER = IPv4Address("172.31.0.1").packed


def option(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


def with_client(packet: bytes, address: bytes) -> bytes:
    return packet[:12] + address + packet[16:]


def told(reply: Reply | None) -> dict[int, bytes]:
    assert reply is not None
    return dict(dhcp._options(reply.packet[HEAD.size :]))


def test_a_discover_is_offered_the_interfaces_address_and_all_that_goes_with_it() -> None:
    reply = dhcp.answer(dhcp_packet(LINK.mac, DISCOVER), LINK)
    assert told(reply) == {
        53: bytes([OFFER]),
        54: ROUTER,
        51: b"\xff\xff\xff\xff",
        1: IPv4Address("255.255.240.0").packed,
        3: ROUTER,
        6: IPv4Address("172.31.0.2").packed,
        12: b"ip-172-31-0-4",
        15: b"ec2.internal",
        26: b"\x05\xdc",
        28: IPv4Address("172.31.15.255").packed,
    }
    assert reply is not None and reply.address == BROADCAST and len(reply.packet) >= 300
    assert reply.packet[:8] == b"\x02\x01\x06\x00\x00\x00\x12\x34" and reply.packet[16:20] == OWN


@pytest.mark.parametrize(
    ("packet", "kind", "address"),
    [
        (dhcp_packet(LINK.mac, REQUEST, option(50, OWN) + option(54, ROUTER)), ACK, BROADCAST),
        (dhcp_packet(LINK.mac, REQUEST, option(50, OWN)), ACK, BROADCAST),
        (with_client(dhcp_packet(LINK.mac, REQUEST), OWN), ACK, LINK.address),
        (dhcp_packet(LINK.mac, REQUEST, option(50, OTHER)), NAK, BROADCAST),
        (with_client(dhcp_packet(LINK.mac, REQUEST), OTHER), NAK, BROADCAST),
        (dhcp_packet(LINK.mac, REQUEST), NAK, BROADCAST),
    ],
    ids=["selecting", "rebooting", "renewing", "of another", "renewing another", "of none"],
)
def test_a_request_is_granted_for_its_own_address_alone(packet: bytes, kind: int, address: str) -> None:
    reply = dhcp.answer(packet, LINK)
    assert reply is not None and reply.address == address
    assert told(reply)[53] == bytes([kind])
    assert reply.packet[16:20] == (OWN if kind == ACK else bytes(4))
    assert (51 in told(reply)) is (kind == ACK)


def test_who_has_an_address_and_asks_for_the_rest_gets_no_lease() -> None:
    reply = dhcp.answer(with_client(dhcp_packet(LINK.mac, INFORM), OWN), LINK)
    assert reply is not None and reply.address == LINK.address and reply.packet[16:20] == bytes(4)
    assert 51 not in told(reply) and told(reply)[3] == ROUTER


GOOD = dhcp_packet(LINK.mac, DISCOVER)


@pytest.mark.parametrize(
    "packet",
    [
        GOOD[: HEAD.size],
        GOOD + bytes(1500),
        b"\x02" + GOOD[1:],
        GOOD[:24] + ROUTER + GOOD[28:],
        GOOD[:236] + bytes(4) + GOOD[240:],
        dhcp_packet("02:00:00:00:00:02", DISCOVER),
        dhcp_packet(LINK.mac, 4),
        dhcp_packet(LINK.mac, 7),
        dhcp_packet(LINK.mac, REQUEST, option(50, OWN) + option(54, OTHER)),
        GOOD[: HEAD.size] + b"\xff",
        GOOD[: HEAD.size] + b"\x35\x05\x01",
    ],
    ids=["short", "long", "reply", "relayed", "cookie", "mac", "decline", "release", "other-server", "no-kind", "cut"],
)
def test_what_is_not_its_own_or_not_a_question_gets_no_answer(packet: bytes) -> None:
    assert dhcp.answer(packet, LINK) is None


def test_a_guests_huge_name_is_neither_kept_nor_repeated() -> None:
    reply = dhcp.answer(dhcp_packet(LINK.mac, DISCOVER, option(12, b"x" * 255) * 4), LINK)
    assert told(reply)[12] == b"ip-172-31-0-4" and reply is not None and b"xx" not in reply.packet


@given(st.binary(max_size=700))
def test_no_options_whatever_they_are_do_more_than_get_an_answer_of_our_own(options: bytes) -> None:
    packet = GOOD[: HEAD.size] + options
    reply = dhcp.answer(packet, LINK)
    if reply is not None:
        assert (
            len(reply.packet) <= 576
            and reply.packet[16:20] in (OWN, bytes(4))
            and reply.address in (BROADCAST, LINK.address)
        )


@given(st.binary(max_size=1600))
def test_no_bytes_make_it_stumble(packet: bytes) -> None:
    dhcp.answer(packet, LINK)
