"""What a host's firewall enforces, read at one instant."""

from sqlalchemy import Connection, select

from amiable.database.interfaces import list_on_host
from amiable.database.schema import network_interface as N
from amiable.database.schema import network_interface_group as M
from amiable.database.security_groups import rules_of
from amiable.model.network import Firewall


def interfaces_and_rules(c: Connection, host: str) -> Firewall:
    """The interfaces on ``host``, their groups' rules, and who the groups that those name are."""
    interfaces = list_on_host(c, host)
    rules = rules_of(c, sorted({group_id for interface in interfaces for group_id in interface.group_ids}))
    named = {rule.referenced_group_id for some in rules.values() for rule in some}
    members: dict[str, list[str]] = {group_id: [] for group_id in sorted(each for each in named if each is not None)}
    query = select(M.c.group_id, N.c.private_ip).join(N, N.c.id == M.c.interface_id)
    there = query.where(M.c.group_id.in_(list(members)), N.c.instance_id.is_not(None))
    for row in c.execute(there.order_by(M.c.group_id, N.c.private_ip)):
        members[row.group_id].append(row.private_ip)
    return Firewall(tuple(interfaces), rules, {group_id: tuple(each) for group_id, each in members.items()})
