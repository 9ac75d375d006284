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
from ipaddress import IPv4Network
from typing import Any, Final

from amiable.rules.firewall import HOST_LINK
from amiable.vm import links
from amiable.vm.fabric import Agent
from amiable.vm.network import NetworkFailed
from amiable.vm.process import Process

PROGRAM_SECONDS_MAX: Final = 10
HOST_PLACE: Final = 3
"""Of a subnet's addresses, the host's."""


def may_route() -> bool:
    """Whether this server may change the host's routes."""
    return os.geteuid() == 0


def link_name(vpc_id: str) -> str:
    """The host's end; a link's name has 15 characters."""
    return "amv" + vpc_id.removeprefix("vpc-")[-12:]


def keep_route(agent: Agent, process: Process, vpc_id: str, subnets: Iterable[str]) -> dict[str, str]:
    """Makes the way where it is not there; subnet → ``""``, or why there is no route to it.  Raises NetworkFailed."""
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
        raise NetworkFailed(f"no way from the host: {error.strerror or error}") from None
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
