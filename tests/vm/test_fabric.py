"""Routed mode in namespaces that the tests make: agents, taps and rules are real, guests are namespaces of their own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from amiable.rules.firewall import tap_name
from amiable.vm import fabric, fabric_agent, process
from amiable.vm.directory import locked, open_directory
from amiable.vm.network import NetworkFailed
from amiable.vm.process import Process, identity_of
from tests.server.fake_machine import serving
from tests.support.fabrics import (
    DATA,
    OUT,
    REFERENCE,
    SILENCE_SECONDS,
    VPC,
    WAIT_SECONDS_MAX,
    WEB,
    Net,
    answers,
    interface,
    is_silent,
    link,
    rule,
    wait_until,
)
from tests.support.fake_guest import FakeGuest, udp_frame


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path)
    yield made
    made.close()
    assert [path.name for path in (tmp_path / "networks" / VPC).iterdir()] == ["log"]


def test_a_group_reference_opens_one_way_and_only_its_ports(net: Net) -> None:
    web, data = interface(4, (WEB,)), interface(5, (DATA,))
    a, b = net.boot([web, data], OUT)
    with b.listen(8000), b.listen(9000), a.listen(8000):
        assert is_silent(a, data.private_ip, 8000)
        net.enforce([web, data], REFERENCE)
        assert answers(a, data.private_ip, 8000)
        assert is_silent(a, data.private_ip, 9000)
        assert is_silent(b, web.private_ip, 8000)


def test_answers_pass_the_other_way_and_go_on_when_the_rule_is_gone(net: Net) -> None:
    web, data = interface(4, (WEB,)), interface(5, (DATA,))
    a, b = net.boot([web, data], REFERENCE)
    with b.listen(8000) as listener, a.dial(data.private_ip, 8000) as near:
        far, (seen, _) = listener.accept()
        with far:
            assert seen == web.private_ip
            far.sendall(b"answer")
            assert near.recv(10) == b"answer"
            net.enforce([web, data], OUT)
            assert is_silent(a, data.private_ip, 8000)
            far.sendall(b"still")
            assert near.recv(10) == b"still"


def test_a_group_without_egress_rules_lets_nothing_out(net: Net) -> None:
    web, data = interface(4, (WEB,)), interface(5, (DATA,))
    a, b = net.boot([web, data], {**REFERENCE, WEB: ()})
    with b.listen(8000):
        assert is_silent(a, data.private_ip, 8000)


@pytest.mark.parametrize(
    ("mac", "source", "passes"),
    [("own", "own", True), ("own", "other", False), ("other", "own", False), ("other", "other", False)],
)
def test_a_frame_that_is_not_its_own_is_dropped(net: Net, mac: str, source: str, passes: bool) -> None:
    web, data, third = interface(4), interface(5), interface(6)
    a, b, _ = net.boot([web, data, third], {WEB: (*OUT[WEB], rule(WEB, protocol="udp", from_port=7000, to_port=7000))})
    claimed = {"own": web, "other": third}
    with b.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver:
        receiver.bind((data.private_ip, 7000))
        receiver.settimeout(SILENCE_SECONDS if not passes else WAIT_SECONDS_MAX)
        frame = udp_frame(claimed[mac].mac, claimed[source].private_ip, data.private_ip, (1, 7000), b"hello")
        # the frame is for the router, which must not know it for a broadcast
        a.send(router_mac(a) + frame[6:])
        if passes:
            assert receiver.recv(10) == b"hello"
        else:
            with pytest.raises(TimeoutError):
                receiver.recv(10)


def router_mac(guest: FakeGuest) -> bytes:
    """What the guest's kernel learned of its router."""
    found: list[str] = []

    def look() -> bool:
        asked.sendto(b"", (guest.link.router, 9))  # which asks again where no answer came in time
        table = guest.run(lambda: Path("/proc/thread-self/net/arp").read_text()).splitlines()[1:]
        found[:] = [line.split()[3] for line in table if line.startswith(f"{guest.link.router} ")]
        return bool(found) and found[0] != "00:00:00:00:00:00"

    with guest.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asked:
        wait_until(look)
    return bytes.fromhex(found[0].replace(":", ""))


def test_nothing_passes_before_rules_were_given(net: Net) -> None:
    assert net.guest(interface(4)).ask_dhcp(1, wait_seconds=SILENCE_SECONDS) is None


def test_each_guest_has_a_metadata_socket_that_no_other_guest_reaches(net: Net) -> None:
    web, data = interface(4), interface(5)
    a, b = net.boot([web, data], OUT)
    with net.agent() as agent:
        listeners = {of.private_ip: agent.metadata_listener(tap_name(of.id)) for of in (web, data)}
    for guest in (b, a):
        address = guest.link.address
        with guest.dial("169.254.169.254", 80) as near:
            listeners[address].settimeout(WAIT_SECONDS_MAX)
            far, (seen, _) = listeners[address].accept()
            with far:
                assert seen == address
                near.sendall(b"GET /")
                assert far.recv(10) == b"GET /"
    for listener in listeners.values():
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        listener.close()


def test_guests_reach_nothing_else_of_the_fabric(net: Net) -> None:
    web = interface(4)
    (a,) = net.boot([web], OUT)
    assert is_silent(a, "169.254.169.254", 81) and is_silent(a, "172.31.0.1", 80) and is_silent(a, "172.31.0.1", 67)
    with pytest.raises(ConnectionRefusedError):
        a.dial("172.31.0.2", 53)


def test_a_way_reaches_its_guest_past_the_groups_and_no_other(net: Net) -> None:
    web, data = interface(4), interface(5)
    a, b = net.boot([web, data], {})
    with a.listen(22) as listener, b.listen(22), net.agent() as agent:
        with fabric.dial(net.data, link(web), 22) as near:
            far, (seen, _) = listener.accept()
            with far:
                assert seen == "172.31.0.1"
                near.sendall(b"hello")
                assert far.recv(10) == b"hello"
        with pytest.raises(NetworkFailed, match="refused"):
            fabric.dial(net.data, link(web), 23)
        with agent.way(tap_name(web.id)) as way, pytest.raises(OSError):
            way.settimeout(SILENCE_SECONDS)
            way.connect((data.private_ip, 22))


def test_what_a_guest_has_asked_of_dhcp_and_been_given_is_known(net: Net) -> None:
    web = interface(4)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    guest = net.guest(web)
    net.enforce([web], OUT)
    tap = tap_name(web.id)
    with net.agent() as agent:
        since, *nothing = agent.lease(tap)
        assert before <= since and nothing == [None, None]
        assert guest.ask_dhcp(1) is not None
        wait_until(lambda: agent.lease(tap).asked_at is not None)
        assert agent.lease(tap).given_at is None, "an offer is no lease"
        assert guest.ask_dhcp(3, options=b"\x32\x04" + IPv4Address(web.private_ip).packed) is not None
        wait_until(lambda: agent.lease(tap).given_at is not None)
        given = agent.lease(tap)
        assert given.since == since and given.given_at == given.asked_at
        with pytest.raises(NetworkFailed):
            agent.lease("t-none")
    qemu = Process(**{**asdict(identity_of(os.getpid())), "facts": {"link": link(web)._asdict()}})
    assert fabric.lease_of(net.data, qemu) == given
    assert fabric.lease_of(net.data / "elsewhere", qemu) is None
    assert fabric.lease_of(net.data, identity_of(os.getpid())) is None


def test_a_guest_that_floods_dhcp_is_not_heard_for_a_while_and_its_neighbour_is(net: Net) -> None:
    web, data = interface(4), interface(5)
    loud, quiet = net.guest(web), net.guest(data)
    net.enforce([web, data], OUT)
    assert loud.ask_dhcp(1) is not None
    began = time.monotonic()
    answered = sum(loud.ask_dhcp(1, wait_seconds=0.01) is not None for _ in range(300))
    share = fabric_agent.DHCP_BURST + fabric_agent.DHCP_PER_SECOND * (time.monotonic() - began)
    assert answered <= share
    assert quiet.ask_dhcp(1) is not None
    wait_until(lambda: loud.ask_dhcp(1, wait_seconds=0.5) is not None)


def test_the_agent_killed_disturbs_no_connection_and_a_new_one_serves_the_same_taps(net: Net) -> None:
    web, data = interface(4, (WEB,)), interface(5, (DATA,))
    a, b = net.boot([web, data], REFERENCE)
    with net.agent() as agent:
        kept = agent.metadata_listener(tap_name(web.id))
    with b.listen(8000) as listener, a.dial(data.private_ip, 8000) as near, kept:
        far, _ = listener.accept()
        agent_process = net.process()
        assert agent_process is not None and agent_process.end(wait_seconds=WAIT_SECONDS_MAX)
        far.sendall(b"still")
        assert near.recv(10) == b"still"
        assert answers(a, data.private_ip, 8000) and is_silent(b, web.private_ip, 8000), "the rules stand without it"
        with a.dial("169.254.169.254", 80), holder_of(a.tap) as qemu:
            fabric.revive_agent(net.data, VPC, [qemu])
            with net.agent() as agent:
                assert agent.state() == {"ok": True, "taps": [], "rules": "", "host": False}
                agent.keep(a.link, kept)
                agent.keep(b.link, None)
                with agent.metadata_listener(a.link.tap) as again:
                    again.settimeout(WAIT_SECONDS_MAX)
                    again.accept()[0].close()  # what came while no agent lived was not lost
                agent.metadata_listener(b.link.tap).close()
        far.close()


@contextlib.contextmanager
def holder_of(tap: int) -> Iterator[Process]:
    """A process that has the tap where a QEMU has it."""
    script = "import os,sys; os.dup2(int(sys.argv[1]), 5); print(flush=True); sys.stdin.read()"
    started = subprocess.Popen(
        [sys.executable, "-c", script, str(tap)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[tap]
    )
    assert started.stdin is not None and started.stdout is not None
    try:
        started.stdout.readline()
        yield process.identity_of(started.pid)
    finally:
        started.communicate()


def test_a_server_that_comes_back_after_the_agent_died_gets_the_metadata_socket_of_a_guest_all_the_same(
    net: Net,
) -> None:
    web = interface(4)
    (a,) = net.boot([web], OUT)
    instance = net.data / "instances" / "i-4"
    instance.mkdir(parents=True)
    first = net.process()
    assert first is not None and first.end(wait_seconds=WAIT_SECONDS_MAX)
    with holder_of(a.tap) as qemu, open_directory(net.data, "i-4") as directory:
        machine = replace(qemu, facts={"link": a.link._asdict()})
        with fabric.metadata_listener(directory, machine) as listener, a.dial("169.254.169.254", 80):
            listener.settimeout(WAIT_SECONDS_MAX)
            listener.accept()[0].close()


def test_an_agent_whose_taps_are_all_gone_ends_and_the_next_guest_gets_another(net: Net) -> None:
    web = interface(4)
    net.guest(web)
    first = net.process()
    net.close()
    net.guest(web)
    second = net.process()
    assert first is not None and second is not None and first.pid != second.pid


def test_the_agent_has_rights_over_the_network_and_no_others(net: Net) -> None:
    net.guest(interface(4))
    agent = net.process()
    assert agent is not None
    status = Path(f"/proc/{agent.pid}/status").read_text().splitlines()
    held = {line.split()[0]: int(line.split()[1], 16) for line in status if line.startswith("Cap")}
    assert held["CapEff:"] == held["CapPrm:"] == held["CapBnd:"] == 1 << 10 | 1 << 12 | 1 << 13
    assert "NoNewPrivs:\t1" in status


def test_an_agent_whose_server_died_before_it_made_a_tap_ends(net: Net) -> None:
    with fabric.open_fabric(net.data, VPC, make=True) as folder:
        with locked(folder) as lock:
            fabric._start_agent(folder, lock, [])
            with net.agent() as agent:  # it lives while the lock is held, for whoever is about to make one
                assert answers_state(agent) == []
    wait_until(lambda: net.process() is None)


def test_two_vpcs_with_the_same_addresses_do_not_meet(net: Net, tmp_path: Path) -> None:
    other = Net(tmp_path / "other", vpc="vpc-2")
    mine, theirs = interface(4), interface(4, vpc="vpc-2")
    twin = interface(5, vpc="vpc-2")
    open_to_all = {WEB: (*OUT[WEB], rule(WEB))}
    (a,) = net.boot([mine], open_to_all)
    b, c = other.boot([theirs, twin], open_to_all)
    with c.listen(80):
        assert answers(b, twin.private_ip, 80) and is_silent(a, twin.private_ip, 80)
    other.close()


def test_a_tap_that_is_there_is_not_made_again_and_an_unknown_one_is_not_served(net: Net) -> None:
    web = interface(4)
    net.guest(web)
    with net.agent() as agent:
        with pytest.raises(NetworkFailed, match="busy"):
            agent.add(link(web))
        with pytest.raises(NetworkFailed, match="there is no 't9'"):
            agent.metadata_listener("t9")
        with pytest.raises(NetworkFailed, match="there is no t9"):
            agent.keep(link(web)._replace(tap="t9"), None)
        with pytest.raises(NetworkFailed, match="nft: "):
            agent.enforce("nonsense")
        assert answers_state(agent) == [tap_name(web.id)]


def answers_state(agent: fabric.Agent) -> list[str]:
    taps: list[str] = agent.state()["taps"]
    return taps


def test_many_clients_at_once_are_bounded_and_the_agent_goes_on(net: Net) -> None:
    net.guest(interface(4))
    with contextlib.ExitStack() as stack, fabric.open_fabric(net.data, VPC) as folder:
        for _ in range(40):
            with contextlib.suppress(BlockingIOError):  # the kernel's queue is full
                stack.enter_context(folder.connect("agent.sock", socket.SOCK_SEQPACKET))

    def is_heard() -> bool:
        with contextlib.suppress(NetworkFailed), net.agent() as agent:
            return answers_state(agent) == ["t00000000000004"]
        return False

    wait_until(is_heard)  # it may not have seen yet that the others are gone
    assert [path.name for path in (net.data / "networks").iterdir()] == [VPC]


def test_a_tap_made_meanwhile_goes_with_a_caller_that_fails(net: Net) -> None:
    of = link(interface(4, (WEB,)))
    with pytest.raises(RuntimeError), fabric.making_tap(net.data, of) as taps:
        (tap,) = taps()
        with net.agent() as agent:
            assert agent.state()["taps"] == [of.tap]
        raise RuntimeError
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(tap)
    wait_until(lambda: net.process() is None)


def test_a_tap_that_cannot_be_made_is_said_where_it_is_needed(net: Net, tmp_path: Path) -> None:
    (tmp_path / "networks").write_bytes(b"")
    with fabric.making_tap(tmp_path, link(interface(4, (WEB,)))) as taps:
        pass
    with fabric.making_tap(tmp_path, link(interface(4, (WEB,)))) as taps, pytest.raises(NotADirectoryError):
        taps()
    (tmp_path / "networks").unlink()
    net.guest(interface(4, (WEB,)))


def test_without_a_link_there_is_no_tap(tmp_path: Path) -> None:
    with fabric.making_tap(tmp_path, None) as taps:
        assert taps() == []


def test_an_agent_tells_of_many_taps_in_one_answer_and_what_is_cut_short_is_no_answer(tmp_path: Path) -> None:
    taps = [tap_name(f"eni-{number:017x}") for number in range(1000)]
    said = [json.dumps({"ok": True, "taps": taps, "rules": "", "host": False}).encode(), b'{"ok": tr']

    def talk(client: socket.socket) -> None:
        while client.recv(fabric_agent.PACKET_BYTES_MAX):
            client.sendall(said.pop(0))

    with fabric.open_fabric(tmp_path, VPC, make=True) as folder:
        with serving(folder.path, "agent.sock", socket.SOCK_SEQPACKET, talk), fabric.Agent(folder) as agent:
            assert agent.state()["taps"] == taps
            with pytest.raises(NetworkFailed, match="cut short"):
                agent.state()
