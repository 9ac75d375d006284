"""One VPC's fabric on this host, real but for its guests (``tests/support/fake_guest``), with interfaces, groups and rules to give it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amiable.model.link import Link
from amiable.model.network import Firewall, NetworkInterface, SecurityGroupRule
from amiable.rules.firewall import ruleset, tap_name
from amiable.vm import fabric
from amiable.vm.process import Process
from tests.rules.interfaces import interface as interface_of
from tests.support.fake_guest import FakeGuest

VPC = "vpc-0123456789abcdef0"
WEB, DATA = "sg-web", "sg-data"
WAIT_SECONDS_MAX = 20.0
SILENCE_SECONDS = 1.0


def interface(number: int, groups: tuple[str, ...] = (WEB,), *, vpc: str = VPC) -> NetworkInterface:
    """One of the fabric's VPC, in the group ``web`` where nothing else is said."""
    return interface_of(number, *groups, vpc=vpc)


def rule(group: str, *, egress: bool = False, **what: Any) -> SecurityGroupRule:
    fields: dict[str, Any] = {"protocol": "-1", "cidr_ipv4": "0.0.0.0/0", **what}
    if "referenced_group_id" in what:
        fields["cidr_ipv4"] = None
    return SecurityGroupRule(f"sgr-{group}-{egress}", "123456789012", "us-east-1", group, egress, **fields)


OUT = {group: (rule(group, egress=True),) for group in (WEB, DATA)}
REFERENCE = {
    WEB: OUT[WEB],
    DATA: (*OUT[DATA], rule(DATA, protocol="tcp", from_port=8000, to_port=8010, referenced_group_id=WEB)),
}
"""Who is in *web* may reach who is in *data* on a few ports, and not the other way."""


def link(of: NetworkInterface) -> Link:
    return Link(
        of.vpc_id, tap_name(of.id), of.mac, of.private_ip, "172.31.0.0/20", "172.31.0.1", "172.31.0.2", "ip-x", "ec2.internal", 1500
    )  # fmt: skip


@dataclass
class Net:
    """One VPC's fabric under test."""

    data: Path
    guests: list[FakeGuest] = field(default_factory=list)
    vpc: str = VPC

    def guest(self, of: NetworkInterface) -> FakeGuest:
        made = FakeGuest(fabric.add_tap(self.data, link(of)), link(of))
        self.guests.append(made)
        return made

    def boot(
        self, interfaces: Sequence[NetworkInterface], rules: Mapping[str, tuple[SecurityGroupRule, ...]]
    ) -> list[FakeGuest]:
        """Guests that are up, with the rules enforced."""
        made = [self.guest(each) for each in interfaces]
        self.enforce(interfaces, rules)
        return [guest.boot() for guest in made]

    @contextlib.contextmanager
    def agent(self) -> Iterator[fabric.Agent]:
        with (
            fabric.open_fabric(self.data, self.vpc) as folder,
            fabric.Agent(folder, wait_seconds=WAIT_SECONDS_MAX) as agent,
        ):
            yield agent

    def enforce(
        self, interfaces: Sequence[NetworkInterface], rules: Mapping[str, tuple[SecurityGroupRule, ...]]
    ) -> None:
        members = {
            group: tuple(each.private_ip for each in interfaces if group in each.group_ids) for group in (WEB, DATA)
        }
        with self.agent() as agent:
            agent.enforce(ruleset(Firewall(tuple(interfaces), rules, members), self.vpc))

    def process(self) -> Process | None:
        with fabric.open_fabric(self.data, self.vpc) as folder:
            return fabric.find_agent(folder)

    def close(self) -> None:
        for guest in self.guests:
            guest.close()
        self.guests.clear()
        wait_until(lambda: self.process() is None)


def wait_until(found: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not found():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)


def answers(guest: FakeGuest, address: str, port: int, wait_seconds: float = WAIT_SECONDS_MAX) -> bool:
    """Whether a new connection is answered in time."""
    try:
        guest.dial(address, port, wait_seconds).close()
    except OSError:
        return False
    return True


def is_silent(guest: FakeGuest, address: str, port: int) -> bool:
    """Whether a new connection is refused, or not answered for a while."""
    return not answers(guest, address, port, SILENCE_SECONDS)
