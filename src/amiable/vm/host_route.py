"""As root: a way from the host to the subnets of a fabric, so that tools dial guests by their private addresses.

    host: amv<vpc> 172.31.0.3 ══ veth ══ host0 :fabric       route 172.31.0.0/20 dev amv<vpc> src 172.31.0.3

The host takes the fourth address of a subnet, which EC2 keeps: to a security group it is a neighbour in the VPC.  Guests answer on this
way and open nothing: the fabric's rules drop it.  Where the host has a route into the subnet already (its own network, or another VPC
with the same addresses) that one stays, and there is none to this fabric: the first to come has it.  The kernel removes the pair with
the fabric's namespace.
"""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from amiable.model.link import HOST_LINK
from amiable.vm import fabric, links
from amiable.vm.directory import Directory
from amiable.vm.fabric import Agent
from amiable.vm.network import NetworkFailed
from amiable.vm.process import Process

PROGRAM_SECONDS_MAX: Final = 10
NOTE: Final = "routes"
"""In the fabric's directory: a line a subnet."""
NOTE_BYTES_MAX: Final = 64 * 1024
HOST_PLACE: Final = 3
"""Of a subnet's addresses, the host's."""


@dataclass(frozen=True, slots=True)
class HostRoute:
    """The way from the host to one subnet of a fabric; ``why_not`` is empty where it is there."""

    vpc_id: str
    subnet: str
    why_not: str

    @property
    def words(self) -> str:
        """For people."""
        return f"no route: {self.why_not}" if self.why_not else "guests are dialled by their private addresses"


def may_route() -> bool:
    """Whether this server may change the host's routes."""
    return os.geteuid() == 0


def link_name(vpc_id: str) -> str:
    """The host's end; a link's name has 15 characters."""
    return "amv" + vpc_id.removeprefix("vpc-")[-12:]


def divide(vpc_id: str, subnets: Iterable[str], ranges: str) -> tuple[list[str], list[HostRoute]]:
    """The subnets that lie within one of ``ranges``, networks separated by commas; and why the others get no way.

    Accounts choose the addresses of their VPCs: without ranges anyone could lead the host's own connections to a guest.
    """
    networks = [IPv4Network(each) for each in ranges.split(",") if each]
    may = [each for each in sorted(subnets) if any(IPv4Network(each).subnet_of(network) for network in networks)]
    why = f"it is not within the setting host_routes ({ranges or 'none'})"
    return may, [HostRoute(vpc_id, each, why) for each in sorted(set(subnets) - set(may))]


def keep_routes(agent: Agent, process: Process, vpc_id: str, subnets: Iterable[str]) -> list[HostRoute]:
    """What became of the way to each of ``subnets``, made where it was not there."""
    try:
        found = _keep(agent, process, vpc_id, subnets)
    except NetworkFailed as error:
        found = dict.fromkeys(subnets, str(error))
    return [HostRoute(vpc_id, subnet, why) for subnet, why in sorted(found.items())]


def known_routes(data: Path) -> list[HostRoute]:
    """What the supervisor noted of the fabrics that have an agent now."""
    found = []
    for vpc_id in fabric.list_fabrics(data):
        with contextlib.suppress(FileNotFoundError), fabric.open_fabric(data, vpc_id) as folder:  # it may go just now
            body = folder.kept(NOTE, NOTE_BYTES_MAX) if fabric.find_agent(folder) is not None else None
            found += [HostRoute(vpc_id, *line.split(" ", 1)) for line in (body or b"").decode().splitlines()]
    return found


def note_routes(folder: Directory, routes: Sequence[HostRoute]) -> bool:
    """Keeps them in the fabric's directory; whether that is news."""
    body = "".join(f"{route.subnet} {route.why_not}\n" for route in routes).encode()
    if folder.kept(NOTE, NOTE_BYTES_MAX) == body:
        return False
    folder.keep(NOTE, body)
    return True


def _keep(agent: Agent, process: Process, vpc_id: str, subnets: Iterable[str]) -> dict[str, str]:
    name = link_name(vpc_id)
    there = _routes()
    found = {subnet: _taken(there, subnet, name) for subnet in subnets}
    free = [subnet for subnet, why in found.items() if not why]
    if not free:
        return found
    try:
        _make_pair(name, process, is_joined=agent.state()["host"])
        lines = []
        for subnet in free:
            mine = host_address(subnet)
            lines += [f"addr replace {mine}/32 dev {name}", f"route replace {subnet} dev {name} src {mine}"]
        links.run_program(["ip", "-batch", "-"], "\n".join([f"link set dev {name} up", *lines, ""]))
        agent.take_host([host_address(subnet) for subnet in free])
    except OSError as error:
        raise NetworkFailed(f"{error.strerror or error}") from None
    return found


def host_address(subnet: str) -> str:
    """Where the host's connections to the subnet come from."""
    return str(IPv4Network(subnet)[HOST_PLACE])


def _make_pair(name: str, process: Process, *, is_joined: bool) -> None:
    is_there = name in {known for _, known in socket.if_nameindex()}
    if is_there and is_joined:
        return
    stale = f"link del {name}\n" if is_there else ""
    pair = f"link add {name} type veth peer name {HOST_LINK} netns {process.pid}\n"
    links.run_program(["ip", "-batch", "-"], stale + pair)
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        links.write_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")


def _routes() -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            ["ip", "-4", "-j", "route", "show"],
            capture_output=True,
            timeout=PROGRAM_SECONDS_MAX,
            check=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
        found: list[dict[str, Any]] = json.loads(done.stdout or b"[]")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise NetworkFailed(f"the host's routes cannot be read: {error}") from None
    return found


def _taken(there: Sequence[dict[str, Any]], subnet: str, name: str) -> str:
    """Which route of the host's already leads into the subnet; '' where none does but our own."""
    wanted = IPv4Network(subnet)
    for route in there:
        target = str(route.get("dst", "default"))
        if target != "default" and route.get("dev") != name and IPv4Network(target, strict=False).overlaps(wanted):
            return f"the host has a route to {target} by {route.get('dev', 'no device')}"
    return ""
