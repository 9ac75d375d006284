"""What the fabrics of this host should be, made so: one look a second, from the supervisor's thread.

    facts (interfaces, groups, rules) ─▶ rules/firewall ─▶ text ═ what the agent enforces?  else it is given the text
    an agent that died                ─▶ started again where its taps are, with the metadata sockets that the server has
    as root                           ─▶ a way from the host to the subnets in use (``vm/host_route``)

API calls write facts and touch no kernel: a rule is enforced a second after it was made.
"""

import logging
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Final

from amiable.database.firewall import interfaces_and_rules
from amiable.model.link import Link
from amiable.model.network import Firewall
from amiable.rules.firewall import ruleset
from amiable.services import Services
from amiable.vm import fabric, host_route
from amiable.vm.directory import Directory, DirectoryBusy
from amiable.vm.fabric import Agent
from amiable.vm.network import NetworkFailed
from amiable.vm.process import Process

log = logging.getLogger("amiable.fabric")

PAUSE_SECONDS: Final = 10.0
"""After a failure, before that VPC is looked at again."""

Guest = tuple[Process, socket.socket | None]
"""A routed machine, and its metadata socket where the server has it."""


class Fabrics:
    """Remembers nothing but failures, and which agents' subnets have been given their routes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._again_at: dict[str, float] = {}
        self._routed: dict[str, tuple[int, frozenset[str]]] = {}
        self._route_at: dict[str, float] = {}

    def look(self, guests: Iterable[Guest]) -> None:
        """Compares each VPC's fabric with the facts, once."""
        by_vpc: dict[str, list[tuple[Link, Guest]]] = {}
        for guest in guests:
            link = fabric.link_of(guest[0])
            if link is not None:
                by_vpc.setdefault(link.vpc_id, []).append((link, guest))
        if not by_vpc:
            return
        with self._services.database.read() as c:
            firewall = interfaces_and_rules(c, self._services.host)
        for vpc_id, linked in by_vpc.items():
            if time.monotonic() < self._again_at.get(vpc_id, 0.0):
                continue
            try:
                self._keep(vpc_id, linked, firewall)
            except DirectoryBusy:
                continue
            except (NetworkFailed, OSError) as error:
                self._again_at[vpc_id] = time.monotonic() + PAUSE_SECONDS
                log.error("%s: its fabric is not as it should be: %s", vpc_id, error)

    def _keep(self, vpc_id: str, linked: Sequence[tuple[Link, Guest]], firewall: Firewall) -> None:
        data = self._services.data
        with fabric.open_fabric(data, vpc_id) as folder:
            process = fabric.find_agent(folder)
            if process is None:
                log.warning("%s: its network agent ended; starting it again", vpc_id)
                process = fabric.revive_agent(data, vpc_id, [guest[0] for _, guest in linked])
            with fabric.Agent(folder) as agent:
                state = agent.state()
                text = ruleset(firewall, vpc_id)
                if state["rules"] != fabric.digest(text):
                    agent.enforce(text)
                    log.info("%s: rules enforced", vpc_id)
                for link, (_, listener) in linked:
                    if link.tap not in state["taps"]:
                        agent.keep(link, listener)
                if host_route.may_route():
                    self._keep_route(agent, process, folder, frozenset(link.subnet for link, _ in linked))

    def _keep_route(self, agent: Agent, process: Process, folder: Directory, subnets: frozenset[str]) -> None:
        """Once for each agent and set of subnets; a route that another network has is tried for again after a pause."""
        vpc_id = folder.path.name
        if self._routed.get(vpc_id) == (process.pid, subnets) or time.monotonic() < self._route_at.get(vpc_id, 0.0):
            return
        may, others = host_route.divide(vpc_id, subnets, self._services.settings.host_routes)
        routes = host_route.keep_routes(agent, process, vpc_id, may)
        has_all = not any(route.why_not for route in routes)
        routes = sorted([*routes, *others], key=lambda route: route.subnet)
        if host_route.note_routes(folder, routes):
            log.info("%s: %s", vpc_id, "; ".join(f"{route.subnet}: {route.words}" for route in routes))
        if has_all:
            self._routed[vpc_id] = process.pid, subnets
        else:
            self._route_at[vpc_id] = time.monotonic() + PAUSE_SECONDS
