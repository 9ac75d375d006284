"""The way from the host to a fabric, where the host is a namespace that the test makes."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from amiable.vm import fabric, host_route, launcher, links
from amiable.vm.host_route import HostRoute
from amiable.vm.process import Process
from tests.support.fabrics import (
    OUT,
    SILENCE_SECONDS,
    VPC,
    WAIT_SECONDS_MAX,
    WEB,
    Net,
    interface,
    is_silent,
    rule,
    wait_until,
)

T = TypeVar("T")
SUBNET = "172.31.0.0/20"
ROUTED = [HostRoute(VPC, SUBNET, "")]


@pytest.mark.parametrize(
    ("ranges", "may"),
    [
        ("172.31.0.0/16", ["172.31.0.0/20"]),
        ("", []),
        ("10.0.0.0/8,172.31.0.0/20", ["10.1.0.0/16", "172.31.0.0/20"]),
        ("172.31.0.0/24", []),
    ],
)
def test_what_an_account_calls_its_own_elsewhere_gets_no_route(ranges: str, may: list[str]) -> None:
    subnets = ["8.8.8.0/24", "172.31.0.0/20", "10.1.0.0/16"]
    found, others = host_route.divide(VPC, subnets, ranges)
    assert found == may
    assert {each.subnet for each in others} == set(subnets) - set(may)
    assert all(f"host_routes ({ranges or 'none'})" in each.words for each in others)


class Host:
    """A network namespace in place of the host's; :meth:`run` works inside it."""

    def __init__(self) -> None:
        self._inside = ThreadPoolExecutor(1, thread_name_prefix="host")
        self.run(lambda: launcher.libc_call("unshare", launcher.CLONE_NEWNET))
        self.ip("link set dev lo up")

    def run(self, work: Callable[[], T]) -> T:
        return self._inside.submit(work).result()

    def ip(self, words: str) -> None:
        self.run(lambda: links.run_program(["ip", "-batch", "-"], words + "\n"))

    def routes(self) -> list[str]:
        told = self.run(lambda: subprocess.run(["ip", "route"], capture_output=True, text=True, check=True))
        return [" ".join(line.split()) for line in told.stdout.splitlines()]

    def links(self) -> set[str]:
        return {name for _, name in self.run(socket.if_nameindex)}

    def keep_routes(self, net: Net, *subnets: str) -> list[HostRoute]:
        process = net.process()
        assert process is not None
        with net.agent() as agent:
            return self.run(lambda: host_route.keep_routes(agent, process, net.vpc, subnets or (SUBNET,)))

    def dial(self, address: str, port: int, wait_seconds: float = WAIT_SECONDS_MAX) -> socket.socket:
        return self.run(lambda: socket.create_connection((address, port), wait_seconds))

    def close(self) -> None:
        self._inside.shutdown()


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path)
    yield made
    made.close()


def test_the_host_dials_a_private_address_where_the_groups_allow_it(host: Host, net: Net) -> None:
    guest = interface(4)
    (a,) = net.boot([guest], OUT)
    assert host.keep_routes(net) == ROUTED
    assert host.keep_routes(net) == ROUTED, "once more changes nothing"
    name = host_route.link_name(VPC)
    assert host.routes() == [f"{SUBNET} dev {name} scope link src 172.31.0.3"]
    with a.listen(22) as listener:
        with pytest.raises(TimeoutError):
            host.dial(guest.private_ip, 22, SILENCE_SECONDS)
        net.enforce([guest], {WEB: (*OUT[WEB], rule(WEB, protocol="tcp", from_port=22, to_port=22))})
        with host.dial(guest.private_ip, 22) as near:
            far, (seen, _) = listener.accept()
            with far:
                assert seen == "172.31.0.3"
                far.sendall(b"SSH-2.0")
                assert near.recv(10) == b"SSH-2.0"


def test_a_guest_opens_nothing_on_the_host(host: Host, net: Net) -> None:
    guest = interface(4)
    (a,) = net.boot([guest], OUT)
    host.keep_routes(net)
    listening = host.run(lambda: socket.create_server(("0.0.0.0", 2006)))
    with listening:
        host.dial("172.31.0.3", 2006).close()
        assert is_silent(a, "172.31.0.3", 2006)


def test_the_metadata_of_guests_is_not_the_hosts_to_read(host: Host, net: Net) -> None:
    net.boot([interface(4)], OUT)
    host.keep_routes(net)
    host.ip(f"route add 169.254.169.254/32 dev {host_route.link_name(VPC)} src 172.31.0.3")
    with pytest.raises(TimeoutError):
        host.dial("169.254.169.254", 80, SILENCE_SECONDS)


def test_the_first_vpc_to_come_has_the_route_and_the_next_one_when_it_is_gone(
    host: Host, net: Net, tmp_path: Path
) -> None:
    other = Net(tmp_path / "other", vpc="vpc-fedcba98765432100")
    net.boot([interface(4)], OUT)
    other.boot([interface(4, vpc=other.vpc)], OUT)
    assert host.keep_routes(net) == ROUTED
    (refused,) = host.keep_routes(other)
    assert refused.why_not == f"the host has a route to {SUBNET} by {host_route.link_name(VPC)}"
    assert refused.words.startswith("no route: ")
    net.close()
    wait_until(lambda: host.links() == {"lo"})
    assert host.keep_routes(other) == [HostRoute(other.vpc, SUBNET, "")]
    other.close()
    wait_until(lambda: host.links() == {"lo"})


def test_a_network_of_the_hosts_own_is_never_taken_over(host: Host, net: Net) -> None:
    host.ip("link add own type veth peer name far\naddr add 172.31.3.1/24 dev own\nlink set dev own up")
    net.boot([interface(4)], OUT)
    (refused,) = host.keep_routes(net)
    assert refused.why_not == "the host has a route to 172.31.3.0/24 by own"
    assert host_route.link_name(VPC) not in host.links()


def test_several_subnets_have_a_route_each_on_one_way(host: Host, net: Net) -> None:
    net.boot([interface(4)], OUT)
    host.keep_routes(net)
    assert [route.why_not for route in host.keep_routes(net, SUBNET, "172.31.16.0/20")] == ["", ""]
    assert len(host.routes()) == 2 and host.links() == {"lo", host_route.link_name(VPC)}


def test_a_way_that_lost_its_other_end_is_made_anew(host: Host, net: Net) -> None:
    net.boot([interface(4)], OUT)
    name = host_route.link_name(VPC)
    host.ip(f"link add {name} type veth peer name stale")
    assert host.keep_routes(net) == ROUTED
    with net.agent() as agent:
        assert agent.state()["host"] is True
    assert "stale" not in host.links()


def test_what_was_noted_is_read_back_while_the_agent_lives(net: Net) -> None:
    noted = [
        HostRoute(VPC, SUBNET, ""),
        HostRoute(VPC, "172.31.16.0/20", "the host has a route to 172.31.0.0/16 by own"),
    ]
    with fabric.open_fabric(net.data, VPC, make=True) as folder:
        assert host_route.note_routes(folder, noted) and not host_route.note_routes(folder, noted)
        assert host_route.known_routes(net.data) == []
        net.boot([interface(4)], OUT)
        assert host_route.known_routes(net.data) == noted


def test_a_way_that_cannot_be_made_is_said_and_not_raised(host: Host, net: Net) -> None:
    net.boot([interface(4)], OUT)
    with net.agent() as agent:
        gone = Process(pid=2**22 + 1, start_ticks=0, boot_id="")
        (found,) = host.run(lambda: host_route.keep_routes(agent, gone, VPC, [SUBNET]))
    assert found.why_not == "ip: RTNETLINK answers: No such process; Command failed -:1"
