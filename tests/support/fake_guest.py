"""A guest without a machine: a network namespace whose one card is the other end of a fabric's tap.

The kernel speaks TCP for it; :meth:`FakeGuest.send` and :meth:`FakeGuest.ask_dhcp` put frames on the tap past that kernel, as a hostile guest would.
"""

import contextlib
import fcntl
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from amiable.model.link import Link
from amiable.vm import launcher, links

T = TypeVar("T")
VNET_HEADER = bytes(10)
FRAME_BYTES_MAX = 70000
ANSWER_SECONDS_MAX = 60.0


class FakeGuest:
    """Owns ``tap``, a descriptor that an agent gave out; :meth:`close` is the end of its machine."""

    def __init__(self, tap: int, link: Link) -> None:
        self.tap, self.link = tap, link
        self._inside = ThreadPoolExecutor(1, thread_name_prefix="guest")
        self._ending = threading.Event()
        self._card: int | None = None
        self._pump: threading.Thread | None = None
        os.set_blocking(tap, False)

    def boot(self) -> "FakeGuest":
        """Has an address and a route, as its DHCP answer says."""
        told = self.ask_dhcp(1)
        assert told is not None and str(IPv4Address(told[16:20])) == self.link.address
        self._card = self._inside.submit(self._make_card).result()
        self._pump = threading.Thread(target=self._carry, daemon=True)
        self._pump.start()
        return self

    def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, done inside the guest's namespace."""
        return self._inside.submit(work).result()

    def listen(self, port: int) -> socket.socket:
        """A listening socket of the guest's."""
        return self.run(lambda: socket.create_server((self.link.address, port)))

    def dial(self, address: str, port: int, wait_seconds: float = ANSWER_SECONDS_MAX) -> socket.socket:
        """A connection out of the guest; raises OSError."""
        return self.run(lambda: socket.create_connection((address, port), wait_seconds))

    def send(self, frame: bytes) -> None:
        """Puts a frame on the wire."""
        os.write(self.tap, VNET_HEADER + frame)

    def ask_dhcp(self, kind: int, *, options: bytes = b"", wait_seconds: float = ANSWER_SECONDS_MAX) -> bytes | None:
        """The DHCP packet that answers one of ours; None where none comes."""
        self.send(dhcp_frame(self.link.mac, kind, options))
        until = time.monotonic() + wait_seconds
        while select.select([self.tap], [], [], max(0.0, until - time.monotonic()))[0]:
            frame = os.read(self.tap, FRAME_BYTES_MAX)[len(VNET_HEADER) :]
            if (
                frame[12:14] == b"\x08\x00"
                and frame[23] == socket.IPPROTO_UDP
                and frame[36:38] == struct.pack(">H", 68)
            ):
                return frame[42:]
        return None

    def _make_card(self) -> int:
        launcher.libc_call("unshare", launcher.CLONE_NEWNET)
        card = os.open(links.TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        flags = links.IFF_TAP | links.IFF_NO_PI | links.IFF_VNET_HDR
        fcntl.ioctl(card, links.TUNSETIFF, struct.pack("16sH", b"eth0", flags))
        bits = IPv4Network(self.link.subnet).prefixlen
        links.run_program(
            ["ip", "-batch", "-"],
            f"link set dev lo up\nlink set dev eth0 address {self.link.mac}\n"
            f"addr add {self.link.address}/{bits} dev eth0\nlink set dev eth0 up\nroute add default via {self.link.router}\n",
        )
        return card

    def _carry(self) -> None:
        assert self._card is not None
        other = {self.tap: self._card, self._card: self.tap}
        while not self._ending.is_set():
            for source in select.select(list(other), [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    os.write(other[source], os.read(source, FRAME_BYTES_MAX))

    def close(self) -> None:
        """Ends it; its namespace goes with it."""
        self._ending.set()
        if self._pump is not None:
            self._pump.join()
        self._inside.shutdown()
        for descriptor in (self.tap, self._card):
            if descriptor is not None:
                os.close(descriptor)

    def __enter__(self) -> "FakeGuest":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_frame(mac: str, source: str, target: str, ports: tuple[int, int], body: bytes) -> bytes:
    """An Ethernet frame with a UDP packet, to everybody."""
    udp = struct.pack(">HHHH", *ports, 8 + len(body), 0) + body
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses
    head = head[:10] + struct.pack(">H", _checksum(head)) + head[12:]
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x08\x00" + head + udp


def dhcp_packet(mac: str, kind: int, options: bytes = b"") -> bytes:
    """What a DHCP client sends."""
    head = (
        struct.pack(">BBBBIHH", 1, 1, 6, 0, 0x1234, 0, 0)
        + bytes(16)
        + bytes.fromhex(mac.replace(":", "")).ljust(16, b"\0")
    )
    return head + bytes(192) + b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff"


def dhcp_frame(mac: str, kind: int, options: bytes = b"") -> bytes:
    """The same as a frame."""
    return udp_frame(mac, "0.0.0.0", "255.255.255.255", (68, 67), dhcp_packet(mac, kind, options))
