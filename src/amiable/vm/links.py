"""The kernel's side of a fabric: a network namespace, its taps, its loopback, its rules.  Standard library only.

Called by the network agent (``vm/fabric_agent``) inside the namespace, and by the probe, which so proves all that the agent needs.
A tap lives as long as somebody holds its descriptor: with its QEMU's end the kernel removes it, its routes and its neighbour.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct

from amiable.model.link import HOST_LINK, TAP_PREFIX, Link
from amiable.vm import launcher
from amiable.vm.holder import METADATA, raise_loopback

TUN = "/dev/net/tun"
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
SO_NO_CHECK = 11
CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW = 10, 12, 13
CAPABILITY_VERSION_3 = 0x20080522
PR_CAPBSET_DROP = 24
PROGRAM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
PROGRAM_SECONDS_MAX = 20
WORDS_BYTES_MAX = 1000
QUEUE_MAX = 64
DHCP_BUFFER_BYTES = 64 * 1024


def enter_namespace(namespaces: list[int]) -> None:
    """A network namespace of our own, or ``namespaces`` (descriptors, outermost first); as an ordinary user inside a user namespace.

    There the user is root, so that the programs which are started keep the right to change the network.
    """
    uid, gid = os.getuid(), os.getgid()
    for descriptor in namespaces:
        launcher.libc_call("setns", descriptor, 0)
    if namespaces or uid == 0:
        if not namespaces:
            launcher.libc_call("unshare", launcher.CLONE_NEWNET)
        return
    launcher.libc_call("unshare", launcher.CLONE_NEWUSER | launcher.CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def keep_network_rights() -> None:
    """Gives up every capability but those over the network, also for the programs that are started: what a guest sends is read here."""
    kept = 1 << CAP_NET_BIND_SERVICE | 1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        if not kept >> capability & 1:
            launcher.libc_call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    halves = struct.pack("6I", kept, kept, 0, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, halves) != 0:
        raise OSError(ctypes.get_errno(), "capset: " + os.strerror(ctypes.get_errno()))
    launcher.libc_call("prctl", launcher.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def prepare() -> None:
    """Loopback with the metadata address; packets are forwarded, IPv6 is off."""
    raise_loopback()
    write_sysctl("net/ipv4/ip_forward", "1")
    write_sysctl("net/ipv4/conf/all/send_redirects", "0")
    for name in ("all", "default"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            write_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")


def write_sysctl(name: str, value: str) -> None:
    """Sets what the kernel reads for this namespace."""
    with open(f"/proc/sys/{name}", "w") as file:
        file.write(value)


def open_tap(link: Link) -> int:
    """The descriptor of a new tap, set up: proxy ARP, the router's address, a route and a fixed neighbour for the guest."""
    descriptor = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
    try:
        request = struct.pack("16sH", link.tap.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        fcntl.ioctl(descriptor, TUNSETIFF, request)
        _set_up(link.tap)
        run_program(
            ["ip", "-batch", "-"],
            f"addr add {link.router}/32 dev {link.tap}\n"
            f"addr add {link.resolver}/32 dev {link.tap}\n"
            f"link set dev {link.tap} mtu {link.mtu} up\n"
            f"neigh replace {link.address} lladdr {link.mac} dev {link.tap} nud permanent\n"
            f"route replace {link.address}/32 dev {link.tap} src {link.router}\n",
        )
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _set_up(name: str) -> None:
    for key, value in (
        ("conf", "proxy_arp=1"),
        ("conf", "rp_filter=1"),
        ("conf", "send_redirects=0"),
        ("neigh", "proxy_delay=0"),
    ):
        field, _, word = value.partition("=")
        write_sysctl(f"net/ipv4/{key}/{name}/{field}", word)


def raise_host_link(addresses: list[str]) -> None:
    """The fabric's end of the way from the host, and routes to the host's addresses on it."""
    _set_up(HOST_LINK)
    routes = "".join(f"route replace {address}/32 dev {HOST_LINK}\n" for address in addresses)
    run_program(["ip", "-batch", "-"], f"link set dev {HOST_LINK} up\n{routes}")


def apply_rules(text: str) -> None:
    """Replaces the ruleset, whole or not at all."""
    run_program(["nft", "-f", "-"], text)


def run_program(argv: list[str], text: str) -> None:
    """Runs a program on ``text``; raises OSError with its words when it fails or is too slow."""
    given, said = os.memfd_create("given"), os.memfd_create("said")
    try:
        with os.fdopen(os.dup(given), "w") as file:
            file.write(text)
        os.lseek(given, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        pid = os.posix_spawn(_find(argv[0]), argv, {"LC_ALL": "C"}, file_actions=actions)
        with open(os.pidfd_open(pid)) as process:
            if not launcher.is_readable(process.fileno(), PROGRAM_SECONDS_MAX):
                signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        if status != 0:
            words = "; ".join(os.pread(said, WORDS_BYTES_MAX, 0).decode(errors="replace").splitlines())
            raise OSError(f"{argv[0]}: {words or f'status {status}'}")
    finally:
        os.close(given)
        os.close(said)


def _find(program: str) -> str:
    """Where it is, whatever the PATH of who started us: an ordinary user's has no ``sbin``."""
    for folder in PROGRAM_FOLDERS:
        if os.access(f"{folder}/{program}", os.X_OK):
            return f"{folder}/{program}"
    raise OSError(f"{program} is not installed")


def _bound(kind: int, tap: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def listen_metadata(tap: str) -> socket.socket:
    """A socket that takes the metadata connections of this tap's guest and of no other."""
    listener = _bound(socket.SOCK_STREAM, tap)
    listener.bind(METADATA)
    listener.listen(QUEUE_MAX)
    return listener


def open_dhcp(tap: str) -> socket.socket:
    """A socket for the DHCP packets of this tap's guest; replies carry no checksum, which a guest might see before it was filled in."""
    made = _bound(socket.SOCK_DGRAM, tap)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DHCP_BUFFER_BYTES)
    made.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    made.setblocking(False)
    made.bind(("0.0.0.0", 67))
    return made


def open_way(tap: str) -> socket.socket:
    """A socket that reaches this tap's guest and nothing else; the caller connects it, wherever it is."""
    return _bound(socket.SOCK_STREAM, tap)


def taps() -> set[str]:
    """The taps that there are."""
    return {name for _, name in socket.if_nameindex() if name.startswith(TAP_PREFIX)}


def has_host_link() -> bool:
    """Whether the fabric's end of the way from the host is there."""
    return HOST_LINK in {name for _, name in socket.if_nameindex()}
